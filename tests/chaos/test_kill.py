"""Any process is killed with -9 under load and started again: nothing to repair, books balanced."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import redis

from services.cli.child_process import ChildProcess, Processes, stop_all
from services.cli.kafka_server import LocalKafka
from services.cli.redis_server import LocalRedis
from services.cli.run import ORDER_SERVICES
from services.cli.server import LocalServer, Server, free_port
from services.cli.system import System
from tests.support.market import Market

OPENING = datetime(2027, 2, 26, 22, 17, 3, 501_000, UTC)
"""A Friday night before the end of a short month."""
PARTITIONS = 8
ENDS_WITHIN_S = 10.0
"""What is promised of SIGTERM."""
POLL_S = 0.05
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


async def check(market: Market, running: System) -> None:
    """Let everything come to its end: as it should, and the books balance."""
    books = await market.end()
    assert market.wrong() == []
    assert market.papers.doubled == []
    assert books.violations == ()
    assert books.unchecked == ()
    assert running.ended() == ()


async def test_p1_to_p6_each_service_is_killed_under_load_and_nothing_is_lost_or_doubled(
    market: Market, running: System
) -> None:
    async with market.trade():
        for name in ORDER_SERVICES:
            await market.orders_come(25)
            running.processes[name].kill()
            await market.orders_come(5)
            running.processes[name].start()
        await asyncio.to_thread(running.wait_until_ready)

    await check(market, running)
    assert market.rare_units() == {0}


@pytest.mark.parametrize("seed", [3, 1941])
async def test_p1_to_p6_services_are_killed_at_any_time_even_while_they_start(
    market: Market, running: System, seed: int
) -> None:
    rng = Random(seed)
    async with market.trade():
        for _ in range(rng.randint(3, 5)):
            process = running.processes[rng.choice(ORDER_SERVICES)]
            await market.orders_come(rng.randint(1, 30))
            process.kill()
            await market.orders_come(rng.randint(0, 8))
            process.start()
        await asyncio.to_thread(running.wait_until_ready)

    await check(market, running)


@pytest.mark.real_kafka  # a rebalance of the embedded one takes a session, and there are three
async def test_p2_p6_of_two_workers_one_is_killed_and_the_other_takes_over(
    market: Market, running: System, tmp_path: Path
) -> None:
    with another("fulfillment", running, tmp_path) as second:
        async with market.trade():
            await holding(running, "fulfillment", PARTITIONS // 2)
            await holding(second, "fulfillment", PARTITIONS // 2)
            await market.orders_come(20)
            running.processes["fulfillment"].kill()
            await market.orders_come(20)
            await holding(second, "fulfillment", PARTITIONS)
        running.processes["fulfillment"].start()

        await check(market, running)


async def test_p6_redis_is_killed_under_load_and_comes_back_with_what_it_had_acked(
    market: Market, running: System
) -> None:
    server = running.servers.redis
    assert isinstance(server, LocalRedis)
    with redis.Redis.from_url(server.redis_url) as client:
        # As in production: with everysec an ack may still wait for a slow disk in memory.
        client.config_set("appendfsync", "always")
    async with market.trade():
        await market.orders_come(20)
        await asyncio.to_thread(server.kill)
        await market.orders_come(20)
        await asyncio.to_thread(server.restart)
        await market.orders_come(20)

    await check(market, running)


async def test_p6_kafka_is_killed_under_load_and_comes_back_with_what_it_had_acked(
    market: Market, running: System
) -> None:
    server = running.servers.kafka
    assert isinstance(server, LocalKafka)
    async with market.trade():
        await market.orders_come(20)
        await asyncio.to_thread(server.kill)
        await market.orders_come(20)
        await asyncio.to_thread(server.restart)
        await market.orders_come(20)

    await check(market, running)


# -- the orderly end -------------------------------------------------------------------------------


async def test_sigterm_ends_each_service_in_time_under_load_and_leaves_nothing_undone(
    market: Market, running: System
) -> None:
    async with market.trade():
        for name in ORDER_SERVICES:
            await market.orders_come(10)
            ended = await sigterm(running.processes[name])
            assert ended == {name: 0}
            running.processes[name].start()
        await asyncio.to_thread(running.wait_until_ready)

    await check(market, running)


@pytest.mark.parametrize("away", ["kafka", "redis"])
async def test_sigterm_ends_every_service_in_time_while_a_server_is_away(
    market: Market, running: System, away: str
) -> None:
    servers: Mapping[str, Server] = {"kafka": running.servers.kafka, "redis": running.servers.redis}
    server = servers[away]
    assert isinstance(server, LocalServer)
    async with market.trade():
        await market.orders_come(20)
        await asyncio.to_thread(server.kill)
        await market.orders_come(10)
        ended = await sigterm(*(running.processes[name] for name in ORDER_SERVICES))
        assert ended == dict.fromkeys(ORDER_SERVICES, 0)
        await asyncio.to_thread(server.restart)
        for name in ORDER_SERVICES:
            running.processes[name].start()
        await asyncio.to_thread(running.wait_until_ready)

    await check(market, running)


async def sigterm(*processes: ChildProcess) -> dict[str, int]:
    """SIGTERM to all at once; their exit codes, that of SIGKILL where one took too long."""
    await asyncio.to_thread(stop_all, processes, ENDS_WITHIN_S)
    ends = [ended for process in processes if (ended := process.ended())]
    return {ended.name: ended.exit_code for ended in ends}


@contextmanager
def another(service: str, running: System, log_dir: Path) -> Iterator[System]:
    """A second worker of a service, as a system that has no other."""
    port = free_port()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": running.settings.kafka_bootstrap_servers,
        "REDIS_URL": running.settings.redis_url,
        "HEALTH_PORT": str(port),
    }
    with Processes(log_dir) as processes:
        processes.start(service, running.processes[service].argv, env)
        yield System(running.settings, running.servers, processes, {service: port})


async def holding(system_: System, service: str, count: int) -> None:
    """Wait until a worker has so many partitions open."""
    open_: list[str] = []
    while len(open_) != count:
        await asyncio.sleep(POLL_S)
        health = await asyncio.to_thread(system_.health, service) or {"partitions": {}}
        open_ = [p for p, state in health["partitions"].items() if state == "open"]
