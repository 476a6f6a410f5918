"""Kafka does what a partition task needs, and the log in memory does the same."""

from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.cli.kafka_server import KafkaServer
from shared import kafka
from shared.decode import Record
from shared.kafka_log import KafkaLog
from tests.support import toy_books
from tests.support.log_behaviour import JOURNAL, LETTERS, OTHERS, PARTITIONS, LogBehaviour, Rig

pytestmark = pytest.mark.asyncio

SILENCE_MS = 1_000
"""For a fetch that is to bring nothing."""


class KafkaRig:
    def __init__(self, servers: str, log: KafkaLog, consumer: AIOKafkaConsumer) -> None:
        self.log = log
        self._servers = servers
        self._prefix = f"rig{uuid4().hex[:8]}-"
        self.consumer = consumer

    def name(self, topic: str) -> str:
        return topic if topic == LETTERS else f"{self._prefix}{topic}"

    async def make_topics(self) -> None:
        names = [self.name(topic) for topic in (OTHERS, JOURNAL, LETTERS)]
        settings = dict.fromkeys(names, kafka.topic_settings(None))
        await kafka.create_topics(self._servers, settings, PARTITIONS, 1)
        self.consumer.assign([TopicPartition(self.name(OTHERS), 1)])

    async def append(self, topic: str, partition: int, value: bytes) -> None:
        producer = kafka.producer_of(self._servers)
        await producer.start()
        await producer.send_and_wait(self.name(topic), value, key=b"key", partition=partition)
        await producer.stop()

    async def read(self, topic: str) -> Sequence[Record]:
        return await toy_books.read(self._servers, self.name(topic), PARTITIONS)

    async def fetched(self, topic: str, partition: int) -> list[bytes | None]:
        found: list[bytes | None] = []
        while batch := await self.consumer.getmany(timeout_ms=SILENCE_MS):
            found += [record.value for records in batch.values() for record in records]
        return found


class TestKafkaLog(LogBehaviour):
    @pytest_asyncio.fixture
    async def rig(self, kafka: KafkaServer) -> AsyncIterator[Rig]:
        servers = kafka.bootstrap_servers
        broker, consumer = _broker_of(servers), _reader_of(servers)
        await broker.start()
        await consumer.start()
        log = KafkaLog(broker, lambda: consumer, servers)
        rig = KafkaRig(servers, log, consumer)
        await rig.make_topics()
        yield rig
        await log.close()
        await consumer.stop()
        await broker.stop()


_broker_of, _reader_of = kafka.broker_of, kafka.reader_of
"""The fixture hides the module."""
