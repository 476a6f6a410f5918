"""What fulfillment answers: refusals of what people ask, notices of what becomes of an order."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from shared.events.envelope import Event
from shared.events.fields import NoticeKind
from shared.events.fulfillment import (
    CancelReason,
    DateWindow,
    Order,
    RefusalReason,
    RequestRefused,
)
from shared.events.notices import NoticeRequested
from shared.policy import Policy

_SAYS: Mapping[RefusalReason, str] = {
    "unknown_order": "No order of this id was placed.",
    "order_exists": "An order of this id was placed before.",
    "order_pending": "The order is Pending: it is not the seller's yet.",
    "order_canceled": "The order is Canceled.",
    "order_shipped": "The order has shipped.",
    "order_archived": "The order ended long ago: what became of it does not change any more.",
    "not_the_buyer": "The order is another buyer's.",
    "not_the_seller": "The order is another seller's.",
    "package_delivered": "The carrier delivered the package: it is not edited any more.",
    "package_returned": "The carrier brings the package back: it is not edited any more.",
    "not_shipped": "Nothing of the order has shipped: it can still be canceled.",
    "return_exists": "A return of this id was asked for before: each has its own.",
    "return_received": "The return was received before: what comes later is another return.",
    "cancel_not_asked": "The buyer has asked for no cancel that waits for an answer.",
    "ship_by_passed": "The ship-by date is over: the buyer is told new dates while it is late.",
    "not_canceled": "The order was not canceled.",
    "not_canceled_by_buyer": "It was not its buyer who canceled the order.",
    "another_country": "An address is corrected within its country: prices and dates are for it.",
    "no_such_notice": "No such notice was sent, or what it said does not hold any more.",
}


class Others(TypedDict, total=False):
    """Who is named by an order under the id of another order, where that names somebody else."""

    other_seller_id: str
    other_buyer_id: str
    other_payment_method_ref: str


def refuse(
    event: Event[Any],
    reason: RefusalReason,
    field: str = "",
    detail: str = "",
    *,
    others: Others | None = None,
) -> RequestRefused:
    """A "no" to an event: a reason for programs, a field and a sentence for people."""
    return RequestRefused(
        request_id=event.id,
        request_type=event.data.TYPE,
        reason=reason,
        **(others or {}),
        field=field,
        detail=detail or _SAYS[reason],
    )


Recipient = Literal["BUYER", "SELLER"]


class About(TypedDict, total=False):
    """What a notice is about, beside its order."""

    occurrence: int
    delivery_window: DateWindow | None
    deadline: datetime | None
    reason: CancelReason
    tracking_number: str
    return_id: str
    detail: str


def tell(
    order: Order, recipient: Recipient, kind: NoticeKind, **about: Unpack[About]
) -> NoticeRequested:
    """A notice to the order's buyer or seller; (order, kind, occurrence) is one notice (P4)."""
    return NoticeRequested(
        order_id=order.order_id,
        kind=kind,
        recipient=recipient,
        marketplace_id=order.marketplace_id,
        buyer_id=order.buyer.buyer_id,
        seller_id=order.seller_id,
        **about,
    )


def promised(order: Order) -> DateWindow:
    """When the buyer was last told that the goods come: of every order that was ever Unshipped."""
    assert order.delivery_window is not None, "what is to be shipped was promised"
    return order.delivery_window


def archive_at(order: Order, event: Event[Any], policy: Policy) -> datetime:
    """When the order is archived if it is over by this event (R23): never while a return could
    still be asked for (R17).
    """
    at = policy.archive_at(max(event.time, order.last_update_date))
    promised = order.delivery_window
    return max(at, policy.return_until(promised.latest)) if promised else at
