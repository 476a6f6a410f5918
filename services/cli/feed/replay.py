"""A history replayed: every past order placed, paid, shipped and delivered at its own time.

The replay drives the business clock. It stands still while anything is on its way, and jumps from
moment to moment, so that what comes out does not depend on the machine: by the time that it stands
at T, everything before T has happened, in its order. What decides is that no deadline comes before
an input of the same order that was earlier. So a jump ends before the first open deadline that
comes after an input of its order which is not produced yet.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from services.cli.feed.facts import Facts
from services.cli.producer import Producer
from services.simulator.history import Mapped, PastOrder
from services.simulator.retold import SELLER, Kind, retold, sku_of
from shared.clock import BusinessClock, Step, from_ms, to_ms
from shared.events.warehouse import STOCK, StockSet, stock_subject
from shared.rest import Rest

SLICE = timedelta(days=1, milliseconds=-1)
"""The longest jump. Two late notices of an order are a day apart (R12): in a longer one both came
due, and were told as one, as after an outage (ADR 5)."""
LEAD_IN = timedelta(hours=1)
"""Business time begins so long before the first purchase: stock has to be there."""
REST_LIMIT_S = 60.0
"""For everything of one jump to come to rest; the busiest days have a few hundred orders."""


class Input(NamedTuple):
    """One thing that happens to one order at a business time, by the file."""

    at_ms: int
    nth: int
    kind: Kind
    order: PastOrder


class Replay:
    """One replay of one history through running services."""

    def __init__(
        self,
        history: Iterable[PastOrder],
        mapped: Mapped,
        producer: Producer,
        facts: Facts,
        rest: Rest,
        clock: BusinessClock,
        progress: Callable[[int, datetime], None],
    ) -> None:
        self.orders = {order.order_id: order for order in history}
        self.produced = 0
        self._mapped = mapped
        self._producer = producer
        self._facts = facts
        self._rest = rest
        self._clock = clock
        self._progress = progress
        self._nth = 0
        self._inputs: list[Input] = []
        self._now_ms = 0

    async def run(self) -> None:
        """Replay it all, until no input is left and no order waits for anything."""
        if not self.orders:
            return
        begin = min(order.purchased for order in self.orders.values()) - LEAD_IN
        self._now_ms = to_ms(begin)
        await self._settle_on(await self._clock.begin(self._now_ms, 0))
        await self._stock_up()
        for order in self.orders.values():
            self._plan(order, "placed", order.purchased)
            self._plan(order, "approved", order.approved)
            self._plan(order, "delivered", order.delivered)
        while (to := self._next_stop_ms()) is not None:
            await self._settle_on(await self._clock.shift(0, jump_to_ms=to))
            self._now_ms = to
            await self._catch_up()
            while await self._produce_until(to):
                await self._catch_up()
            self._progress(self.produced, from_ms(to))

    def _plan(self, order: PastOrder, kind: Kind, at: datetime | None) -> None:
        if at is not None:
            self._nth += 1
            heapq.heappush(self._inputs, Input(to_ms(at), self._nth, kind, order))

    def _next_stop_ms(self) -> int | None:
        moments = [(item.at_ms, item.order.order_id) for item in self._inputs]
        return next_stop_ms(self._now_ms, moments, self._facts.next_due_ms(), self._facts.due_ms)

    async def _settle_on(self, step: Step) -> None:
        """Wait until a step of the clock has begun."""
        await self._clock.refresh()
        wait_ms = step.wall_ms - self._clock.wall_ms()
        await asyncio.sleep(max(wait_ms, 0) / 1000)

    async def _catch_up(self) -> None:
        """Wait for rest, read what was published, and let seller and gateway plan their answers."""
        await self._rest.wait_for_rest(REST_LIMIT_S)
        for watched in await self._facts.read():
            order = self.orders.get(watched.order_id)
            if order is None:
                continue
            if watched.answer == "refunded":
                self._plan(order, "refunded", watched.since)
            elif order.carrier is not None:
                self._plan(order, "carrier", max(order.carrier, watched.since))

    async def _produce_until(self, until_ms: int) -> int:
        """Produce what happens until a business time, in its order; how many that were."""
        count = 0
        while self._inputs and self._inputs[0].at_ms <= until_ms:
            item = heapq.heappop(self._inputs)
            topic, fact = retold(item.order, item.kind, from_ms(item.at_ms), self._mapped)
            await self._producer.send(
                topic,
                fact,
                subject=item.order.order_id,
                time=from_ms(item.at_ms),
                id_=f"{item.order.order_id}:{item.kind}",
            )
            count += 1
        if count:
            await self._producer.flush()
        self.produced += count
        return count

    async def _stock_up(self) -> None:
        """Enough units of every SKU for all its orders."""
        units: Counter[str] = Counter()
        for order in self.orders.values():
            units[sku_of(order)] += order.quantity
        for sku, on_hand in sorted(units.items()):
            await self._producer.send(
                STOCK,
                StockSet(seller_id=SELLER, sku=sku, on_hand=on_hand),
                subject=stock_subject(SELLER, sku),
                time=from_ms(self._now_ms),
                id_=f"stock:{sku}",
            )
        await self._producer.flush()
        await self._rest.wait_for_rest(REST_LIMIT_S)


def next_stop_ms(
    now_ms: int,
    inputs: Sequence[tuple[int, str]],
    next_due_ms: int | None,
    due_ms: Callable[[str], Iterable[int]],
) -> int | None:
    """Where to jump to: on by a slice, but not past a deadline that comes after an input.

    `inputs` are business ms and order ids of what is not produced yet, `due_ms` are the open
    deadlines of an order. None where nothing is left.
    """
    firsts = [at_ms for at_ms, _ in inputs]
    firsts += [next_due_ms] if next_due_ms is not None else []
    if not firsts:
        return None
    stop_ms = max(min(firsts), now_ms) + SLICE // timedelta(milliseconds=1)
    for at_ms, order_id in inputs:
        if at_ms <= stop_ms:
            after = [due for due in due_ms(order_id) if at_ms < due <= stop_ms]
            stop_ms = min([stop_ms, *(due - 1 for due in after)])
    return stop_ms
