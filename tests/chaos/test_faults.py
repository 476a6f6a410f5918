"""Every service is killed at every step, sleeps past its session, is lied to, and is joined."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli.child_process import Processes, stop_all
from services.cli.system import System
from services.inventory import store as stock_store
from shared import partition_store
from shared.partition import STEPS
from shared.redis import TRIP_TIMEOUT_S
from tests.support.market import Market
from tests.support.ordeal import (
    ENDS_WITHIN_S,
    ORDERS_PER_WAVE,
    SERVICES,
    WAVE_S,
    WAVES,
    asleep_at,
    check,
    environment,
    killed_at,
)
from tests.support.tcp_proxy import Fault, TcpProxy

OPENING = datetime(2026, 10, 24, 22, 17, 3, 501_000, UTC)
"""The night in which summer time ends in Europe."""
PARTITIONS = 4
EVERY_NTH, LIES = 7, 20
COMMIT = partition_store._COMMIT.sha.encode()
STOCK = stock_store._STOCK.sha.encode()

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]


@pytest.mark.parametrize("step", STEPS)
async def test_p1_to_p6_all_services_are_killed_at_a_step_at_once(
    market: Market, running: System, tmp_path: Path, step: str
) -> None:
    async with market.trade():
        await killed_at(market, running, tmp_path, dict.fromkeys(SERVICES, step))

    await check(market, running)


@pytest.mark.real_kafka
@pytest.mark.parametrize("step", ["decided", "committed"])
async def test_p3_services_that_sleep_past_their_session_do_nothing_twice_when_they_wake(
    market: Market, running: System, tmp_path: Path, step: str
) -> None:
    async with market.trade():
        await asleep_at(market, running, tmp_path, dict.fromkeys(SERVICES, step))

    await check(market, running)


@pytest.mark.real_kafka
async def test_p3_second_workers_join_and_leave_every_service_under_load(
    market: Market, running: System, tmp_path: Path
) -> None:
    async with market.trade():
        with Processes(tmp_path) as processes:
            for name in SERVICES:
                argv = running.processes[name].argv
                processes.start(name, argv, environment(running))
            await market.orders_come(60)
            await asyncio.to_thread(stop_all, [processes[n] for n in SERVICES], ENDS_WITHIN_S)
            await market.orders_come(20)

    await check(market, running)


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_CUT, Fault.REPLY_LATE])
async def test_p3_p6_redis_lies_to_every_service_and_nothing_is_lost_or_doubled(
    market: Market, running: System, tmp_path: Path, fault: Fault
) -> None:
    seen, told = 0, 2 if fault is Fault.REPLY_LATE else LIES

    def lie(request: bytes) -> Fault:
        nonlocal seen
        seen += COMMIT in request or STOCK in request
        due = seen % EVERY_NTH == 0 and len(proxy.faults) < told
        return fault if due and (COMMIT in request or STOCK in request) else Fault.NONE

    host, _, port = running.settings.redis_url.removeprefix("redis://").partition(":")
    proxy = TcpProxy(host, int(port.partition("/")[0]), late_s=TRIP_TIMEOUT_S + 1)
    proxy.fault = lie
    own = [running.processes[name] for name in SERVICES]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(proxy.listening())
        await stack.enter_async_context(market.trade())
        await asyncio.to_thread(stop_all, own, ENDS_WITHIN_S)
        with Processes(tmp_path) as processes:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            for process in own:
                processes.start(process.name, process.argv, environment(running, url))
            for _ in range(WAVES):
                await market.orders_come(ORDERS_PER_WAVE)
                await asyncio.sleep(WAVE_S)
                if len(proxy.faults) == told:
                    break
            assert len(proxy.faults) == told
            await asyncio.to_thread(stop_all, [processes[n] for n in SERVICES], ENDS_WITHIN_S)
        for process in own:
            process.start()
        await asyncio.to_thread(running.wait_until_ready)

    await check(market, running)
