"""What a held order takes, and whether anything gets dearer with more of them.

Orders are placed and paid, and held, until so many are live. Then: Redis' memory per order, the
services' own, what a whole life costs beside them, and how long Redis and the system take to be
back after a kill -9 of Redis.
"""

import asyncio
import time
from typing import Any

from tests.bench.bed import Bed, Outside, outside
from tests.bench.sizes import Sizes
from tests.bench.throughput import lives, rates

SLICE = 50_000
"""Held orders that are encoded at a time, some 1 KB each."""
REDIS_LIMIT_S = 900.0
"""For Redis to read its append-only file."""


def measure(of: Bed, sizes: Sizes, _: dict[str, Any]) -> dict[str, Any]:
    """A row per number of live orders."""
    of.redis._start_limit_s = REDIS_LIMIT_S
    return {"rows": asyncio.run(_measure(of, sizes))}


async def _measure(of: Bed, sizes: Sizes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    live = 0
    async with outside(of) as world:
        await lives(world, of, sizes.warm_orders)
        for wanted in sizes.live:
            rows.append(await _row(world, of, sizes, live, wanted))
            live = wanted
    return rows


async def _row(world: Outside, of: Bed, sizes: Sizes, live: int, wanted: int) -> dict[str, Any]:
    before, began_s = await _redis_bytes(world), time.perf_counter()
    await _hold(world, wanted - live)
    held_s, held_bytes = time.perf_counter() - began_s, await _redis_bytes(world) - before
    runs = [await lives(world, of, sizes.orders) for _ in range(sizes.runs)]
    found = rates(runs)
    rss = {name: round(used.rss_mb) for name, used in of.usage().items()}
    rss.pop("producer")
    return {
        "live": wanted,
        "redis_bytes_per_held_order": round(held_bytes / (wanted - live)),
        "held_per_s": round((wanted - live) / held_s),
        "rss_mb": rss,
        "orders_per_s": found["orders_per_s"],
        "cpu_us_per_order": found["cpu_us_per_order"]["all"],
        "redis_restart": await _restart(world, of),
    }


async def _hold(world: Outside, orders: int) -> None:
    while orders > 0:
        some = min(orders, SLICE)
        await world.load.place(world.load.prepare(some, held=True))
        await world.rest()
        orders -= some


async def _restart(world: Outside, of: Bed) -> dict[str, float]:
    """Seconds from the kill until Redis serves, and from then until an order is delivered."""
    prepared = world.load.prepare(1)
    began_s = time.perf_counter()
    of.redis.kill()
    await asyncio.to_thread(of.redis.start)
    served_s = time.perf_counter()
    await world.load.place(prepared)
    await world.load.follow(1)
    delivered_s = time.perf_counter()
    await world.rest()
    return {
        "served_s": round(served_s - began_s, 2),
        "then_delivered_s": round(delivered_s - served_s, 2),
    }


async def _redis_bytes(world: Outside) -> int:
    return int((await world.observer.redis.info("memory"))["used_memory"])
