"""Kafka and Redis from their images do what the partition task and the stores need.

The suites are those that every log and every Redis has to pass; where no engine runs, they are
skipped by name.
"""

from collections.abc import Iterator

import pytest

from services.cli.kafka_server import ExternalKafka
from services.cli.redis_server import ExternalRedis
from tests.integration import test_log_behaviour, test_redis_behaviour
from tests.support.compose import skip_without_engine
from tests.support.containers import kafka_in_a_container, redis_in_a_container

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def kafka() -> Iterator[ExternalKafka]:
    """Instead of the run's own."""
    skip_without_engine()
    with kafka_in_a_container() as servers:
        yield ExternalKafka(servers)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[ExternalRedis]:
    """Instead of the run's own."""
    skip_without_engine()
    with redis_in_a_container() as url:
        yield ExternalRedis(url)


class TestKafkaInAContainer(test_log_behaviour.TestKafkaLog):
    pass


class TestRedisInAContainer(test_redis_behaviour.TestRedis):
    pass
