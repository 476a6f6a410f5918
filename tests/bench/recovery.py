"""From the kill -9 of a worker at full load to the first fact of its partitions by its successor.

Of two workers of fulfillment one is killed while orders wait in all partitions. In between:
Kafka notices (the session time-out) and hands its partitions over; then the other opens them.
"""

import asyncio
import time
from signal import SIGKILL
from typing import Any

from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.kafka import SESSION_TIMEOUT_MS
from tests.bench.bed import Bed, outside, until
from tests.bench.figures import spread
from tests.bench.log import Since
from tests.bench.sizes import Sizes
from tests.bench.throughput import lives

SERVICE = "fulfillment"
BACKLOG_S = 3 * SESSION_TIMEOUT_MS / 1000
"""Of orders at the rate that was just measured: they outlast the noticing."""


def measure(of: Bed, sizes: Sizes, _: dict[str, Any]) -> dict[str, Any]:
    """Seconds, of several kills."""
    runs = []
    for _run in range(sizes.few):
        with of.workers(2, (SERVICE,)):
            (victim,) = of.more
            runs.append(asyncio.run(_kill(of, victim, sizes)))
    names = ("noticed_s", "then_first_fact_s", "all_s")
    return {name: spread([run[name] for run in runs]) for name in names}


async def _kill(of: Bed, victim: str, sizes: Sizes) -> dict[str, float]:
    """Kill one of two; the first keeps running, at the address that the system knows."""
    async with outside(of) as world:
        rate = (await lives(world, of, sizes.warm_orders))["orders_per_s"]
        orphans = _held(of, victim)
        since = Since(
            world.observer.reader, of.settings.kafka_bootstrap_servers, [FULFILLMENT_EVENTS.name]
        )
        await since.begin()
        orders = round(rate * BACKLOG_S)
        placing = asyncio.ensure_future(world.load.place(world.load.prepare(orders)))
        following = asyncio.ensure_future(world.load.follow(orders))
        await asyncio.sleep(1)  # until the load is everywhere
        of.running.processes[victim].signal(SIGKILL)
        killed_ms = time.time() * 1000

        async def taken_over() -> bool:
            return orphans <= await asyncio.to_thread(_held, of, SERVICE)

        await until(taken_over)
        noticed_ms = time.time() * 1000
        await placing
        await following
        await world.rest()
        told = [t.at_ms for t in await since.told() if t.partition in orphans]
    # The dead one's last facts may have a timestamp of the very millisecond.
    first_ms = min(at_ms for at_ms in told if at_ms > killed_ms + 1)
    return {
        "noticed_s": round((noticed_ms - killed_ms) / 1000, 2),
        "then_first_fact_s": round((first_ms - noticed_ms) / 1000, 2),
        "all_s": round((first_ms - killed_ms) / 1000, 2),
    }


def _held(of: Bed, worker: str) -> set[int]:
    return {int(partition) for partition in of.partitions_of(worker)}
