"""What people put right beside the rules: where an order goes, and a notice that did not arrive."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, get_args

from services.fulfillment.answers import About, Recipient, promised, refuse, tell
from services.fulfillment.canceling import WAY_BACK
from services.fulfillment.returning import COMING_BACK, GOODS_BACK, SEND_BACK
from shared.events.envelope import Event, Fact
from shared.events.fields import NoticeKind
from shared.events.fulfillment import AddressChanged, NoticeResent, Order
from shared.events.notices import NoticeRequestedAgain
from shared.events.payment import PaymentRefusal
from shared.events.seller import ResendRequested
from shared.events.storefront import AddressCorrected
from shared.policy import Policy
from shared.service import Facts, Received
from shared.urgency import TO_SHIP, ship_by

SILENT = frozenset(get_args(PaymentRefusal))
"""Reasons of cancels that nobody is told of (R6)."""


def correct_address(order: Order, received: Received, _policy: Policy) -> Facts:
    """The buyer corrects where the order goes until something has shipped, while it is Pending,
    too; the marketplace may for the buyer. The buyer is told, since it may be somebody else who
    did it, and so is the seller once the order is the seller's (R3). The same again is no news.

    It stays in its country: the total and the dates are for that.
    """
    event: Event[AddressCorrected] = received.event
    corrected, before = event.data, order.ship_address
    if corrected.ship_address == before:
        return ()
    if before and corrected.ship_address.country_code != before.country_code:
        return (refuse(event, "another_country", "ship_address.country_code"),)
    nth = order.address_changes + 1
    facts: list[Fact] = [
        AddressChanged(
            nth=nth,
            requested_by=corrected.requested_by,
            ship_address=corrected.ship_address,
            reason=corrected.reason,
        ),
        tell(order, "BUYER", "address_changed", occurrence=nth),
    ]
    if order.status != "Pending":
        facts.append(tell(order, "SELLER", "new_ship_address", occurrence=nth))
    return facts


def resend_notice(order: Order, received: Received, policy: Policy) -> Facts:
    """P4: a notice is sent again, to whom it was sent, and says what holds now. It is a fact of its
    own: whoever has sent the first one sends nothing more under its id.

    Refused where it was not sent, and where a later one took its place.
    """
    event: Event[ResendRequested] = received.event
    kind, occurrence = event.data.kind, event.data.occurrence
    again = AGAIN.get(kind)
    if again is None or not again.holds(order, occurrence):
        return (refuse(event, "no_such_notice", "kind"),)
    nth, about = order.notices_resent + 1, again.says(order, occurrence, policy)
    about["occurrence"] = occurrence
    notice = tell(order, again.recipient, kind, **about)
    return (
        NoticeResent(nth=nth, kind=kind, occurrence=occurrence),
        NoticeRequestedAgain(**dict(notice), nth=nth),
    )


class Again(NamedTuple):
    """A kind of notice that can be sent again: to whom, whether the n-th was sent and holds still,
    and what it says.
    """

    recipient: Recipient
    holds: Callable[[Order, int], bool]
    says: Callable[[Order, int, Policy], About]


def _has_dates(order: Order) -> bool:
    return order.ship_window is not None and order.status != "Canceled"


def _is_late(order: Order) -> bool:
    """The last new date came of lateness, not of a delay that was announced."""
    return order.status in TO_SHIP and order.next_late_notice_at != ship_by(order)


def _was_told_of_cancel(order: Order) -> bool:
    return order.cancellation is not None and order.cancellation.reason not in SILENT


def _stopped_seller(order: Order) -> bool:
    """R15, R7: a seller who did not cancel and may have been packing."""
    why = order.cancellation
    if why is None or why.executed_by == "MERCHANT" or order.ship_window is None:
        return False
    return why.reason in {"buyer", "payment_reversed"}


def _on_its_way_back(order: Order, nth: int) -> bool:
    return nth <= len(order.returns) and order.returns[nth - 1].received_at is None


def _received(order: Order) -> list[str]:
    return [back.return_id for back in order.returns if back.received_at]


def _dates(order: Order, _nth: int, _policy: Policy) -> About:
    return {"delivery_window": order.delivery_window}


def _lateness(order: Order, _nth: int, _policy: Policy) -> About:
    return {"deadline": ship_by(order), "delivery_window": order.delivery_window}


def _package(order: Order, nth: int, _policy: Policy) -> About:
    number = order.packages[nth - 1].tracking_number
    return {"tracking_number": number, "delivery_window": order.delivery_window}


def _request(order: Order, _nth: int, _policy: Policy) -> About:
    request = order.buyer_requested_cancel
    assert request is not None, "a request that holds is open"
    return {"deadline": request.answer_due, "detail": request.reason}


def _way_back(order: Order, _nth: int, policy: Policy) -> About:
    return {"deadline": policy.return_until(promised(order).latest), "detail": WAY_BACK}


def _cancel(order: Order, _nth: int, _policy: Policy) -> About:
    assert order.cancellation is not None, "what was told of a cancel is canceled"
    return {"reason": order.cancellation.reason}


def _return(order: Order, nth: int, _policy: Policy) -> About:
    back = order.returns[nth - 1]
    detail = SEND_BACK if back.requested_by == "BUYER" else COMING_BACK
    return {"deadline": back.overdue_at, "return_id": back.return_id, "detail": detail}


AGAIN: Mapping[NoticeKind, Again] = {
    "estimated_delivery": Again(
        "BUYER", lambda order, n: n == 1 and _has_dates(order) and not order.late_notices, _dates
    ),
    "new_delivery_date": Again(
        "BUYER", lambda order, n: n == order.late_notices and _has_dates(order), _dates
    ),
    "late_shipment": Again(
        "SELLER", lambda order, n: n == order.late_notices and _is_late(order), _lateness
    ),
    "cancel_warning": Again(
        "SELLER",
        lambda order, n: n == 1 and order.status in TO_SHIP and order.cancel_warning_at is None,
        lambda order, _n, _policy: {"deadline": order.cancel_at},
    ),
    "package_shipped": Again("BUYER", lambda order, n: n <= len(order.packages), _package),
    "cancel_asked": Again(
        "SELLER",
        lambda order, n: n == order.asked_cancels and order.buyer_requested_cancel is not None,
        _request,
    ),
    "cancel_refused": Again("BUYER", lambda order, n: n == order.refused_cancels, _way_back),
    "order_canceled": Again(
        "BUYER", lambda order, n: n == 1 and _was_told_of_cancel(order), _cancel
    ),
    "do_not_ship": Again("SELLER", lambda order, n: n == 1 and _stopped_seller(order), _cancel),
    "return_opened": Again("BUYER", _on_its_way_back, _return),
    "return_received": Again(
        "BUYER",
        lambda order, n: n == len(_received(order)) == 1,
        lambda order, _n, _policy: {"return_id": _received(order)[0], "detail": GOODS_BACK},
    ),
    "address_changed": Again(
        "BUYER",
        lambda order, n: n == order.address_changes and order.status != "Canceled",
        lambda _order, _n, _policy: {},
    ),
}
"""Of the others an order does not keep what they said: why a cancel was denied or a return asked
for, what was in stock; or, of several returns, which was received first."""
