"""The state of an order is the public `Order`; `evolve` records in it what was decided, by the
table in `changes.py`.

Status, deadlines and what is stuck are never set: they follow from what the order waits for and
from its units.
Every change of an order is one of the facts that `evolve` takes, so the journal rebuilds it.
"""

from datetime import datetime

from services.fulfillment.changes import CHANGES
from services.fulfillment.units import returnable
from services.fulfillment.waiting import deadlines_of, stuck_of
from shared.events.envelope import Fact
from shared.events.fulfillment import (
    Condition,
    EndingFact,
    Order,
    OrderHeld,
    OrderLine,
    OrderStatus,
    RequestRefused,
)
from shared.events.storefront import CancelRequested

CONDITIONS: tuple[Condition, ...] = ("stock", "payment", "hold")
"""What every order waits for while it is Pending (R9)."""


def evolve(order: Order | None, fact: Fact, time: datetime) -> Order | None:
    """The order after a fact; `time` is the fact's, and the order's last update.

    None only where a request was refused about an order that was never placed. A refusal changes
    nothing but the count of refused cancels, which numbers their notices. Raises ValueError for
    what `decide` never decides: a fact before its order, units shipped or canceled beyond the
    line's.
    """
    if isinstance(fact, RequestRefused):
        return _refused(order, fact)
    if isinstance(fact, OrderHeld) and order is None:
        return _held(fact, time)
    if order is None or isinstance(fact, OrderHeld):
        raise ValueError(f"{fact.TYPE} of an order that is {order and order.status}")
    changes = CHANGES.get(type(fact))
    if changes is None:
        raise ValueError(f"{fact.TYPE} is no fact of an order")
    update = {**changes(order, fact), "last_update_date": time}
    if isinstance(fact, EndingFact) and fact.archive_at:
        update["archive_at"] = max(fact.archive_at, order.archive_at or fact.archive_at)
    return _counted(order.model_copy(update=update))


def _counted(order: Order) -> Order:
    """The order with status, what it is stuck in, and deadlines, which follow from the rest."""
    if (status := status_of(order)) != order.status:
        order = order.model_copy(update={"status": status})
    if order.stuck:
        order = order.model_copy(update={"stuck": stuck_of(order)})
    return order.model_copy(update={"deadlines": deadlines_of(order)})


def status_of(order: Order) -> OrderStatus:
    """The status that conditions and units come to (computed from unit quantities)."""
    if any(line.quantity_open < 0 or line.quantity_shipped < 0 for line in order.items):
        raise ValueError("more units shipped and canceled than ordered, or fewer than none")
    if order.returns and min(returnable(order).values()) < 0:
        raise ValueError("more units returned, or on their way back, than shipped")
    is_open = any(line.quantity_open for line in order.items)
    is_shipped = any(line.quantity_shipped for line in order.items)
    if order.waits_for:
        return "Pending"
    if is_open:
        return "PartiallyShipped" if is_shipped else "Unshipped"
    return "Shipped" if is_shipped else "Canceled"


def _held(fact: OrderHeld, time: datetime) -> Order:
    placed = dict(fact.placed)
    placed["items"] = tuple(OrderLine(**dict(item)) for item in fact.placed.items)
    order = Order(
        **placed,
        status="Pending",
        waits_for=CONDITIONS,
        hold_ends=fact.hold_ends,
        pending_until=fact.pending_until,
        terms=fact.terms,
        last_update_date=time,
    )
    return _counted(order)


def _refused(order: Order | None, fact: RequestRefused) -> Order | None:
    too_late = fact.request_type == CancelRequested.TYPE and fact.reason == "order_shipped"
    if order is None or not too_late:
        return order
    return order.model_copy(update={"refused_cancels": order.refused_cancels + 1})
