"""What the real services go through, all at once: killed at a step, or asleep there."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals

from services.cli.child_process import ChildProcess, Processes, stop_all
from services.cli.run import ORDER_SERVICES
from services.cli.server import free_port
from services.cli.system import System
from tests.support.market import Market
from tests.support.toy_worker import HERE

WAVES, ORDERS_PER_WAVE, WAVE_S = 60, 4, 0.8
"""Orders that come until all are at their steps, for a minute: on a busy machine a worker needs
some of it to start, and to join a group that still waits for a killed member."""
ENDS_WITHIN_S = 10.0


def environment(running: System, redis_url: str | None = None) -> dict[str, str]:
    """What a further worker of a service has to know."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": running.settings.kafka_bootstrap_servers,
        "REDIS_URL": redis_url or running.settings.redis_url,
        "CLOCK_REDIS_URL": running.settings.redis_url,
        "HEALTH_PORT": str(free_port()),
    }


@asynccontextmanager
async def victims(
    running: System, log_dir: Path, steps: Mapping[str, str], nth: int, signal: Signals
) -> AsyncIterator[dict[str, ChildProcess]]:
    """In the place of each service, one that signals itself at a step; then the service again."""
    own = [running.processes[name] for name in steps]
    await asyncio.to_thread(stop_all, own, ENDS_WITHIN_S)
    with Processes(log_dir) as processes:
        for name, step in steps.items():
            argv = [sys.executable, "-m", "tests.support.victim"]
            argv += [name, step, str(nth), signal.name]
            processes.start(name, argv, environment(running))
        try:
            yield {name: processes[name] for name in steps}
        finally:
            for process in own:
                if not process.running:
                    process.start()
        await asyncio.to_thread(running.wait_until_ready)


async def come_to_their_steps(
    market: Market,
    running: System,
    processes: Mapping[str, ChildProcess],
    is_there: Callable[[ChildProcess], object],
) -> None:
    """Let orders come until all are there; the service takes over from one that is so already.

    Else the others would wait for its facts.
    """
    missing = dict(processes)
    for _ in range(WAVES):
        await market.orders_come(ORDERS_PER_WAVE)
        for name in [name for name, process in missing.items() if is_there(process)]:
            running.processes[name].start()
            del missing[name]
        if not missing:
            return
        await asyncio.sleep(WAVE_S)
    raise AssertionError(f"never came to their steps: {list(missing)}")


async def killed_at(
    market: Market, running: System, log_dir: Path, steps: Mapping[str, str], nth: int = 2
) -> None:
    """Each service is killed with -9 at its step, under load, and comes back."""
    async with victims(running, log_dir, steps, nth, SIGKILL) as processes:
        await come_to_their_steps(market, running, processes, ChildProcess.ended)
        ends = {name: process.ended() for name, process in processes.items()}
        codes = {name: ended.exit_code for name, ended in ends.items() if ended}
        assert codes == dict.fromkeys(steps, -SIGKILL), ends


async def asleep_at(
    market: Market, running: System, log_dir: Path, steps: Mapping[str, str]
) -> None:
    """Each service sleeps at its step until another has taken over, and then wakes."""
    async with victims(running, log_dir, steps, 3, SIGSTOP) as processes:
        await come_to_their_steps(market, running, processes, _says_so)
        await asyncio.to_thread(running.wait_until_ready)
        await market.orders_come(ORDERS_PER_WAVE)
        for process in processes.values():
            process.signal(SIGCONT)
        await market.orders_come(5 * ORDERS_PER_WAVE)
        await asyncio.to_thread(stop_all, list(processes.values()), ENDS_WITHIN_S)


def _says_so(process: ChildProcess) -> bool:
    return HERE in process.log.read_text(errors="replace")


async def check(market: Market, running: System) -> None:
    """Let everything come to its end: as it should, and the books balance."""
    books = await market.end()
    assert market.wrong() == []
    assert market.papers.doubled == []
    assert books.violations == ()
    assert books.unchecked == ()
    assert running.ended() == ()


SERVICES = tuple(name.value for name in ORDER_SERVICES)
