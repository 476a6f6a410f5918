"""Redis or Kafka do not fit together any more: refused loudly, with what to do about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from services.cli.kafka_server import KafkaServer
from services.cli.redis_server import RedisServer
from shared.process import EXIT_REFUSED
from tests.support.toy_world import PARTITIONS, World, until

pytestmark = pytest.mark.asyncio


@pytest.fixture
def world(kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path) -> World:
    return World(kafka.bootstrap_servers, redis_server.redis_url, tmp_path)


@asynccontextmanager
async def admin(world: World) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap_servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def told(world: World, times: int) -> None:
    """Add to each partition, and let a worker come to rest on it."""
    await world.add(*[world.subject(p) for p in range(PARTITIONS)] * times)
    async with world.worker():
        await world.rest()


async def refused(world: World) -> str:
    """Start a worker that has to refuse; what it says."""
    worker = world.start()
    assert await worker.ended() == EXIT_REFUSED
    assert "Traceback" not in worker.said
    return worker.said


async def keys(world: World) -> list[bytes]:
    return [key async for key in world.redis.scan_iter(f"{{{world.name}:*")]


async def copy_of(world: World) -> dict[bytes, Any]:
    """All that Redis holds of the toy, to be put back later: a backup."""
    return {key: await world.redis.dump(key) for key in await keys(world)}


async def put_back(world: World, backup: dict[bytes, Any]) -> None:
    """All at once, as a server that starts again has it."""
    async with world.redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(*await keys(world))
        for key, dumped in backup.items():
            pipeline.restore(key, 0, dumped)
        await pipeline.execute()


async def test_p6_an_emptied_redis_beside_a_journal_is_refused(world: World) -> None:
    async with world.opened():
        await told(world, 2)
        await put_back(world, {})

        said = await refused(world)

        assert f"Redis is empty for {world.name}, partition " in said
        assert f"its journal {world.name}.events holds commit " in said
        assert "it was emptied, or is another. Check REDIS_URL" in said
        assert f"run `orderflow rebuild {world.name}`" in said


async def test_p3_p6_a_redis_that_went_back_learns_from_the_journal_what_it_has_forgotten(
    world: World,
) -> None:
    async with world.opened():
        await told(world, 2)
        backup = await copy_of(world)
        await told(world, 3)
        known = await copy_of(world)
        await put_back(world, backup)

        async with world.worker() as worker:
            await world.rest()
            assert worker.totals()["folded"] == 3 * PARTITIONS
            assert worker.totals()["redelivered"] == worker.totals()["repeats"] == 0
            await world.add(*(world.subject(p) for p in range(PARTITIONS)))
            await world.rest()
        assert len(await keys(world)) == len(known)
        await world.books()


async def test_p6_a_redis_that_goes_back_under_a_worker_without_work_is_noticed_at_once(
    world: World,
) -> None:
    async with world.opened(), world.worker() as worker:
        await world.add(*(world.subject(p) for p in range(PARTITIONS)))
        await world.rest()
        backup = await copy_of(world)
        await world.add(*[world.subject(0)] * 5, world.subject(1))
        await world.rest()
        known = [await world.document(world.subject(p)) for p in range(PARTITIONS)]
        await put_back(world, backup)

        async def folded() -> bool:
            return worker.totals()["folded"] == 6

        await until(folded, "what was lost is folded, though nothing more has come")
        await world.rest()
        assert [await world.document(world.subject(p)) for p in range(PARTITIONS)] == known
        await world.books()


async def test_p6_a_redis_emptied_under_a_worker_without_work_ends_it(world: World) -> None:
    async with world.opened():
        worker = world.start()
        await world.add(*(world.subject(p) for p in range(PARTITIONS)))
        await world.rest()
        await put_back(world, {})

        assert await worker.ended() == EXIT_REFUSED
        assert "Redis is empty" in worker.said


async def test_p6_a_redis_and_journal_that_are_both_new_begin_anew(world: World) -> None:
    """The other side: nothing is refused where nothing was published."""
    async with world.opened():
        await told(world, 0)
        await put_back(world, {})
        await told(world, 2)
        await world.books()


@pytest.mark.real_kafka
async def test_p6_an_input_topic_that_was_made_anew_is_refused(world: World) -> None:
    async with world.opened():
        await told(world, 3)
        async with admin(world) as client:
            await client.delete_topics([world.topics.left.name])
        await world.make_topics()

        said = await refused(world)

        assert f"{world.name} stands at offset 3 of {world.name}-left, partition " in said
        assert "which holds 0 to 0: the topic was made anew" in said


@pytest.mark.real_kafka
async def test_p6_a_journal_that_was_made_anew_is_refused(world: World) -> None:
    async with world.opened():
        await told(world, 3)
        async with admin(world) as client:
            await client.delete_topics([world.topics.events.name])
        await world.make_topics()

        said = await refused(world)

        assert f"Redis knows journal {world.name}.events, partition " in said
        assert "up to offset 3, but it ends at 0: the topic was made anew" in said


@pytest.mark.real_kafka
async def test_p6_records_deleted_before_they_were_read_are_refused_and_the_remedy_works(
    world: World,
) -> None:
    async with world.opened():
        left = TopicPartition(world.topics.left.name, 0)
        await told(world, 1)
        await world.add(*[world.subject(0)] * 9)
        await forget(world, left, before=1)  # just what was read
        await told(world, 0)
        await world.books()
        await world.add(*[world.subject(0)] * 5)
        await forget(world, left, before=12)

        said = await refused(world)

        assert f"stands at offset 10 of {left.topic}, partition 0, which holds 12 to 15" in said
        assert "the topic lost records that were never read" in said
        remedy = f"HSET {{{world.name}:0}}:meta next:{left.topic} OFFSET"
        assert remedy in said

        await world.redis.hset(f"{{{world.name}:0}}:meta", f"next:{left.topic}", "12")
        await told(world, 0)
        state = (await world.document(world.subject(0))).state
        assert state is not None
        assert state.count == 10 + 3


@pytest.mark.real_kafka
async def test_p6_control_records_that_were_deleted_before_a_start_are_no_loss(
    world: World,
) -> None:
    async with world.opened():
        right = TopicPartition(world.topics.right.name, 0)
        await world.add_in_transaction(world.subject(0))

        async def added() -> bool:
            return (await world.stored())[0].positions.get(right.topic) == 1

        async with world.worker():
            await until(added, "the addition is read, and not the end of its transaction")
        async with world.worker():
            await world.rest()  # that is passed, too
        await forget(world, right, before=2)

        async with world.worker():
            await world.add(world.subject(0), to="right")
            await world.rest()
        state = (await world.document(world.subject(0))).state
        assert state is not None
        assert state.count == 2


async def forget(world: World, partition: TopicPartition, before: int) -> None:
    async with admin(world) as client:
        await client.delete_records({partition: RecordsToDelete(before_offset=before)})
