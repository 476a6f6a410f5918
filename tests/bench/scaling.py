"""Orders per second with more workers of each service, as far as the cores show it."""

import asyncio
from typing import Any

from tests.bench.bed import Bed, outside
from tests.bench.sizes import Sizes
from tests.bench.throughput import lives, rates


def measure(of: Bed, sizes: Sizes, _: dict[str, Any]) -> dict[str, Any]:
    """A row per number of workers."""
    rows = []
    for each in sizes.workers:
        with of.workers(each):
            rows.append({"workers": each, **asyncio.run(_measure(of, sizes))})
    return {"rows": rows}


async def _measure(of: Bed, sizes: Sizes) -> dict[str, Any]:
    async with outside(of) as world:
        await lives(world, of, sizes.warm_orders)
        return rates([await lives(world, of, sizes.orders) for _ in range(sizes.few)])
