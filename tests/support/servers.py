"""Kafka and Redis for tests: one of each for the whole run, or one of a test's own to take away.

The Kafka is Apache Kafka where this machine can have it, else the embedded stand-in. A test that
asserts what only the real one does is marked `real_kafka`; without one it is skipped by name, and
the end of the run says which tests did not run and why.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.kafka_server import KafkaServer, LocalKafka, choose_kafka
from services.cli.redis_server import LocalRedis, RedisServer, choose_redis

NEEDS_REAL_KAFKA = "needs Apache Kafka itself; here is "


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "real_kafka: needs Apache Kafka itself (Java 17 and Maven), not the embedded one"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that could not run, and why."""
    reasons: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if reason.startswith("Skipped: needs "):
            reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    for reason, tests in reasons.items():
        terminalreporter.section(f"not run: {len(tests)} tests")
        terminalreporter.line(f"Each {reason}")
        for test in tests:
            terminalreporter.line(f"  {test}")


@pytest.fixture(scope="session")
def chosen_kafka(tmp_path_factory: pytest.TempPathFactory) -> KafkaServer:
    """What `kafka` is on this machine, not started."""
    data_dir = tmp_path_factory.mktemp("kafka")
    return choose_kafka(
        data_dir,
        data_dir / "kafka.log",
        bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"),
    )


@pytest.fixture(scope="session")
def kafka(chosen_kafka: KafkaServer) -> Iterator[KafkaServer]:
    """The Kafka of this run, shared by all tests: choose topic and group names of your own."""
    try:
        chosen_kafka.start()
        yield chosen_kafka
    finally:
        chosen_kafka.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis of this run, shared by all tests: choose keys of your own."""
    data_dir = tmp_path_factory.mktemp("redis")
    server = choose_redis(data_dir, data_dir / "redis.log", redis_url=os.environ.get("REDIS_URL"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def kafka_of_its_own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalKafka]:
    """A Kafka that this test alone uses, and may kill and restart."""
    server = choose_kafka(tmp_path / "kafka", tmp_path / "kafka.log")
    assert isinstance(server, LocalKafka)
    _skip_unless_it_will_do(request, server)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_of_its_own(tmp_path: Path) -> Iterator[LocalRedis]:
    """A Redis that this test alone uses, and may kill and restart."""
    server = choose_redis(tmp_path / "redis", tmp_path / "redis.log")
    assert isinstance(server, LocalRedis)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def _real_kafka_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("real_kafka"):
        _skip_unless_it_will_do(request, request.getfixturevalue("chosen_kafka"))


def _skip_unless_it_will_do(request: pytest.FixtureRequest, server: KafkaServer) -> None:
    if request.node.get_closest_marker("real_kafka") and not server.real:
        pytest.skip(NEEDS_REAL_KAFKA + server.description)
