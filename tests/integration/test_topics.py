"""`orderflow topics` on a broker: made once, checked ever after, and refused where they differ."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.app import app
from services.cli.kafka_server import KafkaServer, choose_kafka
from services.cli.topics import make_topics, wanted_topics
from shared.events.topics import TOPICS
from shared.kafka import create_topics, found_settings, partition_counts

cli = CliRunner()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[KafkaServer]:
    """A broker with no topics."""
    server = choose_kafka(tmp_path, tmp_path / "log", path="nothing")
    server.start()
    yield server
    server.stop()


def topics(kafka: KafkaServer, *arguments: str) -> Result:
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    return cli.invoke(app, ["topics", *arguments], env=environment)


def counts(kafka: KafkaServer) -> dict[str, int]:
    return asyncio.run(partition_counts(kafka.bootstrap_servers, wanted_topics()))


def create(kafka: KafkaServer, name: str, partitions: int, **settings: str) -> None:
    dotted = {key.replace("_", "."): value for key, value in settings.items()}
    failed = asyncio.run(create_topics(kafka.bootstrap_servers, {name: dotted}, partitions, 1))
    assert failed == {}


def test_all_topics_are_made_once_and_there_ever_after(embedded: KafkaServer) -> None:
    first = topics(embedded, "--partitions", "5")
    second = topics(embedded, "--partitions", "5")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert counts(embedded) == dict.fromkeys(wanted_topics(), 5)
    assert [line.split()[:3] for line in first.output.splitlines()] == [
        ["made", name, "5"] for name in wanted_topics()
    ]
    assert second.output == first.output.replace("made ", "there")


def test_what_is_missing_is_added(embedded: KafkaServer) -> None:
    create(embedded, "payments", 12)

    shown = json.loads(topics(embedded, "--json").output)

    assert shown["kafka"] == embedded.bootstrap_servers
    assert [topic["name"] for topic in shown["topics"] if not topic["made"]] == ["payments"]
    assert {topic["partitions"] for topic in shown["topics"]} == {12}


def test_two_at_the_same_time_do_not_disturb_each_other(embedded: KafkaServer) -> None:
    async def both() -> None:
        servers = embedded.bootstrap_servers
        await asyncio.gather(make_topics(servers, 3), make_topics(servers, 3))

    asyncio.run(both())

    assert counts(embedded) == dict.fromkeys(wanted_topics(), 3)


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ({"orders": 3, "stock": 12}, "same number of partitions, but orders has 3, stock has 12"),
        ({"orders": 3}, "The topics have 3 partitions, not 12. Set PARTITIONS=3"),
    ],
)
def test_with_other_partition_counts_nothing_is_made(
    embedded: KafkaServer, there: dict[str, int], message: str
) -> None:
    for name, partitions in there.items():
        create(embedded, name, partitions)

    shown = topics(embedded)

    assert shown.exit_code == 3
    assert message in shown.stderr
    assert counts(embedded) == there


def test_check_makes_nothing_and_names_what_is_missing(embedded: KafkaServer) -> None:
    create(embedded, "orders", 12)

    shown = topics(embedded, "--check")

    assert shown.exit_code == 3
    assert (
        "has no topic dashboard.events, dead-letters, deadlines.events, fulfillment.events"
        in shown.stderr
    )
    assert "Create the topics with `orderflow topics`" in shown.stderr
    assert counts(embedded) == {"orders": 12}


def test_more_copies_than_brokers_are_refused_with_kafkas_reason(embedded: KafkaServer) -> None:
    shown = topics(embedded, "--replication", "2")

    assert shown.exit_code == 3
    assert "Kafka did not make dashboard.events: InvalidReplicationFactorError" in shown.stderr


@pytest.mark.real_kafka
def test_real_kafka_has_the_settings_that_the_topics_need(kafka_of_its_own: KafkaServer) -> None:
    made = topics(kafka_of_its_own, "--partitions", "2")

    assert made.exit_code == 0
    found = asyncio.run(found_settings(kafka_of_its_own.bootstrap_servers, wanted_topics()))
    for name, settings in wanted_topics().items():
        assert {key: found[name][key] for key in settings} == settings
    assert {topic.name for topic in TOPICS if topic.publisher is None} == {
        name
        for name, settings in found.items()
        if settings["message.timestamp.type"] == "LogAppendTime"
    }


@pytest.mark.real_kafka
def test_a_topic_with_other_settings_is_refused_by_name(kafka_of_its_own: KafkaServer) -> None:
    create(kafka_of_its_own, "orders", 2, retention_ms="60000")

    shown = topics(kafka_of_its_own, "--partitions", "2")

    assert shown.exit_code == 3
    assert (
        "orders: message.timestamp.type is CreateTime, has to be LogAppendTime; "
        "orders: retention.ms is 60000, has to be at least 2592000000. "
        "Change it with `kafka-configs.sh --alter" in shown.stderr
    )
