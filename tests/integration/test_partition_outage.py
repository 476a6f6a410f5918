"""Kafka or Redis away: waited out, nothing lost or dead-lettered; SIGTERM ends all the same."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from signal import SIGTERM

import pytest
import pytest_asyncio
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from services.cli.kafka_server import LocalKafka, choose_kafka
from services.cli.redis_server import LocalRedis, choose_redis
from shared.kafka import reader_of
from tests.support.toy_worker import ToyProcess
from tests.support.toy_world import PARTITIONS, World, until

pytestmark = pytest.mark.asyncio

AWAY_S = 30
"""Longer than every time-out of a worker's clients."""
SIGTERM_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def kafka_to_kill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    directory = tmp_path_factory.mktemp("kafka-to-kill")
    server = choose_kafka(directory, directory / "kafka.log")
    assert isinstance(server, LocalKafka)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def redis_to_kill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    directory = tmp_path_factory.mktemp("redis-to-kill")
    server = choose_redis(directory, directory / "redis.log")
    assert isinstance(server, LocalRedis)
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def world(
    kafka_to_kill: LocalKafka, redis_to_kill: LocalRedis, tmp_path: Path
) -> AsyncIterator[World]:
    """A world whose Kafka and Redis may be taken away; both are there when it begins."""
    for server in (kafka_to_kill, redis_to_kill):
        if server.pid is None or not server._serves():
            await asyncio.to_thread(server.restart)
    world = World(kafka_to_kill.bootstrap_servers, redis_to_kill.redis_url, tmp_path)
    async with world.opened():
        yield world


async def serving(world: World) -> ToyProcess:
    """A worker that has every partition open."""
    worker = world.start()
    await worker.serves()

    async def ready() -> bool:
        return (await worker.health("/ready"))[0] == 200

    await until(ready, "ready")
    return worker


async def test_p6_kafka_and_redis_away_for_30_s_lose_nothing_and_dead_letter_nothing(
    world: World, kafka_to_kill: LocalKafka, redis_to_kill: LocalRedis
) -> None:
    subjects = [world.subject(p, n) for p in range(PARTITIONS) for n in range(3)]
    worker = await serving(world)

    await world.add(*subjects * 20)  # on its way when the outage begins
    redis_to_kill.kill()
    await world.add(*subjects * 20)
    kafka_to_kill.kill()
    await asyncio.sleep(AWAY_S)
    assert (await worker.health("/live"))[0] == 200
    assert (await worker.health("/ready"))[0] == 503
    await asyncio.to_thread(kafka_to_kill.restart)
    await asyncio.to_thread(redis_to_kill.restart)

    await world.rest()
    await world.add(*subjects)
    await world.rest()
    await world.books()
    assert await world.dead_letters() == []
    assert worker.exit_code is None


async def test_a_worker_with_nothing_to_do_is_not_ready_while_redis_is_away(
    world: World, redis_to_kill: LocalRedis
) -> None:
    worker = await serving(world)

    async def status(wanted: int) -> bool:
        return (await worker.health("/ready"))[0] == wanted

    redis_to_kill.kill()
    await until(lambda: status(503), "not ready")
    assert (await worker.health("/live"))[0] == 200
    redis_to_kill.restart()
    await until(lambda: status(200), "ready again")


async def test_partitions_are_opened_when_redis_is_back_and_not_when_their_next_try_is_due(
    world: World, redis_to_kill: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.REOPEN_WAITS_S", (3_600.0,))
    subjects = [world.subject(p, 1) for p in range(PARTITIONS)]
    async with world.worker() as worker:
        await world.add(*subjects)
        await world.rest()
        redis_to_kill.kill()
        await world.add(*subjects)

        async def lost() -> bool:
            return not (worker.tasks or worker.health.reaches_redis)

        await until(lost, "all tasks lost")
        await asyncio.to_thread(redis_to_kill.restart)

        await world.rest()


async def test_sigterm_closes_in_order(world: World) -> None:
    worker = await serving(world)
    await world.add(*[world.subject(p) for p in range(PARTITIONS)] * 20)
    worker.signal(SIGTERM)

    assert await worker.ended(SIGTERM_WITHIN_S) == 0
    assert all(not found.outbox for found in await world.stored())


async def test_sigterm_ends_the_process_within_10_s_whatever_is_down(
    world: World, kafka_to_kill: LocalKafka, redis_to_kill: LocalRedis
) -> None:
    without_redis, without_kafka, alone = [await serving(world) for _ in range(3)]

    async def ends(worker: ToyProcess) -> None:
        await asyncio.sleep(1)  # let its clients notice
        worker.signal(SIGTERM)
        assert await worker.ended(SIGTERM_WITHIN_S) == 0
        assert "Traceback" not in worker.said

    await world.add(*[world.subject(p) for p in range(PARTITIONS)] * 20)
    redis_to_kill.kill()
    await ends(without_redis)
    redis_to_kill.restart()
    await world.add(*[world.subject(p) for p in range(PARTITIONS)] * 20)
    kafka_to_kill.kill()
    await ends(without_kafka)
    redis_to_kill.kill()
    await ends(alone)


async def test_a_request_on_a_connection_that_has_just_ended_fails_as_an_error_of_kafka(
    kafka_to_kill: LocalKafka,
) -> None:
    """Any other error ends aiokafka's metadata synchronizer, and with it the client (ADR 17)."""
    if kafka_to_kill.pid is None or not kafka_to_kill._serves():
        await asyncio.to_thread(kafka_to_kill.restart)
    consumer = reader_of(kafka_to_kill.bootstrap_servers)
    await consumer.start()
    client = consumer._client
    (broker,) = client.cluster.brokers()
    assert await client.ready(broker.nodeId)
    (connection,) = client._conns.values()

    connection._writer.transport.abort()
    await asyncio.sleep(0)  # it is closed now, and the client has not been told
    with pytest.raises(KafkaConnectionError):
        await connection.send(MetadataRequest([]))

    assert await client.force_metadata_update()
    await consumer.stop()
