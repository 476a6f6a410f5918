"""Payments and cancels within milliseconds of a deadline, a thousand times, by the very tasks."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from pydantic_core import from_json

from services.simulator import lots
from services.simulator import system as simulated
from services.simulator.fate import Allowed, Fate
from services.simulator.lots import Lot, Make
from services.simulator.system import System
from services.simulator.topics import MemoryRecord
from shared.books.result import Books
from shared.clock import from_ms, to_ms
from shared.decode import partition_of
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import encode
from shared.events.fulfillment import FULFILLMENT_EVENTS, HOLD
from shared.events.payment import VERIFICATION
from shared.events.topics import TOPIC_OF
from shared.events.warehouse import StockSet, stock_subject

BEGIN = datetime(2026, 10, 24, 23, 59, 58, 123_000, tzinfo=UTC)
"""The night in which clocks go back in Europe: the windows below end on the other side of it."""
RACES = 350
"""Of each kind; three kinds of race are a thousand races and more."""
AIM_MS = (-3, 60)
"""Around the instant at which a deadline is due, until it has surely been decided."""
PARTITIONS = 2


class Racers:
    """Orders of which something is said when a deadline of theirs is due, give or take some ms."""

    def __init__(self, kind: str, makes: tuple[Make, ...]) -> None:
        self.system = System(Fate(1, Allowed(kinds=())), to_ms(BEGIN), PARTITIONS)
        self.orders: dict[str, dict[str, Any]] = {}
        self.same_ms = 0
        self._random = Random(f"races {kind}")
        self._lots = {lot.order_id: lot for lot in (Lot(n, self._random) for n in range(RACES))}
        self._kind, self._makes = kind, makes
        self._aimed: set[str] = set()
        self._said_ms: dict[str, list[int]] = {}
        self._said = 0

    def run(self, days: float) -> Books:
        """All orders are placed in one millisecond; what the books say so many days later."""
        with asyncio.Runner(loop_factory=lambda: self.system.loop) as runner:
            return runner.run(self._live(days))

    async def _live(self, days: float) -> Books:
        self.system.start()
        self.system.topics.heard.append(self._hear)
        for seller_id in ("S1", "S2"):
            for sku in ("ATLAS", "BELL", "CUP"):
                self._say(StockSet(seller_id=seller_id, sku=sku, on_hand=10 * RACES))
        await asyncio.sleep(1)
        for lot in self._lots.values():  # each of a buyer of its own: R8 limits one buyer's orders
            lot.buyer_id = lot.payment_method_ref = f"racer-{lot.order_id}"
            self._make(lots._places, lot)
        await asyncio.sleep(days * 86_400)
        assert await self.system.rest.at_rest()
        return await self.system.books(())

    def _hear(self, record: MemoryRecord) -> None:
        event = from_json(record.value or b"")
        lot, data = self._lots.get(event["subject"]), event["data"]
        if lot is None:
            return
        if record.topic == FULFILLMENT_EVENTS.name and "order" in data:
            self.orders[lot.order_id] = data["order"]
        if event["type"] == DeadlineReached.TYPE and data["kind"] == self._kind:
            self.same_ms += record.timestamp in self._said_ms[lot.order_id]
        for deadline in data.get("deadlines", ()):
            if deadline["kind"] == self._kind and lot.order_id not in self._aimed:
                self._aimed.add(lot.order_id)
                self._aim(lot, to_ms(datetime.fromisoformat(deadline["due"])))

    def _aim(self, lot: Lot, due_ms: int) -> None:
        for make in self._makes:
            at_ms = due_ms + self._random.randint(*AIM_MS)
            self._said_ms.setdefault(lot.order_id, []).append(at_ms)
            self.system.later((at_ms - self.system.now_ms()) / 1000, self._make, make, lot)

    def _make(self, make: Make, lot: Lot) -> None:
        self._say(make(lot, from_ms(self.system.now_ms())), lot.order_id)

    def _say(self, fact: Any, subject: str = "") -> None:
        self._said += 1
        subject = subject or stock_subject(fact.seller_id, fact.sku)
        now = from_ms(self.system.now_ms())
        value = encode(fact, id_=f"said-{self._said}", source="race", subject=subject, time=now)
        topic, partition = TOPIC_OF[type(fact)].name, partition_of(subject, PARTITIONS)
        self.system.topics.append(topic, partition, subject.encode(), value)


def end_of(order: Mapping[str, Any]) -> str:
    why = order.get("cancellation")
    return f"{order['status']}: {why['reason']}, {why['executed_by']}" if why else order["status"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "makes", "days", "ends"),
    [
        (
            VERIFICATION,
            (lots._authorizes,),
            7.1,
            {"Unshipped", "Canceled: payment_timeout, MARKETPLACE"},
        ),
        (HOLD, (lots._authorizes,), 0.1, {"Unshipped"}),
        (
            HOLD,
            (lots._authorizes, lots._cancels),
            0.1,
            {"Canceled: buyer, BUYER", "Canceled: buyer, MARKETPLACE"},
        ),
    ],
    ids=["paid when its window ends", "paid when its hold ends", "paid and canceled then"],
)
def test_r7_p2_in_the_millisecond_of_a_deadline_one_wins_and_the_books_balance(
    kind: str,
    makes: tuple[Make, ...],
    days: float,
    ends: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulated, "COPIES", 0.0)
    racers = Racers(kind, makes)

    books = racers.run(days)

    found = Counter(map(end_of, racers.orders.values()))
    assert books.violations == ()
    assert (racers.system.failed, racers.system.refused) == ([], [])
    assert found.keys() == ends, (found, racers.same_ms)
    assert found.total() == RACES
    assert racers.same_ms > 0, "told in the very millisecond of the announcement"
