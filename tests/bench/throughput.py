"""Orders per second through the whole life: placed, reserved, paid, Unshipped, shipped, delivered.

All orders are placed as fast as Kafka takes them, and the clock stops when the last one is
delivered. Where the time goes: CPU per order of every process. Afterwards the books have to
balance, over all that was said.
"""

import asyncio
import time
from typing import Any

from redis.asyncio import Redis

from tests.bench.bed import Bed, Outside, outside
from tests.bench.figures import spread, spreads
from tests.bench.log import Since, traffic
from tests.bench.sizes import Sizes

REDIS_COUNTS = {
    "in": ("stats", "total_net_input_bytes"),
    "out": ("stats", "total_net_output_bytes"),
}
"""Of Redis' own counts: bytes of commands, and of replies."""


async def lives(world: Outside, of: Bed, orders: int) -> dict[str, float]:
    """One run: orders per second, and CPU per order (us) of each process."""
    prepared = world.load.prepare(orders)
    before, began_s = of.usage(), time.perf_counter()
    placing = asyncio.ensure_future(world.load.place(prepared))
    await world.load.follow(orders)
    took_s = time.perf_counter() - began_s
    after = of.usage()
    await placing
    await world.rest()
    cpu = {name: 1e6 * (after[name].cpu_s - used.cpu_s) / orders for name, used in before.items()}
    return {"orders_per_s": round(orders / took_s, 1)} | {n: round(us) for n, us in cpu.items()}


def rates(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Spreads of several runs: the rate; CPU per order by process and together; shares of it."""
    cpu = [{k: v for k, v in run.items() if k != "orders_per_s"} for run in runs]
    found = spreads(cpu)
    total = spread([sum(run.values()) for run in cpu])
    return {
        "orders_per_s": spread([run["orders_per_s"] for run in runs]),
        "cpu_us_per_order": {**found, "all": total},
        "cpu_share": {
            name: round(each["median"] / max(total["median"], 1), 3) for name, each in found.items()
        },
    }


def measure(of: Bed, sizes: Sizes, _: dict[str, Any]) -> dict[str, Any]:
    """Several runs after one that warms up, and the books."""
    return asyncio.run(_measure(of, sizes))


async def _measure(of: Bed, sizes: Sizes) -> dict[str, Any]:
    async with outside(of) as world:
        await lives(world, of, sizes.warm_orders)
        since = Since(world.observer.reader, of.settings.kafka_bootstrap_servers)
        await since.begin()
        before = await _redis_bytes(world.observer.redis)
        runs = [await lives(world, of, sizes.orders)]
        after = await _redis_bytes(world.observer.redis)
        carried = traffic(await since.told(), sizes.orders)
        runs += [await lives(world, of, sizes.orders) for _ in range(sizes.runs - 1)]
        books = await world.observer.audit(world.load.sent)
    if not books.balanced:
        raise SystemExit(f"the books do not balance: {books.violations[:5]} {books.unchecked}")
    return {
        "orders": sizes.orders,
        **rates(runs),
        "kafka_per_order": carried,
        "redis_bytes_per_order": {
            name: round((after[name] - n) / sizes.orders) for name, n in before.items()
        },
        "rss_mb": {name: round(used.rss_mb) for name, used in of.usage().items()},
        "books": {"balanced": True, "records": books.page("rest").counts["records"]},
    }


async def _redis_bytes(redis: Redis) -> dict[str, int]:
    """Of all since Redis began, idle polls of the services included: some KB a second."""
    found = {}
    for name, (section, count) in REDIS_COUNTS.items():
        found[name] = int((await redis.info(section))[count])
    return found
