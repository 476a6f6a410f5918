"""Where stories are told: a whole system that runs, and all who act on it from outside.

    order = town.order(await town.shelf(on_hand=5), units=2)
    await order.is_placed()
    await town.pass_time(12 * MINUTE)
    await order.is_canceled_by_the_buyer()

Business time stands still but for jumps, and a jump ends at every deadline on its way; what is said
is decided, published and read before the next is. So a story comes out the same on any machine.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from services.cli.observer import Observer, observe
from services.cli.producer import Producer
from services.deadlines.store import read_heads
from shared.books.provider import Moved
from shared.books.result import Books
from shared.clock import Step, from_ms, to_ms
from shared.events.envelope import Fact
from shared.events.topics import TOPIC_OF
from shared.events.warehouse import StockSet, stock_subject
from shared.settings import Settings
from tests.support.papers import Ears, listen

REST_LIMIT_S = 60.0
"""For what one input comes to: some ms on an idle machine, but tests share theirs with others."""

LONGEST = timedelta(days=31)
"""No order waits longer: day 30 cancels it (R13)."""


class Shelf(NamedTuple):
    """Where a seller keeps one SKU."""

    seller_id: str
    sku: str


class Town:
    """A running system whose business time is jumped; see `settle_in`."""

    def __init__(self, observer: Observer, producer: Producer, ears: Ears) -> None:
        self.observer = observer
        self.producer = producer
        self.papers = ears.papers
        self.now = from_ms(0)
        self._ears = ears
        self._numbers = itertools.count(1)
        self._resting = asyncio.Lock()

    async def begin(self, at: datetime) -> None:
        """Let business time begin, and stand still there."""
        await self._reach(await self.observer.clock.begin(to_ms(at), 0))

    async def pass_time(self, length: timedelta) -> None:
        """Let time pass, with a stop at every deadline on the way."""
        await self.pass_time_until(self.now + length)

    async def pass_time_until(self, until: datetime) -> None:
        """Let time pass until an instant, with a stop at every deadline on the way."""
        while self.now < until:
            due = await self._next_due()
            await self.jump_to(min(due, until) if due else until)

    async def jump_to(self, at: datetime) -> None:
        """Let time jump, as if nobody had been there meanwhile; all that was due comes then."""
        await self._reach(await self.observer.clock.shift(0, jump_to_ms=to_ms(at)))
        await self.rest()

    async def rest(self) -> None:
        """Wait until all that was said is decided, published and read."""
        async with self._resting:
            await self.observer.rest.wait_for_rest(REST_LIMIT_S)
            await self._ears.read()

    async def say(
        self, fact: Fact, subject: str, *, at: datetime | None = None, id_: str | None = None
    ) -> None:
        """Say something to the system, by default now, and wait until all about it is decided."""
        topic = TOPIC_OF[type(fact)]
        ack = await self.producer.send(topic, fact, subject=subject, time=at or self.now, id_=id_)
        await ack
        await self.rest()

    async def shelf(self, *, on_hand: int) -> Shelf:
        """A new seller's SKU, counted."""
        nth = self.number()
        shelf = Shelf(f"SELLER-{nth}", f"KETTLE {nth}/1.7L")
        await self.say(StockSet(**shelf._asdict(), on_hand=on_hand), stock_subject(*shelf))
        return shelf

    async def books(self, moves: Iterable[Moved] | None = None) -> Books:
        """Let pass what still waits, and audit everything; `moves` is a provider's ledger."""
        await self.jump_to(self.now + LONGEST)
        return await self.observer.audit(self.producer.acknowledged, moves)

    def number(self) -> int:
        """A number that nothing in this town has yet."""
        return next(self._numbers)

    async def _reach(self, step: Step) -> None:
        """Sleep until a step of the clock has begun."""
        clock = self.observer.clock
        await clock.refresh()
        await asyncio.sleep(max(step.wall_ms - clock.wall_ms(), 0) / 1000)
        self.now = from_ms(step.business_ms)

    async def _next_due(self) -> datetime | None:
        """When the next deadline is due that anybody waits for."""
        rest = self.observer.rest
        partitions = range(self.observer.reader.partitions)
        heads = await read_heads(rest.parts[0].redis, partitions, to_ms(self.now), 1)
        nexts = [head.next_ms for head in heads.values() if head.next_ms is not None]
        return from_ms(min(nexts)) if nexts else None


@asynccontextmanager
async def settle_in(settings: Settings) -> AsyncIterator[Town]:
    """Connect to a system that runs and was told nothing yet."""
    servers = settings.kafka_bootstrap_servers
    async with (
        observe(settings) as observer,
        Producer(servers, "town") as producer,
        listen(servers, observer.reader) as ears,
    ):
        yield Town(observer, producer, ears)
