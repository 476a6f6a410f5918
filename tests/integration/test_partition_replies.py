"""Replies of Redis that are lost or late, and trips: nothing doubled, nothing lost, and few."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from services.cli.kafka_server import KafkaServer
from services.cli.redis_server import RedisServer
from shared import partition_store
from shared.redis import TRIP_TIMEOUT_S
from tests.support.tcp_proxy import Fault, TcpProxy
from tests.support.toy_world import PARTITIONS, Cases, World, at_once, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMIT = partition_store._COMMIT.sha.encode()
CLAIM = partition_store._CLAIM.sha.encode()
LOAD = b"MGET"


@asynccontextmanager
async def proxied(world: World) -> AsyncIterator[TcpProxy]:
    host, _, port = world.redis_url.removeprefix("redis://").removesuffix("/0").partition(":")
    async with TcpProxy(host, int(port), late_s=TRIP_TIMEOUT_S + 1).listening() as proxy:
        yield proxy


def through(proxy: TcpProxy, world: World) -> dict[str, Any]:
    """The settings of a worker that talks to its Redis through the proxy, to its clock directly."""
    return {"redis_url": f"redis://127.0.0.1:{proxy.port}/0", "clock_redis_url": world.redis_url}


def every(nth: int, command: bytes, fault: Fault, most: int) -> Callable[[bytes], Fault]:
    """The fault for each n-th request with this command, at most so often."""
    seen = count(1)

    def decide(request: bytes) -> Fault:
        if command not in request:
            return Fault.NONE
        times, rest = divmod(next(seen), nth)
        return fault if rest == 0 and times <= most else Fault.NONE

    return decide


class Lie(NamedTuple):
    """What happens to each n-th request with a command, so often."""

    command: bytes
    fault: Fault
    nth: int = 2
    most: int = 5


LIES = {
    "a commit that is lost": Lie(COMMIT, Fault.REQUEST_LOST),
    "a commit whose reply is cut off": Lie(COMMIT, Fault.REPLY_CUT),
    "a commit whose reply never comes": Lie(COMMIT, Fault.REPLY_SWALLOWED, most=2),
    "a commit whose reply is late": Lie(COMMIT, Fault.REPLY_LATE, most=2),
    "a claim whose reply is cut off": Lie(CLAIM, Fault.REPLY_CUT, nth=1),
    "documents that do not come": Lie(LOAD, Fault.REPLY_CUT, nth=1),
}


async def lied_to(world: World, lie: Lie) -> None:
    """Let a worker work with replies lost or late, and read its books."""
    async with world.opened(), proxied(world) as proxy:
        proxy.fault = every(lie.nth, lie.command, lie.fault, lie.most)
        async with world.worker(**through(proxy, world)):

            async def all_told() -> bool:
                await world.add(*(world.subject(p, n) for p in range(PARTITIONS) for n in range(2)))
                return len(proxy.faults) == lie.most

            await until(all_told, "all its lies")
            await world.rest()
        await world.books()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cases(
    kafka: KafkaServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cases[None]]:
    def world() -> World:
        logs = tmp_path_factory.mktemp("replies")
        return World(kafka.bootstrap_servers, redis_server.redis_url, logs)

    lies = {name: partial(lied_to, world(), lie) for name, lie in LIES.items()}
    async with at_once(lies) as running:
        yield running


@pytest.mark.parametrize("name", LIES)
async def test_p3_p6_nothing_is_lost_or_doubled_by(cases: Cases[None], name: str) -> None:
    await cases[name]


@pytest.fixture
def world(kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path) -> World:
    return World(kafka.bootstrap_servers, redis_server.redis_url, tmp_path)


async def test_p6_a_redis_that_forgets_its_scripts_gets_them_again(world: World) -> None:
    async with world.opened(), world.worker() as worker:
        for _ in range(12):
            await world.add(*(world.subject(p) for p in range(PARTITIONS)))
            await world.redis.script_flush()
            await asyncio.sleep(0.05)
        await world.rest()
        assert worker.totals()["refused"] == 0
        await world.books()


async def test_a_batch_costs_three_trips_whether_it_has_10_records_or_500(world: World) -> None:
    subjects = [world.subject(0, n) for n in range(50)]
    keys = f"{{{world.name}:0}}".encode()
    requests: list[bytes] = []

    def note(request: bytes) -> Fault:
        # Not the watchdog's look, nor what a connection begins with that is made beside it.
        if keys in request and b"PING" not in request:
            requests.append(request)
        return Fault.NONE

    async with world.opened(), proxied(world) as proxy:
        async with world.worker(**through(proxy, world)) as worker:
            await world.add(world.subject(0))
            await world.rest()
            proxy.fault = note
            for records in (10, 500):
                worker.log.pause(world.service.inputs, 0)
                await world.add(*(subjects * 10)[:records])
                commits = worker.totals()["commits"]
                requests.clear()
                worker.log.resume(world.service.inputs, 0)
                await world.rest()
                assert worker.totals()["commits"] == commits + 1
                assert len(requests) == 3, "load, commit, settle"
        await world.books()
