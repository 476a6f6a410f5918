"""Workers that come, go, hang and die under load: the books balance, no partition stands still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import pytest

from services.cli.kafka_server import KafkaServer
from services.cli.redis_server import RedisServer
from tests.support.toy_worker import ToyProcess
from tests.support.toy_world import PARTITIONS, World, until

pytestmark = pytest.mark.asyncio


@pytest.fixture
def world(kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path) -> World:
    return World(kafka.bootstrap_servers, redis_server.redis_url, tmp_path)


@asynccontextmanager
async def load(world: World) -> AsyncIterator[None]:
    """Additions to every partition, on both topics, all the time; told whole."""
    subjects = [world.subject(p, n) for n in range(5) for p in range(PARTITIONS)]

    enough = asyncio.Event()

    async def tell() -> None:
        while not enough.is_set():
            await world.add(*subjects * 2)
            await world.add(*subjects * 2, to="right")
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as telling:
        telling.create_task(tell())
        yield
        enough.set()


async def share(world: World, *workers: ToyProcess) -> None:
    """Wait until these have all partitions among them, each one open, and go on."""

    async def shared() -> bool:
        held = [health["partitions"] for _, health in [await w.health() for w in workers]]
        states = [state for partitions in held for state in partitions.values()]
        return states == ["open"] * PARTITIONS and all(held)

    await until(shared, "each of the workers has partitions, all are open")
    before = [sum(found.positions.values()) for found in await world.stored()]

    async def further() -> bool:
        now = [sum(found.positions.values()) for found in await world.stored()]
        return all(after > known for after, known in zip(now, before, strict=True))

    await until(further, "every partition goes on")


async def test_p3_workers_join_leave_and_die_under_load_and_the_books_balance(
    world: World,
) -> None:
    async with world.opened():
        async with load(world):
            first = world.start()
            await first.serves()
            await share(world, first)
            second, third = world.start(), world.start()
            await second.serves()
            await third.serves()
            await share(world, first, second, third)
            first.signal(SIGTERM)
            assert await first.ended(within_s=10) == 0
            await share(world, second, third)
            second.signal(SIGKILL)
            await share(world, third)
        await world.rest()
        await world.books()


async def test_p3_a_rebalance_that_waits_for_a_member_leaves_no_partition_standing_still(
    world: World,
) -> None:
    async with world.opened():
        async with load(world):
            first, slow = world.start(), world.start()
            await first.serves()
            await slow.serves()
            await share(world, first, slow)

            slow.signal(SIGSTOP)
            third = world.start()
            await third.serves()
            await asyncio.sleep(2)  # the others wait for the slow one's answer: this is the case
            slow.signal(SIGCONT)

            await share(world, first, slow, third)
        await world.rest()
        await world.books()
