"""What an order waits for, and what it waits for in vain (R23): it follows from the order alone.

`shared/waiting.py` tells of all waits of the system, which number of the policy each of them takes,
and what happens at its end.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import get_args

from shared.events.envelope import OpenDeadline
from shared.events.fulfillment import (
    ARCHIVE,
    CANCEL_UNANSWERED,
    CANCEL_WARNING,
    HOLD,
    PACKAGE_LOST,
    PENDING_TOO_LONG,
    RETURN_OVERDUE,
    SHIP_BY,
    SHIPMENT_UNCONFIRMED,
    Order,
    Stuck,
    StuckReason,
)

STUCK_REASONS: tuple[StuckReason, ...] = get_args(StuckReason)
"""The kinds of waits that no rule ends: past its deadline, the order is stuck for that reason."""


def deadlines_of(order: Order) -> tuple[OpenDeadline, ...]:
    """The deadlines that the order has open; one that it is stuck past is not among them."""
    stuck = {stuck.reason for stuck in order.stuck}
    known = {open_.kind: open_ for open_ in order.deadlines}
    open_ = []
    for kind, due_of in DUE_OF.items():
        due = due_of(order)
        if due and kind not in stuck:
            before = known.get(kind)
            same = before is not None and before.due == due
            open_.append(before if before and same else OpenDeadline(kind=kind, due=due))
    return tuple(open_)


def stuck_of(order: Order) -> tuple[Stuck, ...]:
    """What the order still waits for in vain: stuck ends by itself when its cause does."""
    waits = ((stuck, DUE_OF[stuck.reason](order)) for stuck in order.stuck)
    return tuple(stuck for stuck, due in waits if due and due <= stuck.since)


def is_over(order: Order) -> bool:
    """P2: Canceled; or Shipped, every package delivered or brought back, and no return open."""
    if order.status == "Canceled":
        return True
    arrived = all(p.delivered_at or p.returned_at for p in order.packages)
    return order.status == "Shipped" and arrived and all(r.received_at for r in order.returns)


def _hold_ends(order: Order) -> datetime | None:
    return order.hold_ends if "hold" in order.waits_for else None


def _answered_by(order: Order) -> datetime | None:
    """Stock and payment have their answers by then."""
    return order.pending_until if order.status == "Pending" else None


def _for_seller(order: Order, due: datetime | None) -> datetime | None:
    """What is waited for while a unit is to be shipped."""
    return due if order.status in ("Unshipped", "PartiallyShipped") else None


def _answer_due(order: Order) -> datetime | None:
    request = order.buyer_requested_cancel
    return request.answer_due if request else None


def _lost_at(order: Order) -> datetime | None:
    on_their_way = [p for p in order.packages if not (p.delivered_at or p.returned_at)]
    return min([p.lost_at for p in on_their_way if p.lost_at], default=None)


def _return_overdue_at(order: Order) -> datetime | None:
    return min([r.overdue_at for r in order.returns if not r.received_at], default=None)


def _archive_at(order: Order) -> datetime | None:
    return order.archive_at if is_over(order) and not order.archived_at else None


DUE_OF: Mapping[str, Callable[[Order], datetime | None]] = {
    HOLD: _hold_ends,
    PENDING_TOO_LONG: _answered_by,
    SHIP_BY: lambda order: _for_seller(order, order.next_late_notice_at),
    CANCEL_WARNING: lambda order: _for_seller(order, order.cancel_warning_at),
    SHIPMENT_UNCONFIRMED: lambda order: _for_seller(order, order.cancel_at),
    CANCEL_UNANSWERED: _answer_due,
    PACKAGE_LOST: _lost_at,
    RETURN_OVERDUE: _return_overdue_at,
    ARCHIVE: _archive_at,
}
"""By kind of deadline: until when the order waits, None while it waits for nothing of the kind."""
