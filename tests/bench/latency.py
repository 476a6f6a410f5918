"""Latency of each hop and end to end, below the rate that was measured.

Open loop: orders arrive at instants that were drawn before, however late those before them are,
and latency counts from these instants (no coordinated omission). A hop is from the timestamp of
the record that led to a fact to the fact's own, by `causationid`: on one machine, so by one clock.
It holds the ack of its cause, the time to be consumed, decided and committed, until it is sent.
"""

import asyncio
import time
from collections import defaultdict
from typing import Any

from tests.bench.bed import Bed, Outside, outside
from tests.bench.figures import arrivals_s, percentiles, spread
from tests.bench.load import DELIVERED
from tests.bench.log import Since, Told, caused
from tests.bench.sizes import Sizes
from tests.bench.throughput import lives

UNSHIPPED = "order.unshipped.v1"
ENDS = {UNSHIPPED: "placed to Unshipped", DELIVERED: "placed to delivered"}
LEAD_S = 0.5


def measure(of: Bed, sizes: Sizes, known: dict[str, Any]) -> dict[str, Any]:
    """At each share of the rate, several runs: percentiles in ms, and their spread."""
    return asyncio.run(_measure(of, sizes, known))


async def _measure(of: Bed, sizes: Sizes, known: dict[str, Any]) -> dict[str, Any]:
    async with outside(of) as world:
        warm = await lives(world, of, sizes.warm_orders)
        ours = known.get("throughput")
        rate = ours["orders_per_s"]["median"] if ours else warm["orders_per_s"]
        at = []
        for share in sizes.shares:
            runs = [await _run(world, of, rate * share, sizes, n) for n in range(sizes.few)]
            at.append(
                {"share": share, "orders_per_s": round(rate * share, 1), "ms": _spreads(runs)}
            )
    return {"rate": rate, "seconds": sizes.latency_s, "at": at}


async def _run(
    world: Outside, of: Bed, rate: float, sizes: Sizes, seed: int
) -> dict[str, dict[str, float]]:
    orders = max(round(rate * sizes.latency_s), 1)
    since = Since(world.observer.reader, of.settings.kafka_bootstrap_servers)
    await since.begin()
    prepared = world.load.prepare(orders)
    begin_s = time.time() + LEAD_S
    instants_s = [begin_s + at_s for at_s in arrivals_s(rate, orders, seed)]
    placing = asyncio.ensure_future(world.load.place(prepared, instants_s))
    await world.load.follow(orders)
    await placing
    await world.rest()
    scheduled = {each.order_id: at for each, at in zip(prepared, instants_s, strict=True)}
    return _percentiles(await since.told(), scheduled)


def _percentiles(told: list[Told], scheduled: dict[str, float]) -> dict[str, dict[str, float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for each, by, cause in caused(told):
        if by is not None and cause is not None:
            found[by].append(each.at_ms - cause.at_ms)
        if end := ENDS.get(each.event["type"]):
            found[end].append(each.at_ms - scheduled[each.key.decode()] * 1000)
    return {name: percentiles(values) for name, values in sorted(found.items())}


def _spreads(runs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    return {
        name: {
            key: spread([round(run[name][key], 1) for run in runs])
            for key in ("p50", "p99", "p99.9", "max")
        }
        for name in runs[0]
    }
