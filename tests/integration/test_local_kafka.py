"""The local Kafka, real and embedded: what the system needs of a broker, as aiokafka sees it."""

import asyncio
import socket
import struct
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from services.cli.kafka_server import EmbeddedKafka, KafkaServer, LocalKafka, choose_kafka
from services.cli.server import HOST
from services.cli.stack import start_servers

PARTITIONS = 12
SESSION_S = 6.0
"""The least that Kafka grants; the embedded broker lets a rebalance last nearly as long."""

TOPIC_ALREADY_EXISTS = 36
UNKNOWN_TOPIC_OR_PARTITION = 3
INVALID_PARTITIONS = 37
INVALID_REPLICATION_FACTOR = 38

EMBEDDED_OR_REAL = ["embedded", pytest.param("real", marks=pytest.mark.real_kafka)]


@pytest.fixture(scope="module")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    directory = tmp_path_factory.mktemp("embedded")
    server = choose_kafka(directory, directory / "log", path="nothing")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=EMBEDDED_OR_REAL)
def broker(request: pytest.FixtureRequest) -> KafkaServer:
    name = "kafka" if request.param == "real" else "embedded_kafka"
    server: KafkaServer = request.getfixturevalue(name)
    return server


@pytest.fixture(params=EMBEDDED_OR_REAL)
def broker_of_its_own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalKafka]:
    if request.param == "real":
        yield request.getfixturevalue("kafka_of_its_own")
        return
    server = choose_kafka(tmp_path, tmp_path / "log", path="nothing")
    assert isinstance(server, LocalKafka)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def admin(kafka: KafkaServer) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def producer(kafka: KafkaServer) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        enable_idempotence=True,
        acks="all",
        max_request_size=3 * 1024 * 1024,
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


class Rebalances(ConsumerRebalanceListener):
    """Says when partitions have been assigned, to any of the members that have it."""

    def __init__(self) -> None:
        self.assigned = asyncio.Event()

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        pass

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self.assigned.set()


@asynccontextmanager
async def member(
    kafka: KafkaServer, group: str, topics: Sequence[str], listener: Rebalances | None = None
) -> AsyncIterator[AIOKafkaConsumer]:
    client = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=int(SESSION_S * 1000),
        heartbeat_interval_ms=500,
        fetch_max_wait_ms=25,
    )
    client.subscribe(topics, listener=listener or Rebalances())
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def topics_made(kafka: KafkaServer, *names: str) -> tuple[str, ...]:
    """Topics with these names and something unique."""
    unique = tuple(f"{name}-{uuid.uuid4().hex[:8]}" for name in names)
    async with admin(kafka) as client:
        answer = await client.create_topics([NewTopic(name, PARTITIONS, 1) for name in unique])
    assert [error["error_code"] for error in answer.to_object()["topic_errors"]] == [0] * len(names)
    return unique


@pytest.mark.asyncio
async def test_topics_are_made_on_purpose_with_the_partitions_asked_for(
    broker: KafkaServer,
) -> None:
    orders, payments = await topics_made(broker, "orders", "payments")
    typo = f"{orders}-typo"

    async with admin(broker) as client:
        described = await client.describe_topics([orders, payments, typo])
        found = {t["topic"]: (t["error_code"], len(t["partitions"])) for t in described}
        assert found == {
            orders: (0, PARTITIONS),
            payments: (0, PARTITIONS),
            typo: (UNKNOWN_TOPIC_OR_PARTITION, 0),
        }
        assert typo not in await client.list_topics()

        answer = await client.create_topics(
            [NewTopic(orders, 1, 1), NewTopic(typo, 0, 1), NewTopic(f"{typo}s", 1, 3)]
        )
        assert [error["error_code"] for error in answer.to_object()["topic_errors"]] == [
            TOPIC_ALREADY_EXISTS,
            INVALID_PARTITIONS,
            INVALID_REPLICATION_FACTOR,
        ]


@pytest.mark.asyncio
async def test_a_record_of_over_1_mb_arrives_as_it_was_sent_and_again_after_a_seek(
    broker: KafkaServer,
) -> None:
    (topic,) = await topics_made(broker, "dead-letters")
    value = bytes(range(256)) * 4700
    headers = [("content-type", b"application/json"), ("odd", b"\xff\x00"), ("odd", b"")]

    async with producer(broker) as sender, member(broker, f"g-{topic}", [topic]) as reader:
        sent = await sender.send_and_wait(
            topic,
            value,
            key=b"order-7",
            partition=7,
            headers=headers,
            timestamp_ms=1_700_000_000_123,
        )
        after = await sender.send_and_wait(topic, b"after", partition=7)
        assert (sent.offset, after.offset) == (0, 1)

        for _ in range(2):
            record = await asyncio.wait_for(reader.getone(), 20)
            assert (record.partition, record.offset, record.key) == (7, 0, b"order-7")
            assert (record.timestamp, record.timestamp_type) == (1_700_000_000_123, 0)
            assert list(record.headers) == headers
            assert record.value == value
            assert (await asyncio.wait_for(reader.getone(), 20)).value == b"after"
            reader.seek(TopicPartition(topic, 7), 0)

        position = TopicPartition(topic, 7)
        assert await reader.end_offsets([position]) == {position: 2}
        await reader.commit({position: 1})
        assert await reader.committed(position) == 1


@pytest.mark.asyncio
async def test_three_members_share_the_partitions_alike_in_every_topic(
    broker: KafkaServer,
) -> None:
    orders, payments = await topics_made(broker, "orders", "payments")
    listener = Rebalances()

    async with AsyncExitStack() as group:
        joining = [
            group.enter_async_context(member(broker, f"g-{orders}", [orders, payments], listener))
            for _ in range(3)
        ]
        async with asyncio.timeout(4 * SESSION_S):
            members = await asyncio.gather(*joining)
            while {len(each.assignment()) for each in members} != {2 * PARTITIONS // 3}:
                listener.assigned.clear()
                await listener.assigned.wait()
        shares = [each.assignment() for each in members]

    of_orders = [{p.partition for p in share if p.topic == orders} for share in shares]
    of_payments = [{p.partition for p in share if p.topic == payments} for share in shares]
    assert of_orders == of_payments
    assert set().union(*of_orders) == set(range(PARTITIONS))


@pytest.mark.asyncio
async def test_a_broker_that_was_away_comes_back_on_its_port_with_its_records(
    broker_of_its_own: LocalKafka,
) -> None:
    (topic,) = await topics_made(broker_of_its_own, "orders")

    async with producer(broker_of_its_own) as sender:
        await sender.send_and_wait(topic, b"before", partition=3)
        await asyncio.to_thread(broker_of_its_own.kill)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, broker_of_its_own.port)
        pending = await sender.send(topic, b"meanwhile", partition=3)
        await asyncio.sleep(0)
        assert not pending.done()

        await asyncio.to_thread(broker_of_its_own.restart)

        assert (await asyncio.wait_for(pending, 30)).offset == 1
        async with member(broker_of_its_own, "late", [topic]) as reader:
            values = [(await asyncio.wait_for(reader.getone(), 30)).value for _ in range(2)]
            assert values == [b"before", b"meanwhile"]


@pytest.mark.asyncio
async def test_restart_of_a_running_embedded_broker_breaks_its_connections(tmp_path: Path) -> None:
    server = choose_kafka(tmp_path, tmp_path / "log", path="nothing")
    assert isinstance(server, EmbeddedKafka)
    server.start()
    try:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        await asyncio.to_thread(server.restart)

        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await asyncio.wait_for(reader.readexactly(1), 10)
        writer.close()
        await topics_made(server, "orders")
    finally:
        server.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">i", -1),
        struct.pack(">i", 2**31 - 1),
        struct.pack(">i3s", 3, b"abc"),
        struct.pack(">ihhih", 10, 14, 1, 1, 500),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["negative size", "huge size", "no header", "no body", "http"],
)
async def test_a_client_that_speaks_no_kafka_is_dropped_and_others_are_served(
    embedded_kafka: KafkaServer, garbage: bytes
) -> None:
    host, _, port = embedded_kafka.bootstrap_servers.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(garbage)
        assert await asyncio.to_thread(_read_to_the_end, client) == b""

    await topics_made(embedded_kafka, "orders")


def _read_to_the_end(client: socket.socket) -> bytes:
    try:
        return client.recv(1)
    except ConnectionResetError:
        return b""


@pytest.mark.real_kafka
def test_real_kafka_keeps_its_topics_and_redis_what_was_made_from_them(tmp_path: Path) -> None:
    with start_servers(tmp_path) as servers, redis.Redis.from_url(servers.redis.redis_url) as state:
        (topic,) = asyncio.run(topics_made(servers.kafka, "orders"))
        state.set("order", "Pending")

        servers.kafka.stop()

    async def topics(kafka: KafkaServer) -> list[str]:
        async with admin(kafka) as client:
            names: list[str] = await client.list_topics()
            return names

    with start_servers(tmp_path) as servers, redis.Redis.from_url(servers.redis.redis_url) as state:
        assert topic in asyncio.run(topics(servers.kafka))
        assert state.get("order") == b"Pending"
