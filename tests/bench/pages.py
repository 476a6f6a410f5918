"""The dashboard's pages with many orders: how long the server takes for each, while orders change.

Rows of a shop's orders, told again under other numbers, in a Redis of its own; pages are asked
in-process, by one who is signed in. Between two of them some orders change, as in production, so
that no answer is one that was given before.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from services.cli.redis_server import choose_redis
from services.dashboard.rows import Row
from services.dashboard.store import key
from shared.decode import partition_of
from shared.redis import connect
from tests.bench.figures import percentiles
from tests.bench.sizes import Sizes
from tests.support.screen import PARTITIONS, Screen, open_screen, project
from tests.support.shop import NOW, POLICIES, opened_shop

CHANGES = 20
"""Orders that change between two pages."""
A_MINUTE_MS = 60_000
VIEWERS, WATCHED_S = 50, 10.0
AT_ONCE = 5_000


class Town:
    """The pages, and the rows that they are asked of."""

    def __init__(self, screen: Screen, redis: Redis, rows: list[Row]) -> None:
        self.screen = screen
        self.addresses = {
            "overview": "/",
            "orders": "/orders",
            "orders, late": "/orders?urgency=late&sort=ship_by",
            "orders, by text": "/orders?text=0000777",
            "orders, page 1,000": "/orders?page=1000",
            "order": f"/orders/{rows[0].order_id}",
            "stock": "/stock",
            "deadlines": "/deadlines",
            "dead letters": "/letters",
            "audit": "/audit",
            "traffic": "/traffic",
        }
        self._redis = redis
        self._rows = itertools.cycle(rows)

    async def change(self) -> None:
        """Some orders change, and the pages' copy follows."""
        pipeline = self._redis.pipeline(transaction=False)
        for row in itertools.islice(self._rows, CHANGES):
            partition = partition_of(row.order_id, PARTITIONS)
            changed = row._replace(updated_ms=row.updated_ms + 1)
            pipeline.hset(key(partition, "orders"), row.order_id, to_json(changed))
            pipeline.xadd(key(partition, "changes"), {"of": f"order {row.order_id}"})
        await pipeline.execute()
        await self.screen.parts.follower.look()

    async def asked(self, address: str) -> tuple[float, float]:
        """Wall and CPU time of one page, in ms."""
        began_s, cpu_s = time.perf_counter(), time.process_time()
        await self.screen.get(address)
        return (time.perf_counter() - began_s) * 1e3, (time.process_time() - cpu_s) * 1e3

    async def watched(self, viewers: int) -> dict[str, float]:
        """What it costs when so many look on, each asking once a second: shares of a core."""
        addresses = itertools.cycle(self.addresses.values())
        redis_s, own_s, ends_s = (
            await self._redis_cpu_s(),
            time.process_time(),
            time.monotonic() + WATCHED_S,
        )

        async def looks_on(address: str) -> None:
            while time.monotonic() < ends_s:
                await self.screen.get(address)
                await asyncio.sleep(1)

        await asyncio.gather(*(looks_on(next(addresses)) for _ in range(viewers)))
        await asyncio.sleep(max(ends_s - time.monotonic(), 0))
        return {
            "redis": round((await self._redis_cpu_s() - redis_s) / WATCHED_S, 3),
            "pages": round((time.process_time() - own_s) / WATCHED_S, 3),
        }

    async def _redis_cpu_s(self) -> float:
        used: dict[str, float] = await self._redis.info("cpu")
        return used["used_cpu_user"] + used["used_cpu_sys"]


@asynccontextmanager
async def settled(redis_url: str, orders: int) -> AsyncIterator[Town]:
    """A town with so many orders."""
    shop, redis = opened_shop(), connect(redis_url)
    await project(redis, shop.records, at_once=100)
    rows = []
    for partition in range(PARTITIONS):
        found = await redis.hgetall(key(partition, "orders"))
        rows += [Row(*from_json(value)) for value in found.values()]
    pipeline = redis.pipeline(transaction=False)
    for nth, row in zip(range(len(rows), orders), itertools.cycle(rows), strict=False):
        back_ms = nth // len(rows) * A_MINUTE_MS
        again = row._replace(order_id=f"305-{nth:07}-0000000", text=f"305-{nth:07}\n{row.text}",
                             purchase_ms=row.purchase_ms - back_ms)  # fmt: skip
        partition = partition_of(again.order_id, PARTITIONS)
        pipeline.hset(key(partition, "orders"), again.order_id, to_json(again))
        if nth % AT_ONCE == 0:
            await pipeline.execute()
    await pipeline.execute()
    async with open_screen(redis_url, NOW, shop.records, POLICIES) as screen:
        yield Town(screen, redis, rows)
    await redis.aclose()


async def _measured(redis_url: str, sizes: Sizes) -> dict[str, Any]:
    async with settled(redis_url, sizes.listed) as town:
        found: dict[str, Any] = {"orders": sizes.listed, "ms": {}, "cpu_ms": {}}
        for name, address in town.addresses.items():
            wall, cpu = [], []
            for _ in range(sizes.asked):
                await town.change()
                wall_ms, cpu_ms = await town.asked(address)
                wall.append(wall_ms)
                cpu.append(cpu_ms)
            found["ms"][name], found["cpu_ms"][name] = percentiles(wall), percentiles(cpu)
        found["core_share"] = {
            f"{viewers} viewers": await town.watched(viewers) for viewers in (0, VIEWERS)
        }
        return found


def measure(_of: None, sizes: Sizes, _known: dict[str, Any]) -> dict[str, Any]:
    """The figures, with a Redis of its own."""
    with tempfile.TemporaryDirectory() as made:
        data_dir = Path(made)
        server = choose_redis(data_dir, data_dir / "redis.log", redis_url=None)
        server.start()
        try:
            return asyncio.run(_measured(server.redis_url, sizes))
        finally:
            server.stop()
