"""What a seller is to do first (R10): how late an order is, or how close to it.

Pure, of an order's snapshot at a given instant: for reports, lists and views. Days are local days
of the marketplace.
"""

from datetime import datetime

from shared.events.fulfillment import Order, OrderStatus
from shared.policy import Policy

TO_SHIP: frozenset[OrderStatus] = frozenset({"Unshipped", "PartiallyShipped"})
"""The statuses in which a unit waits for its seller."""

DUE_TODAY = -1
"""The days past promise of an order whose ship-by date is today."""


def ship_by(order: Order) -> datetime:
    """The ship-by date of an order that has left Pending."""
    assert order.ship_window is not None, "what has left Pending was promised"
    return order.ship_window.latest


def is_late(promised: datetime, at: datetime) -> bool:
    """Whether a ship-by date has passed: at its very instant it has, as its deadline says (R12)."""
    return at >= promised


def urgency(order: Order) -> tuple[datetime, datetime, str]:
    """Sorts orders by urgency, the most urgent first: by ship-by date, then by purchase."""
    return ship_by(order), order.purchase_date, order.order_id


def days_past_promise(order: Order, at: datetime, policy: Policy) -> int:
    """Whole local days past the ship-by date, negative while that is not over.

    DUE_TODAY on its day, 0 on the day after, 1 on the next. A day is what the calendar calls one,
    23 to 25 hours long.
    """
    promised, calendar = ship_by(order), policy.calendar
    days = (calendar.local_date(at) - calendar.local_date(promised)).days + DUE_TODAY
    return max(days, 0) if is_late(promised, at) else days


def on_verge_of_late(order: Order, at: datetime, policy: Policy) -> bool:
    """Whether the order is late unless it is confirmed today."""
    return days_past_promise(order, at, policy) == DUE_TODAY


def on_verge_of_cancellation(order: Order, at: datetime) -> bool:
    """Whether the seller was warned, or is due to be, that open units are canceled (R13)."""
    return order.cancel_warning_at is None or at >= order.cancel_warning_at
