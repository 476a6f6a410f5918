"""A market under load: orders of all kinds, whose storefront, gateway, sellers and carrier answer
as fast as they can, while a test takes services and servers away.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from services.cli.observer import Observer, observe
from services.cli.producer import Producer
from shared.books.result import Books
from shared.clock import Step, to_ms
from shared.errors import TransientError
from shared.events.envelope import Event, Fact
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.topics import TOPIC_OF
from shared.events.warehouse import StockSet, stock_subject
from shared.settings import Settings
from tests.support.papers import Ears, listen
from tests.support.traffic import LIVES, RARE, SELLERS, SKUS, Order, ended, places

RATE = 300
"""Business time under load: a hold takes 6 s, and so is open while services are killed."""
PER_S = 20
"""Orders per second, some 300 facts: two shared cores can do that beside a restart."""
POLL_S = 0.02
REST_LIMIT_S = 60.0
ON_HAND, RARE_UNITS = 100_000, 2
WAITS = (timedelta(hours=1), timedelta(days=8), timedelta(days=24), timedelta(days=31))
"""What all that still waits waits for: hold, verification, the seller's warning, day 30."""


class Market:
    """A running system, and who trades on it; see `open_market`."""

    def __init__(self, observer: Observer, producer: Producer, ears: Ears) -> None:
        self.observer = observer
        self.papers = ears.papers
        self.orders: dict[str, Order] = {}
        self.producer = producer
        self._ears = ears
        self._numbers = itertools.count()
        self._said: Counter[tuple[str, str]] = Counter()
        self._clock = observer.clock
        self._open = False

    async def begin(self, at: datetime) -> None:
        """Let business time begin, and fill the shelves."""
        await self._reach(await self._clock.begin(to_ms(at), 0))
        for seller, sku in itertools.product(range(SELLERS), (*range(SKUS), RARE)):
            on_hand = RARE_UNITS if sku == RARE else ON_HAND
            name = RARE if sku == RARE else f"SKU-{sku}"
            count = StockSet(seller_id=f"S{seller}", sku=name, on_hand=on_hand)
            await self._send(count, stock_subject(f"S{seller}", name))
        await self.producer.flush()

    @asynccontextmanager
    async def trade(self) -> AsyncIterator[None]:
        """Time passes and everybody answers, while inside."""
        await self._reach(await self._clock.shift(RATE))
        keeps_time = asyncio.ensure_future(self._clock.run())
        self._open = True
        answering = asyncio.ensure_future(self._answer_on())
        try:
            yield
        finally:
            self._open = False
            await answering
            keeps_time.cancel()

    async def orders_come(self, count: int) -> None:
        """So many more orders come, one after the other."""
        for nth in itertools.islice(self._numbers, count):
            await self.place(Order(nth, list(LIVES.values())[nth % len(LIVES)]))
            await asyncio.sleep(1 / PER_S)

    async def place(self, order: Order) -> None:
        """An order is placed, with what is said about it at once."""
        self.orders[order.order_id] = order
        cause = Event[Fact](
            id="now", source="market", type="now", subject=order.order_id,
            time=self._clock.now(), data=Fact(),
        )  # fmt: skip
        says = (places, *order.life.at_once)
        for say in reversed(says) if order.life.paid_first else says:
            await self._tell(order, say(order, cause))

    async def stand_still(self) -> None:
        """Stop the time, and wait until nobody has anything to say any more."""
        await self._reach(await self._clock.stop())
        await self.settle()

    async def end(self) -> Books:
        """Let everything come to its end, and audit it."""
        await self.stand_still()
        for wait in WAITS:
            until_ms = self._clock.now_ms() + wait // timedelta(milliseconds=1)
            await self._reach(await self._clock.shift(0, jump_to_ms=until_ms))
            await self.settle()
        return await self.observer.audit(self.producer.acknowledged)

    async def settle(self) -> None:
        """Wait until nobody has anything to say any more."""
        answered = -1
        while answered != self._said.total():
            answered = self._said.total()
            await self.producer.flush()
            await self.observer.rest.wait_for_rest(REST_LIMIT_S)
            await self._answer()

    def wrong(self) -> list[str]:
        """The orders that did not end as they should, or not in one of the ways they may."""
        found = []
        for order in self.orders.values():
            said = self.papers.of(order.order_id, FULFILLMENT_EVENTS)
            end = ended(said[-1]) if said else "never placed"
            if end not in order.life.ends:
                found.append(f"{order.order_id} {end}, not {' or '.join(order.life.ends)}")
        return found

    def rare_units(self) -> set[int]:
        """How many units of what is rare are left, at any seller."""
        return {self.papers.level(f"S{seller}", RARE).available for seller in range(SELLERS)}

    async def _answer_on(self) -> None:
        while self._open:
            with suppress(TransientError):  # Kafka is away: it is asked again
                await self._answer()
            await asyncio.sleep(POLL_S)

    async def _answer(self) -> None:
        for said in await self._ears.read():
            order = self.orders.get(said.event.subject)
            for say in order.life.answers(said.fact) if order else ():
                assert order is not None
                await self._tell(order, say(order, said.event))

    async def _tell(self, order: Order, fact: Fact) -> None:
        self._said[order.order_id, fact.TYPE] += 1
        id_ = f"{order.order_id}-{fact.TYPE}-{self._said[order.order_id, fact.TYPE]}"
        for _ in range(order.times):
            await self._send(fact, order.order_id, id_)

    async def _send(self, fact: Fact, subject: str, id_: str | None = None) -> None:
        topic, time = TOPIC_OF[type(fact)], self._clock.now()
        await self.producer.send(topic, fact, subject=subject, time=time, id_=id_)

    async def _reach(self, step: Step) -> None:
        await self._clock.refresh()
        await asyncio.sleep(max(step.wall_ms - self._clock.wall_ms(), 0) / 1000)


@asynccontextmanager
async def open_market(settings: Settings) -> AsyncIterator[Market]:
    """Connect to a running system that was told nothing yet."""
    servers = settings.kafka_bootstrap_servers
    async with (
        observe(settings) as observer,
        Producer(servers, "market") as producer,
        listen(servers, observer.reader) as ears,
    ):
        yield Market(observer, producer, ears)
