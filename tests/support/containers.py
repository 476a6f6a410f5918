"""Kafka and Redis from the images of docker-compose.yml, each a container for one file of tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from testcontainers.community.redis import RedisContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from services.cli.server import HOST, free_port
from tests.support.compose import described

STARTED_WITHIN_S = 120
"""For Kafka in a container: 5 s on an idle machine."""


@contextmanager
def kafka_in_a_container() -> Iterator[str]:
    """The bootstrap servers of the Kafka that docker-compose.yml describes, alone and new.

    Its port is chosen here: a broker tells its clients where it is, and knows it before it starts.
    """
    port = free_port()
    kafka = described(KAFKA_PORT=str(port))["kafka"]
    # It calls itself by the name that it has among the services.
    container = DockerContainer(kafka["image"], env=kafka["environment"], hostname="kafka")
    container.with_bind_ports(9092, port)
    ready = LogMessageWaitStrategy("Kafka Server started")
    with container.waiting_for(ready.with_startup_timeout(STARTED_WITHIN_S)):
        yield f"{HOST}:{port}"


@contextmanager
def redis_in_a_container() -> Iterator[str]:
    """The URL of the Redis that docker-compose.yml describes, alone and empty."""
    redis = described()["redis"]
    container = RedisContainer(redis["image"], user=redis["user"])
    container.with_command(redis["command"])
    for volume in redis["volumes"]:
        if volume["type"] == "bind":
            container.with_volume_mapping(volume["source"], volume["target"])
    with container:
        yield f"redis://{HOST}:{container.get_exposed_port(container.port)}/0"
