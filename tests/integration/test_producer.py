"""The outside's producer: right partition, right form, a true memory of what was acknowledged."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from services.cli import producer as producer_module
from services.cli.kafka_server import KafkaServer, LocalKafka, choose_kafka
from services.cli.producer import Accepted, Producer
from services.dashboard.web.desk import KafkaDesk
from services.dashboard.web.parts import Word
from shared.clock import Timeline
from shared.decode import Decoder, Reading
from shared.errors import RefusedStart, TransientError
from shared.events.envelope import Event, Topic
from shared.events.warehouse import StockAdjusted, StockSet, stock_subject
from shared.kafka import create_topics

pytestmark = pytest.mark.asyncio

NOON = datetime(2026, 3, 29, 12, 0, 0, 907_000, UTC)
PARTITIONS = 7


@pytest_asyncio.fixture
async def topic(kafka: KafkaServer) -> Topic:
    """A topic of this test's own for the facts of `stock`."""
    name = f"stock-{uuid4()}"
    assert await create_topics(kafka.bootstrap_servers, {name: {}}, PARTITIONS, 1) == {}
    return Topic(name=name, facts=(StockSet, StockAdjusted), owner="test")


def counted(sku: str) -> StockSet:
    return StockSet(seller_id="SELLER-11", sku=sku, on_hand=7)


async def test_events_are_what_our_services_read_on_the_partition_of_their_subject(
    kafka: KafkaServer, topic: Topic
) -> None:
    async with Producer(kafka.bootstrap_servers, "warehouse-7", [topic]) as producer:
        for n in range(40):
            fact = counted(f"LAMP {n}")
            subject = stock_subject("SELLER-11", fact.sku)
            await producer.send(topic, fact, subject=subject, time=NOON, id_=f"event-{n}")

    decoder = Decoder("test", [Reading(topic, topic.facts)], PARTITIONS)
    read: dict[str, Event[StockSet]] = {}
    async with (
        asyncio.timeout(20),
        AIOKafkaConsumer(
            topic.name, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer,
    ):
        while len(read) < 40:
            record = await consumer.getone()
            event = decoder.decode(record, Timeline())
            assert isinstance(event, Event)
            read[event.id] = event
            where = Accepted(
                topic.name, record.partition, record.offset, event.type, event.subject, event.id,
                event.time,
            )  # fmt: skip
            assert where in producer.acknowledged
    assert {event.source for event in read.values()} == {"warehouse-7"}
    assert producer.counts() == {(topic.name, "stock.set.v1"): 40}


async def test_what_an_operator_says_at_once_is_on_the_partitions_of_its_subjects(
    kafka: KafkaServer, topic: Topic
) -> None:
    subjects = [stock_subject("SELLER-11", f"LAMP {n}") for n in range(30)]
    words = [Word(f"said-{s[-2:].strip()}", s, counted(s.partition("/")[2])) for s in subjects]
    desk = KafkaDesk(kafka.bootstrap_servers, PARTITIONS)
    await desk.say_all(topic, words, source="dashboard/anna", time=NOON)
    await desk.close()

    decoder = Decoder("test", [Reading(topic, topic.facts)], PARTITIONS)
    read: dict[str, Event[StockSet]] = {}
    async with (
        asyncio.timeout(20),
        AIOKafkaConsumer(
            topic.name, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer,
    ):
        while len(read) < len(words):
            event = decoder.decode(await consumer.getone(), Timeline())
            assert isinstance(event, Event)
            read[event.id] = event
    assert {(event.id, event.subject, event.data) for event in read.values()} == set(words)
    assert {event.source for event in read.values()} == {"dashboard/anna"}


async def test_an_event_without_an_id_gets_a_new_one_and_its_ack_says_where_it_lies(
    kafka: KafkaServer, topic: Topic
) -> None:
    async with Producer(kafka.bootstrap_servers, "test", [topic]) as producer:
        acks = [
            await producer.send(topic, counted("LAMP"), subject="SELLER-11/LAMP", time=NOON)
            for _ in range(2)
        ]
        first, second = await asyncio.gather(*acks)

    assert first.id != second.id
    assert (second.partition, second.offset) == (first.partition, first.offset + 1)


async def test_what_nobody_waits_for_any_more_is_remembered_all_the_same(
    kafka: KafkaServer, topic: Topic
) -> None:
    async with Producer(kafka.bootstrap_servers, "test", [topic]) as producer:
        ack = await producer.send(topic, counted("LAMP"), subject="SELLER-11/LAMP", time=NOON)
        ack.cancel()

    assert [event.subject for event in producer.acknowledged] == ["SELLER-11/LAMP"]


async def test_a_missing_topic_is_refused_before_anything_is_sent(kafka: KafkaServer) -> None:
    missing = Topic(name=f"missing-{uuid4()}", facts=(StockSet,))

    with pytest.raises(RefusedStart, match=f"no topic {missing.name}. Create the topics with"):
        async with Producer(kafka.bootstrap_servers, "test", [missing]):
            pass


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[LocalKafka]:
    server = choose_kafka(tmp_path, tmp_path / "log", path="nothing")
    assert isinstance(server, LocalKafka)
    server.start()
    yield server
    server.stop()


async def test_events_sent_while_the_broker_is_away_are_acknowledged_when_it_is_back(
    embedded: LocalKafka,
) -> None:
    await create_topics(embedded.bootstrap_servers, {"stock": {}}, 2, 1)
    topic = Topic(name="stock", facts=(StockSet,))

    async with Producer(embedded.bootstrap_servers, "test", [topic]) as producer:
        await (await producer.send(topic, counted("A"), subject="SELLER-11/A", time=NOON))
        await asyncio.to_thread(embedded.kill)
        ack = await producer.send(topic, counted("B"), subject="SELLER-11/B", time=NOON)
        assert len(producer.acknowledged) == 1
        await asyncio.to_thread(embedded.restart)
        assert (await ack).subject == "SELLER-11/B"

    assert [event.subject for event in producer.acknowledged] == ["SELLER-11/A", "SELLER-11/B"]


async def test_events_that_are_never_acknowledged_are_an_error_not_a_hang(
    embedded: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "FLUSH_LIMIT_S", 0.3)
    monkeypatch.setattr(producer_module, "CLOSE_LIMIT_S", 0.3)
    await create_topics(embedded.bootstrap_servers, {"stock": {}}, 2, 1)
    topic = Topic(name="stock", facts=(StockSet,))
    producer = Producer(embedded.bootstrap_servers, "test", [topic])

    async def lose_the_broker() -> None:
        async with producer:
            await (await producer.send(topic, counted("A"), subject="SELLER-11/A", time=NOON))
            await asyncio.to_thread(embedded.kill)
            await producer.send(topic, counted("B"), subject="SELLER-11/B", time=NOON)

    with pytest.raises(TransientError, match="has not acknowledged 1 events"):
        await lose_the_broker()

    assert [event.subject for event in producer.acknowledged] == ["SELLER-11/A"]
