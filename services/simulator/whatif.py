"""What would have become of a history under another policy: its orders, run through the rules.

The services decide, in virtual time (`engine.py`); here is what they are told, and what is counted
of what they say.
"""

import gc
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.deadlines import app as deadlines
from services.fulfillment import app as fulfillment
from services.inventory import app as inventory
from services.payment import app as payment
from services.simulator.engine import Engine, Said
from services.simulator.history import Mapped, PastOrder
from services.simulator.result import Result
from services.simulator.retold import Kind, amount_of, retold
from services.simulator.stock import MemoryStock
from shared.events.fulfillment import Order, OrderUnshipped, ShipmentLate
from shared.events.inventory import StockReleased, StockReserved, StockShipped
from shared.events.notices import NoticeRequested
from shared.events.payment import RefundRequested
from shared.policy import Policies, Policy


def run(
    name: str,
    policy: Policy,
    history: Sequence[PastOrder],
    mapped: Mapped,
    on_hand: Mapping[tuple[str, str], int] | None = None,
) -> Result:
    """Run a history under one policy, whatever marketplace its orders are of.

    `on_hand` is the stock by seller and SKU; without it there is always enough.
    """
    telling = _Telling(history, mapped)
    tally = _Tally(telling)
    builds = (inventory, payment, fulfillment, deadlines)
    services = [service.build() for service in builds]
    engine = Engine(services, Policies(policy), MemoryStock(on_hand), tally)
    with _without_collector():
        engine.run(telling.events(), tally.answers)
    return tally.result(name, engine)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Decisions leave no cycles: the collector would walk over all orders to find none, which takes
    it a fifth of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _Telling:
    """The history as events: what the file says by itself, and what a seller says in answer."""

    def __init__(self, history: Sequence[PastOrder], mapped: Mapped) -> None:
        self.orders = {order.order_id: order for order in history}
        self.mapped = mapped

    def events(self) -> Iterator[Said]:
        """What happens whatever the services decide, in the order of its time."""
        moments: list[tuple[datetime, int, Kind, PastOrder]] = []
        for order in self.orders.values():
            known: tuple[tuple[Kind, datetime | None], ...] = (
                ("placed", order.purchased),
                ("approved", order.approved),
                ("delivered", order.delivered),
            )
            moments += [(at, len(moments), kind, order) for kind, at in known if at is not None]
        heapq.heapify(moments)
        while moments:
            at, _, kind, order = heapq.heappop(moments)
            yield self.event(order, kind, at)

    def confirmation(self, order_id: str, unshipped_at: datetime) -> Said | None:
        """The seller's, of an order that became Unshipped; None where the file has none."""
        order = self.orders[order_id]
        if order.carrier is None:
            return None
        return self.event(order, "carrier", max(order.carrier, unshipped_at))

    def event(self, order: PastOrder, kind: Kind, at: datetime) -> Said:
        topic, fact = retold(order, kind, at, self.mapped)
        return Said(f"{order.order_id}:{kind}", fact.TYPE, order.order_id, at, fact, topic.name)


@dataclass
class _Course:
    """How an order went."""

    late_notices: int = 0
    units: int = 0
    since: datetime | None = None


class _Tally:
    """Looks on and counts."""

    def __init__(self, telling: _Telling) -> None:
        self._telling = telling
        self._orders: defaultdict[str, _Course] = defaultdict(_Course)
        self._notices: Counter[tuple[str, str]] = Counter()
        self._unit_time = timedelta(0)
        self._holding: Counter[datetime] = Counter()
        self._answers: list[Said] = []

    def __call__(self, facts: Sequence[Said]) -> None:
        for said in facts:
            self._count(said)

    def _count(self, said: Said) -> None:
        match said.data:
            case NoticeRequested(recipient=recipient, kind=kind):
                self._notices[recipient, kind] += 1
            case ShipmentLate(occurrence=occurrence):
                self._orders[said.subject].late_notices = occurrence
            case OrderUnshipped():
                if confirmation := self._telling.confirmation(said.subject, said.time):
                    self._answers.append(confirmation)
            case RefundRequested():
                order = self._telling.orders[said.subject]
                self._answers.append(self._telling.event(order, "refunded", said.time))
            case StockReserved(units=units):
                self._hold(said, sum(line.quantity for line in units))
            case StockReleased(units=units):
                self._hold(said, -sum(line.quantity for line in units))
            case StockShipped(changes=changes):
                self._hold(said, -sum(moved.change for moved in changes))

    def _hold(self, said: Said, change: int) -> None:
        """An order holds units from now on, or fewer of them."""
        course = self._orders[said.subject]
        if course.since is not None:
            self._unit_time += course.units * (said.time - course.since)
        course.units, course.since = course.units + change, said.time
        if change:
            self._holding[said.time] += change

    def answers(self) -> Sequence[Said]:
        """What sellers and the gateway say because of what they have just seen."""
        found, self._answers = self._answers, []
        return found

    def result(self, name: str, engine: Engine) -> Result:
        """The counts, once all has come to rest."""
        orders = self._telling.orders
        result = Result(
            name,
            len(orders),
            engine.decided,
            notices=self._notices,
            unit_time=self._unit_time,
            holding=self._holding,
        )
        for order_id, past in orders.items():
            order: Order | None = engine.state("fulfillment", order_id)
            reason = order.cancellation.reason if order and order.cancellation else ""
            status = order.status if order else "unknown"
            result.outcomes[f"{status}: {reason}" if reason else status, past.status] += 1
            late_notices = self._orders[order_id].late_notices
            result.late_orders += late_notices > 0
            result.new_delivery_dates += late_notices
            result.days_late[late_notices] += 1
            if past.amount is None:
                continue
            result.orders_with_amount += 1
            if status == "Canceled":
                amount = amount_of(past, self._telling.mapped)
                result.canceled_minor[reason, amount.currency] += amount.amount_minor
        return result
