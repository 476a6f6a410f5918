"""R23: nothing waits for ever. All that waits in the system, for how long, and what happens then.

What a wait ends by itself is the rule's; what no rule ends is visible as stuck, until its cause
ends: fulfillment says so in the order's snapshot, payment in a fact of its own.
"""

from typing import NamedTuple

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
)
from shared.events.parking import PARKED
from shared.events.payment import PROVIDER_ANSWER, VERIFICATION


class Wait(NamedTuple):
    """One thing that waits: whose deadline it is, of which kind, by which numbers of the policy."""

    what: str
    publisher: str
    kind: str
    policy: tuple[str, ...]
    then: str


ANCHORED = ("auto_cancel_order_date_days", "auto_cancel_ship_by_working_days")
HANDLING = ("handling_days", "sku_handling_days", "cut_off_hour", "late_notice_interval_hours")

# fmt: off
WAITS = (
    Wait("a placed order, for the end of its hold", "fulfillment", HOLD,
         ("hold_minutes",), "released, if it is paid and reserved (R9)"),
    Wait("a placed order, for its payment", "payment", VERIFICATION,
         ("verification_window_days",), "refused, and canceled in silence (R6)"),
    Wait("a Pending order, for the answers about stock and payment", "fulfillment",
         PENDING_TOO_LONG, ("verification_window_days", "parked_hours"), "stuck"),
    Wait("units to ship, for the seller", "fulfillment", SHIP_BY,
         HANDLING, "seller and buyer are told, again after each interval (R12)"),
    Wait("units to ship, for the warning of their cancel", "fulfillment", CANCEL_WARNING,
         ("cancel_warning_days",), "the seller is warned (R13)"),
    Wait("units to ship, for their confirmation", "fulfillment", SHIPMENT_UNCONFIRMED,
         ANCHORED, "canceled (R13)"),
    Wait("a buyer's request to cancel, for the seller's answer", "fulfillment",
         CANCEL_UNANSWERED, ("seller_answer_hours",), "stuck; the units wait on, as above"),
    Wait("a package, for its delivery", "fulfillment", PACKAGE_LOST,
         ("lost_package_days",), "stuck"),
    Wait("a return, for its goods", "fulfillment", RETURN_OVERDUE,
         ("return_transit_days",), "stuck"),
    Wait("a request for money, for the provider's answer", "payment", PROVIDER_ANSWER,
         ("provider_answer_hours",), "stuck"),
    Wait("an order that is over, for late returns and questions", "fulfillment", ARCHIVE,
         ("retention_days", "return_window_days"), "archived: a stub is left"),
    Wait("an event, for its order", "fulfillment", PARKED,
         ("parked_hours",), "a dead letter (R25)"),
    Wait("an event, for its order", "payment", PARKED,
         ("parked_hours",), "a dead letter (R25)"),
)
# fmt: on
"""The stub of an archived order, and a document about what was never placed, wait for nothing:
Redis drops them once no record about them can be read again (`shared/documents.py`)."""
