"""What `appendfsync always` costs against `everysec`, in turns on the same Redis."""

import asyncio
from typing import Any

from tests.bench.bed import Bed, outside
from tests.bench.sizes import Sizes
from tests.bench.throughput import lives, rates

SETTINGS = ("everysec", "always")


def measure(of: Bed, sizes: Sizes, _: dict[str, Any]) -> dict[str, Any]:
    """The throughput bench's figures under each setting."""
    return asyncio.run(_measure(of, sizes))


async def _measure(of: Bed, sizes: Sizes) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {setting: [] for setting in SETTINGS}
    async with outside(of) as world:
        redis = world.observer.redis
        await lives(world, of, sizes.warm_orders)
        for _ in range(sizes.few):
            for setting in SETTINGS:
                await redis.config_set("appendfsync", setting)
                runs[setting].append(await lives(world, of, sizes.orders))
        await redis.config_set("appendfsync", SETTINGS[0])
    found: dict[str, Any] = {setting: rates(of_setting) for setting, of_setting in runs.items()}
    medians = [found[setting]["orders_per_s"]["median"] for setting in SETTINGS]
    return {**found, "always_share": round(medians[1] / medians[0], 3)}
