"""Keeps an index in step with what the projection writes to Redis.

At the start, where it can not know what it missed, and where Redis may have gone back, it reads a
partition's lists whole; else, several times a second and in one trip for all partitions, what
changed since.
"""

import asyncio
import time
from collections.abc import Callable, Collection

import structlog

from services.dashboard.store import STREAMS, At, News, Views
from services.dashboard.web.index import Index
from shared.errors import TransientError

LOOK_EVERY_S = 0.25
"""Between two looks at what changed: a page shows a fact within a second of its commit."""
LOOK_AGAIN_S = 1.0
"""After one that failed."""

EVERYTHING = ("everything",)
"""Told where it is not known what changed."""

_log = structlog.get_logger()

Heard = Callable[[Collection[str]], None]
"""Hears which subjects changed, as `order ID` and `stock SELLER/SKU`; `letters`, `refused` and
`reached` where any came."""


class Follower:
    """Follows the lists of all partitions; `loaded` says that the index has all of them, `stale_s`
    how long ago they were looked at last.
    """

    def __init__(self, views: Views, index: Index, heard: Heard = lambda _: None) -> None:
        self.loaded = False
        self._views = views
        self._index = index
        self._heard = heard
        self._at: list[At] = []
        self._looked_at_s = time.monotonic()

    @property
    def stale_s(self) -> float:
        return time.monotonic() - self._looked_at_s

    async def run(self) -> None:
        """Follow for ever; an outage is waited out, and told: open pages say how old they are."""
        away = False
        while True:
            try:
                await self.look()
            except TransientError as error:
                _log.warning("the lists can not be read", error=str(error))
                away = True
                self._heard(EVERYTHING)
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            if away:
                away = False
                self._heard(EVERYTHING)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Bring the index up to what is in Redis now."""
        if not self._at:
            self._at = [await self._read_all(p) for p in range(self._views.partitions)]
            self.loaded = True
        for partition, news in enumerate(await self._views.news(self._at)):
            if news.lost:
                self._at[partition] = await self._read_all(partition)
                self._heard(EVERYTHING)
            elif news.at != self._at[partition]:
                await self._take(partition, news)
        self._looked_at_s = time.monotonic()

    async def _read_all(self, partition: int) -> At:
        """What was there is shown until all of it is read."""
        at = await self._views.ends(partition)
        orders = [row async for rows in self._views.every(partition, "orders") for row in rows]
        stock = [row async for rows in self._views.every(partition, "stock") for row in rows]
        kept = {each: await self._views.kept(partition, each, at) for each in STREAMS[1:]}
        self._index.clear(partition)
        self._index.put_orders(partition, orders)
        self._index.put_stock(partition, stock)
        for stream, values in kept.items():
            self._index.add(partition, stream, values)
        return at

    async def _take(self, partition: int, news: News) -> None:
        kinds = {
            "orders": ("order ", self._index.put_orders),
            "stock": ("stock ", self._index.put_stock),
        }
        for name, (prefix, put) in kinds.items():
            changed = [w.removeprefix(prefix) for w in news.changed if w.startswith(prefix)]
            if changed:
                rows = await self._views.rows(partition, name, changed)
                put(partition, zip(changed, rows, strict=True))
        for stream, values in news.came.items():
            self._index.add(partition, stream, values)
        self._at[partition] = news.at
        self._heard([*news.changed, *(stream for stream, values in news.came.items() if values)])
