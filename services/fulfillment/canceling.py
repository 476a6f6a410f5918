"""How an order is canceled (R4, R6, R13–R16, R18): who asked, who did it, and who is told."""

from datetime import datetime
from typing import Any, Literal

from services.fulfillment.answers import archive_at, promised, refuse, tell
from shared.events.envelope import Event, Fact
from shared.events.fields import ItemQuantity
from shared.events.fulfillment import (
    BuyerRequestedCancel,
    CancelAsked,
    CancelDenied,
    Cancellation,
    CancelReason,
    CancelWarned,
    OpenUnitsCanceled,
    Order,
    OrderCanceled,
    Party,
    PaymentReversalNoted,
)
from shared.events.notices import NoticeRequested
from shared.events.payment import ApprovalWithdrawn, PaymentRefused
from shared.events.seller import CancelAnswered, CancelReasonCode, SellerCanceled
from shared.events.storefront import CancelRequested
from shared.policy import Policy
from shared.service import Facts, Received

WAY_BACK = (
    "The order has shipped. You can return the goods, and are refunded when they are back. To"
    " start, ask for a return (order.return_requested): order id, items, quantities, by the"
    " deadline."
)


def cancel_out_of_stock(order: Order, received: Received, policy: Policy) -> Facts:
    """R4: without stock there is no order, and the buyer is told."""
    return (
        _cancel(order, received.event, policy, "out_of_stock"),
        tell(order, "BUYER", "order_canceled", reason="out_of_stock"),
    )


def cancel_unpaid(order: Order, received: Received, policy: Policy) -> Facts:
    """R6: refused, or never approved in its window, an order is canceled and nobody is told."""
    refused: PaymentRefused = received.event.data
    return (_cancel(order, received.event, policy, refused.reason),)


def cancel_for_buyer(order: Order, received: Received, policy: Policy) -> Facts:
    """R14: within the hold the buyer cancels alone. R15: after it the marketplace does it for the
    buyer, while nothing has been shipped; a seller who may be packing is told to stop.

    The time of the request counts, as far as it is believed: one that was made within the hold and
    came when the order was Unshipped already is still the buyer's own. Where the policy is that the
    seller approves, an order that the seller has to ship waits for the answer.
    """
    asked_at = policy.request_time(received.event.time, received.at)
    within_hold = asked_at < order.hold_ends
    seller_approves = policy.buyer_cancel == "seller_approves" and order.status == "Unshipped"
    if seller_approves and not within_hold:
        return _ask_seller(order, received.event.data, asked_at, policy)
    facts: list[Fact] = [
        _cancel(
            order,
            received.event,
            policy,
            "buyer",
            requested_by="BUYER",
            executed_by="BUYER" if within_hold else "MARKETPLACE",
            within_hold=within_hold,
        ),
        tell(order, "BUYER", "order_canceled", reason="buyer"),
    ]
    if order.status == "Unshipped":
        facts.append(tell(order, "SELLER", "do_not_ship", reason="buyer"))
    return facts


def _ask_seller(order: Order, asked: CancelRequested, asked_at: datetime, policy: Policy) -> Facts:
    """R15: the request is recorded, and the seller is to answer; while one is open a second is no
    news.
    """
    if order.buyer_requested_cancel:
        return ()
    request = BuyerRequestedCancel(
        nth=order.asked_cancels + 1,
        reason=asked.reason,
        asked_at=asked_at,
        answer_due=policy.seller_answer_due(asked_at),
    )
    notice = tell(
        order,
        "SELLER",
        "cancel_asked",
        occurrence=request.nth,
        deadline=request.answer_due,
        detail=request.reason,
    )
    return (CancelAsked(request=request), notice)


def answer_cancel(order: Order, received: Received, policy: Policy) -> Facts:
    """R15: the seller approves, and the order is canceled as the buyer asked, or denies: the buyer
    is told, and the order is still to be shipped. An answer counts however late it comes.
    """
    event: Event[CancelAnswered] = received.event
    if order.buyer_requested_cancel is None:
        return (refuse(event, "cancel_not_asked"),)
    if not event.data.approved:
        return deny_cancel(order, "seller_denied", event.data.reason, policy)
    return (
        _cancel(
            order,
            event,
            policy,
            "buyer",
            requested_by="BUYER",
            executed_by="MERCHANT",
        ),
        tell(order, "BUYER", "order_canceled", reason="buyer"),
    )


def deny_cancel(
    order: Order, because: Literal["seller_denied", "shipped"], reason: str, policy: Policy
) -> Facts:
    """R15, R16: a request that is open came to nothing; the buyer is told until when the goods can
    be returned.
    """
    request = order.buyer_requested_cancel
    if request is None:
        return ()
    notice = tell(
        order,
        "BUYER",
        "cancel_denied",
        occurrence=request.nth,
        deadline=policy.return_until(promised(order).latest),
        detail=reason,
    )
    return (CancelDenied(nth=request.nth, because=because, reason=reason), notice)


def show_way_back(order: Order, policy: Policy) -> NoticeRequested:
    """R16: who cancels too late is told how to return the goods and be refunded, and until when."""
    return tell(
        order,
        "BUYER",
        "cancel_refused",
        occurrence=order.refused_cancels + 1,
        deadline=policy.return_until(promised(order).latest),
        detail=WAY_BACK,
    )


def cancel_for_seller(order: Order, received: Received, policy: Policy) -> Facts:
    """R18: the seller cancels an Unshipped order, with a reason code; the buyer is told. Where the
    buyer's request is open, and the seller says that it is for that, it is the approval (R15).

    A seller who names items may mean only those, and an order is canceled as a whole.
    """
    data: SellerCanceled = received.event.data
    items = {item.order_item_id for item in order.items}
    if unknown := sorted(set(data.order_item_ids) - items):
        detail = f"The order has no item {unknown[0]}."
        return (refuse(received.event, "unknown_item", "order_item_ids", detail),)
    if data.order_item_ids and (left := sorted(items - set(data.order_item_ids))):
        detail = f"An order is canceled as a whole: item {left[0]} is not named."
        return (refuse(received.event, "item_not_named", "order_item_ids", detail),)
    approves = data.reason_code == "BuyerCanceled" and order.buyer_requested_cancel is not None
    reason: CancelReason = "buyer" if approves else "seller"
    return (
        _cancel(
            order,
            received.event,
            policy,
            reason,
            requested_by="BUYER" if approves else "MERCHANT",
            executed_by="MERCHANT",
            seller_reason_code=data.reason_code,
        ),
        tell(order, "BUYER", "order_canceled", reason=reason),
    )


def warn_of_cancel(order: Order, _received: Received, _policy: Policy) -> Facts:
    """R13: the seller is warned before the order is canceled as unconfirmed."""
    return (CancelWarned(), tell(order, "SELLER", "cancel_warning", deadline=order.cancel_at))


def cancel_unconfirmed(order: Order, received: Received, policy: Policy) -> Facts:
    """R13: what is not confirmed in time is canceled, whatever the carrier delivered; of a partly
    shipped order the open units are.
    """
    return (
        _cancel(order, received.event, policy, "shipment_unconfirmed"),
        tell(order, "BUYER", "order_canceled", reason="shipment_unconfirmed"),
    )


def withdraw_payment(order: Order, received: Received, policy: Policy) -> Facts:
    """R7: a payment that was approved and is good no more stops what has not shipped, and the
    seller is told; of a shipped order it is recorded.
    """
    withdrawn: ApprovalWithdrawn = received.event.data
    if order.status == "Canceled" or order.payment_reversed_at:
        return ()
    if order.status == "Shipped":
        reversed_at = received.event.time
        return (PaymentReversalNoted(payment_id=withdrawn.payment_id, reversed_at=reversed_at),)
    facts: list[Fact] = [
        _cancel(order, received.event, policy, "payment_reversed"),
        tell(order, "BUYER", "order_canceled", reason="payment_reversed"),
    ]
    if order.status != "Pending":
        facts.append(tell(order, "SELLER", "do_not_ship", reason="payment_reversed"))
    return facts


def _cancel(
    order: Order,
    event: Event[Any],
    policy: Policy,
    reason: CancelReason,
    *,
    requested_by: Party = "MARKETPLACE",
    executed_by: Party = "MARKETPLACE",
    within_hold: bool = False,
    seller_reason_code: CancelReasonCode | None = None,
) -> OrderCanceled | OpenUnitsCanceled:
    """All open units are canceled: the whole order, unless some were shipped."""
    cancellation = Cancellation(
        reason=reason,
        requested_by=requested_by,
        executed_by=executed_by,
        within_hold=within_hold,
        seller_reason_code=seller_reason_code,
        canceled_at=max(event.time, order.last_update_date),
    )
    fact = OpenUnitsCanceled if order.status == "PartiallyShipped" else OrderCanceled
    return fact(
        seller_id=order.seller_id,
        buyer_id=order.buyer.buyer_id,
        payment_method_ref=order.payment_method_ref,
        cancellation=cancellation,
        units_canceled=tuple(
            ItemQuantity(order_item_id=line.order_item_id, quantity=line.quantity_open)
            for line in order.items
            if line.quantity_open
        ),
        archive_at=archive_at(order, event, policy),
    )
