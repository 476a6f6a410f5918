"""R14, R15, R16, R18: who may still cancel, who did it, and what the others are told."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from shared.events.envelope import Fact
from shared.events.fulfillment import Cancellation, Order, OrderCanceled, RequestRefused
from shared.events.notices import NoticeRequested
from shared.events.seller import CancelReasonCode
from shared.service import Received
from tests.support.orders import (
    ALL_UNITS,
    BUYER,
    CARD,
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLES,
    MINUTE,
    ONE_MS,
    PURCHASED,
    SELLER,
    TEAS,
    after,
    cancel_requested,
    canceled,
    hold_over,
    items,
    order_placed,
    partially_shipped,
    payment_approved,
    pending,
    play,
    seller_canceled,
    shipment_confirmed,
    shipped,
    stock_reserved,
    unshipped,
)


def cancellation(order: Order | None) -> Cancellation:
    assert order is not None
    assert order.status == "Canceled"
    assert order.cancellation is not None
    return order.cancellation


def told(facts: list[Fact]) -> list[tuple[str, str]]:
    notices = (fact for fact in facts if isinstance(fact, NoticeRequested))
    return [(notice.recipient, notice.kind) for notice in notices]


def test_r14_cancel_at_the_last_instant_of_the_hold_is_the_buyers_own() -> None:
    at = HOLD_ENDS - ONE_MS

    _, facts = play(pending(), cancel_requested(at))

    assert facts[0] == OrderCanceled(
        seller_id=SELLER,
        buyer_id=BUYER,
        payment_method_ref=CARD,
        cancellation=Cancellation(
            reason="buyer",
            requested_by="BUYER",
            executed_by="BUYER",
            within_hold=True,
            canceled_at=at,
        ),
        units_canceled=items(ALL_UNITS),
        archive_at=at + 45 * DAY,
    )
    assert told(facts) == [("BUYER", "order_canceled")]


def test_r14_a_millisecond_later_the_marketplace_does_it_for_the_buyer() -> None:
    order, facts = play(pending(), cancel_requested(HOLD_ENDS))

    assert cancellation(order) == Cancellation(
        reason="buyer",
        requested_by="BUYER",
        executed_by="MARKETPLACE",
        within_hold=False,
        canceled_at=HOLD_ENDS,
    )
    assert told(facts) == [("BUYER", "order_canceled")]


@pytest.mark.parametrize(
    ("second", "within_hold"), [(29 * 60 + 59, True), (30 * 60, False)], ids=["29:59", "30:00"]
)
def test_r14_29_59_and_30_00_fall_on_different_sides(second: int, within_hold: bool) -> None:
    order = after(pending(), cancel_requested(PURCHASED + timedelta(seconds=second)))

    assert cancellation(order).within_hold is within_hold


@pytest.mark.parametrize(
    ("arrived", "within_hold"),
    [
        (HOLD_ENDS - MINUTE + 10 * MINUTE, True),
        (HOLD_ENDS - MINUTE + 10 * MINUTE + ONE_MS, False),
    ],
)
def test_r14_the_time_of_the_request_is_believed_for_ten_minutes(
    arrived: datetime, within_hold: bool
) -> None:
    asked = cancel_requested(HOLD_ENDS - MINUTE, arrived=arrived)

    assert cancellation(after(unshipped(), asked)).within_hold is within_hold


def test_r14_a_claim_of_the_future_counts_from_its_arrival() -> None:
    asked = cancel_requested(HOLD_ENDS + 2 * MINUTE, arrived=HOLD_ENDS - MINUTE)

    assert cancellation(after(pending(), asked)).within_hold


def test_r14_an_order_that_arrived_after_its_hold_has_none_to_cancel_in() -> None:
    order = after(None, order_placed(PURCHASED + 3 * HOUR))

    asked = cancel_requested(PURCHASED + 3 * HOUR)

    assert cancellation(after(order, asked)).executed_by == "MARKETPLACE"


@pytest.mark.parametrize(
    "order",
    [
        pending(stock_reserved(), hold_over()),
        pending(payment_approved(), hold_over()),
        pending(stock_reserved(), payment_approved()),
    ],
)
def test_r15_a_pending_order_is_canceled_after_the_hold_too(order: Order) -> None:
    then, facts = play(order, cancel_requested(HOLD_ENDS + 3 * DAY))

    assert cancellation(then).executed_by == "MARKETPLACE"
    assert told(facts) == [("BUYER", "order_canceled")], "the seller never saw the order (R3)"
    assert then is not None
    assert then.waits_for == ()
    assert [deadline.kind for deadline in then.deadlines] == ["archive"]


@pytest.mark.parametrize("at", [HOLD_ENDS - ONE_MS, HOLD_ENDS + 2 * HOUR])
def test_r15_the_seller_of_an_unshipped_order_is_told_not_to_ship(at: datetime) -> None:
    then, facts = play(unshipped(), cancel_requested(at))

    assert cancellation(then).requested_by == "BUYER"
    assert told(facts) == [("BUYER", "order_canceled"), ("SELLER", "do_not_ship")]
    reasons = {fact.reason for fact in facts if isinstance(fact, NoticeRequested)}
    assert reasons == {"buyer"}


@pytest.mark.parametrize("order", [partially_shipped(), shipped()], ids=lambda o: o.status)
def test_r16_once_shipped_the_refusal_is_the_way_back(order: Order) -> None:
    asked = cancel_requested(HOLD_ENDS + 2 * DAY)

    then, facts = play(order, asked)

    refusal, notice = facts
    assert isinstance(refusal, RequestRefused)
    assert refusal.reason == "order_shipped"
    assert isinstance(notice, NoticeRequested)
    assert (notice.recipient, notice.buyer_id, notice.kind) == ("BUYER", BUYER, "cancel_refused")
    for word in ("return", "refunded", "ask for a return", "order id", "quantities"):
        assert word in notice.detail
    assert notice.deadline == datetime(2026, 4, 19, 23, 59, 59, tzinfo=UTC)
    assert then == order.model_copy(update={"refused_cancels": 1})


def test_r16_every_refusal_is_its_own_notice() -> None:
    asked = [cancel_requested(HOLD_ENDS + n * DAY) for n in (2, 3, 4)]

    order, facts = play(shipped(), *asked)

    notices = [fact for fact in facts if isinstance(fact, NoticeRequested)]
    assert [notice.occurrence for notice in notices] == [1, 2, 3]
    assert order is not None
    assert order.refused_cancels == 3


@pytest.mark.parametrize("shipped_first", [True, False])
def test_r16_between_shipping_and_canceling_the_first_to_arrive_wins(
    shipped_first: bool,
) -> None:
    asked = cancel_requested(HOLD_ENDS + HOUR)
    packed = shipment_confirmed(at=HOLD_ENDS + HOUR)

    order, facts = play(unshipped(), *((packed, asked) if shipped_first else (asked, packed)))

    assert order is not None
    assert order.status == ("Shipped" if shipped_first else "Canceled")
    assert len([fact for fact in facts if isinstance(fact, RequestRefused)]) == 1


@pytest.mark.parametrize("code", get_args(CancelReasonCode))
def test_r18_the_seller_cancels_an_unshipped_order_with_a_reason(code: CancelReasonCode) -> None:
    at = HOLD_ENDS + HOUR

    order, facts = play(unshipped(), seller_canceled(at, reason_code=code))

    assert cancellation(order) == Cancellation(
        reason="seller",
        requested_by="MERCHANT",
        executed_by="MERCHANT",
        seller_reason_code=code,
        canceled_at=at,
    )
    assert told(facts) == [("BUYER", "order_canceled")]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (pending(), "order_pending"),
        (partially_shipped(), "order_shipped"),
        (shipped(), "order_shipped"),
        (canceled(), "order_canceled"),
    ],
    ids=lambda value: getattr(value, "status", value),
)
def test_r18_no_other_order_and_nobody_is_told(order: Order, reason: str) -> None:
    then, facts = play(order, seller_canceled())

    (refusal,) = facts
    assert isinstance(refusal, RequestRefused)
    assert refusal.reason == reason
    assert then == order


@pytest.mark.parametrize("named", [(), (KETTLES, TEAS), (TEAS, KETTLES, TEAS)])
def test_r18_the_seller_may_name_all_items(named: tuple[str, ...]) -> None:
    order, _ = play(unshipped(), seller_canceled(order_item_ids=named))

    assert order is not None
    assert order.status == "Canceled"


@pytest.mark.parametrize(
    ("named", "reason", "detail"),
    [
        ((TEAS,), "item_not_named", "An order is canceled as a whole: item item-kettle is not"),
        ((KETTLES, TEAS, "item-cup"), "unknown_item", "The order has no item item-cup."),
        (("item-cup",), "unknown_item", "The order has no item item-cup."),
    ],
)
def test_r18_who_names_some_items_does_not_cancel_the_others(
    named: tuple[str, ...], reason: str, detail: str
) -> None:
    order, facts = play(unshipped(), seller_canceled(order_item_ids=named))

    (refusal,) = facts
    assert isinstance(refusal, RequestRefused)
    assert (refusal.reason, refusal.field) == (reason, "order_item_ids")
    assert refusal.detail.startswith(detail)
    assert order == unshipped()


@pytest.mark.parametrize("asked", [cancel_requested(PURCHASED + HOUR), seller_canceled()])
def test_p2_canceled_is_not_left_again(asked: Received) -> None:
    then, facts = play(canceled(), asked, shipment_confirmed())

    assert then == canceled()
    reasons = [fact.reason for fact in facts if isinstance(fact, RequestRefused)]
    assert reasons == ["order_canceled", "order_canceled"]
    assert told(facts) == []
