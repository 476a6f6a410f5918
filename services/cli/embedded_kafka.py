"""A Kafka for a machine without Java: librdkafka's mock broker, in a process of its own.

    python -m services.cli.embedded_kafka PORT

The mock is part of the library in the confluent-kafka wheel and speaks Kafka's protocol over TCP.
It keeps everything in memory, at most 5 MB and 100 000 batches per partition, the oldest dropped
first. What it lacks of Kafka's behaviour is added by the relay in front of it (kafka_relay.py).
SIGUSR1 takes the broker off the network, SIGUSR2 brings it back with its topics.
"""

import asyncio
import ctypes
import logging
import signal
import sys

from confluent_kafka import cimpl

from services.cli.kafka_relay import METADATA, SYNC_GROUP, VERSIONS, KafkaRelay
from services.cli.server import HOST

BROKER_ID = 1

_PRODUCER = 0
"""RD_KAFKA_PRODUCER: the mock lives in a client of any type."""


class MockCluster:
    """One mock broker, by librdkafka's own API for it (rdkafka_mock.h), on a port of its choice.

    Advertised to clients is `port`, where the relay listens.
    """

    def __init__(self, port: int) -> None:
        # The wheel's C extension links librdkafka: by it, the library is found under any name.
        self._rdkafka = library = ctypes.CDLL(cimpl.__file__)
        library.rd_kafka_conf_new.restype = ctypes.c_void_p
        library.rd_kafka_new.restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p

        problem = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(library.rd_kafka_conf_new())
        # The client's own "no bootstrap.servers" warning would only puzzle readers of the log.
        library.rd_kafka_conf_set(conf, b"log_level", b"3", problem, ctypes.c_size_t(512))
        client = library.rd_kafka_new(_PRODUCER, conf, problem, ctypes.c_size_t(512))
        if not client:
            raise RuntimeError(problem.value.decode())
        self._cluster = ctypes.c_void_p(
            library.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), 1)
        )
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        library.rd_kafka_mock_set_controller_id(self._cluster, BROKER_ID)
        library.rd_kafka_mock_broker_set_host_port(self._cluster, BROKER_ID, HOST.encode(), port)
        for api_key in (METADATA, SYNC_GROUP):
            version = VERSIONS[api_key]
            library.rd_kafka_mock_set_apiversion(
                self._cluster, *map(ctypes.c_int16, (api_key, version, version))
            )

    @property
    def port(self) -> int:
        """Where the mock itself listens."""
        servers: bytes = self._rdkafka.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return int(servers.rpartition(b":")[2])

    def create_topic(self, name: str, partitions: int) -> int:
        """Make a topic. Returns Kafka's error code, 0 for none."""
        code: int = self._rdkafka.rd_kafka_mock_topic_create(
            self._cluster, name.encode(), partitions, 1
        )
        return code


async def serve(port: int) -> None:
    """Run the broker until the process is ended."""
    mock = MockCluster(port)
    relay = KafkaRelay(port, mock.port, create_topic=mock.create_topic)
    asked: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        asyncio.get_running_loop().add_signal_handler(number, asked.put_nowait, number)
    await relay.open()
    while True:
        if await asked.get() == signal.SIGUSR1:
            relay.close()
        else:
            await relay.open()


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s")
    asyncio.run(serve(int(sys.argv[1])))
