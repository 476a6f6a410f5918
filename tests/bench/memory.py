"""What a held order takes, and whether anything gets dearer with more of them.

Orders are placed and paid, and held, until so many are live; the most of many are copies of these
in Redis (copies.py), which is where they weigh. Then: Redis' memory per order, the services' own,
what a whole life costs beside them, and how long Redis and the system take to be back after a
kill -9 of Redis.
"""

import asyncio
import time
from typing import Any

from tests.bench.bed import Bed, Outside, outside
from tests.bench.copies import copy
from tests.bench.sizes import Sizes
from tests.bench.throughput import lives, rates

SAMPLES = 16
"""Held orders that are copied: of both kinds, in all partitions."""
REDIS_LIMIT_S = 900.0
"""For Redis to read its append-only file."""


def measure(of: Bed, sizes: Sizes, _: dict[str, Any]) -> dict[str, Any]:
    """A row per number of live orders."""
    of.redis._start_limit_s = REDIS_LIMIT_S
    return {"rows": asyncio.run(_measure(of, sizes))}


async def _measure(of: Bed, sizes: Sizes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    live, samples = 0, list[str]()
    async with outside(of) as world:
        await lives(world, of, sizes.warm_orders)
        for wanted in sizes.live:
            before = await _redis_bytes(world)
            if wanted <= sizes.held:
                samples = await _hold(world, wanted - live)
            else:
                await copy(world.observer.redis, samples, live, wanted - live)
            held_bytes = await _redis_bytes(world) - before
            rows.append(await _row(world, of, sizes, wanted, held_bytes / (wanted - live)))
            live = wanted
    return rows


async def _row(
    world: Outside, of: Bed, sizes: Sizes, live: int, held_bytes: float
) -> dict[str, Any]:
    runs = [await lives(world, of, sizes.orders) for _ in range(sizes.few)]
    found = rates(runs)
    rss = {name: round(used.rss_mb) for name, used in of.usage().items()}
    rss.pop("producer")
    return {
        "live": live,
        "copied": live > sizes.held,
        "redis_bytes_per_held_order": round(held_bytes),
        "rss_mb": rss,
        "orders_per_s": found["orders_per_s"],
        "cpu_us_per_order": found["cpu_us_per_order"]["all"],
        "redis_restart": await _restart(world, of),
    }


async def _hold(world: Outside, orders: int) -> list[str]:
    """Place and pay so many, held; some of their ids."""
    prepared = world.load.prepare(orders, held=True)
    await world.load.place(prepared)
    await world.rest()
    return [each.order_id for each in prepared[:SAMPLES]]


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
