"""R15, where the seller approves: the buyer asks, the seller answers, ships, or is silent."""

from datetime import datetime

import pytest

from shared.events.envelope import Fact, OpenDeadline
from shared.events.fulfillment import (
    BuyerRequestedCancel,
    CancelAsked,
    CancelDenied,
    Cancellation,
    Order,
    OrderCanceled,
    OrderStuck,
    RequestRefused,
    Stuck,
)
from shared.events.notices import NoticeRequested
from shared.service import Received
from tests.support.orders import (
    CANCEL_AT,
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLES,
    MINUTE,
    ONE_MS,
    RETURN_UNTIL,
    after,
    cancel_answered,
    cancel_requested,
    canceled,
    partially_shipped,
    pending,
    play,
    reached,
    seller_approves,
    seller_canceled,
    shipment_confirmed,
    shipped,
    stock_reserved,
    unshipped,
)

ASKED_AT = HOLD_ENDS + 2 * HOUR
REQUEST = BuyerRequestedCancel(
    nth=1, reason="two is enough", asked_at=ASKED_AT, answer_due=ASKED_AT + 48 * HOUR
)


def asking() -> Order:
    """An Unshipped order that its buyer asked to cancel."""
    return after(seller_approves(unshipped()), cancel_requested(ASKED_AT))


def told(facts: list[Fact]) -> list[tuple[str, str, int]]:
    notices = (fact for fact in facts if isinstance(fact, NoticeRequested))
    return [(notice.recipient, notice.kind, notice.occurrence) for notice in notices]


def test_r15_the_request_is_recorded_and_the_seller_is_told() -> None:
    order, facts = play(seller_approves(unshipped()), cancel_requested(ASKED_AT))

    asked, notice = facts
    assert asked == CancelAsked(request=REQUEST)
    assert told(facts) == [("SELLER", "cancel_asked", 1)]
    assert isinstance(notice, NoticeRequested)
    assert (notice.detail, notice.deadline) == ("two is enough", REQUEST.answer_due)
    assert order is not None
    assert (order.status, order.buyer_requested_cancel) == ("Unshipped", REQUEST)
    waits = OpenDeadline(kind="cancel_unanswered", due=REQUEST.answer_due)
    assert order.deadlines == (*seller_approves(unshipped()).deadlines, waits)


def test_r15_a_second_request_while_one_is_open_is_no_news() -> None:
    again = cancel_requested(ASKED_AT + 3 * HOUR)

    assert play(asking(), again) == (asking(), [])


def test_r15_approved_it_is_canceled_as_the_buyer_asked_by_the_merchant() -> None:
    at = ASKED_AT + 5 * HOUR

    order, facts = play(asking(), cancel_answered(approved=True, at=at))

    assert isinstance(facts[0], OrderCanceled)
    assert facts[0].cancellation == Cancellation(
        reason="buyer", requested_by="BUYER", executed_by="MERCHANT", canceled_at=at
    )
    assert told(facts) == [("BUYER", "order_canceled", 1)], "the seller knows"
    assert isinstance(facts[1], NoticeRequested)
    assert facts[1].reason == "buyer"
    assert order is not None
    assert (order.status, order.buyer_requested_cancel) == ("Canceled", None)


def test_r15_denied_the_buyer_is_told_and_the_order_is_open() -> None:
    no = cancel_answered(approved=False, reason="it is engraved already")

    order, facts = play(asking(), no)

    denied, notice = facts
    reason = "it is engraved already"
    assert denied == CancelDenied(nth=1, because="seller_denied", reason=reason)
    assert told(facts) == [("BUYER", "cancel_denied", 1)]
    assert isinstance(notice, NoticeRequested)
    assert (notice.detail, notice.deadline) == (reason, RETURN_UNTIL)
    assert order is not None
    assert (order.status, order.buyer_requested_cancel) == ("Unshipped", None)
    assert order.deadlines == seller_approves(unshipped()).deadlines


def test_r15_a_denied_buyer_may_ask_again_and_each_request_has_its_notices() -> None:
    again = (cancel_requested(ASKED_AT + DAY), cancel_answered(approved=False, at=ASKED_AT + DAY))

    order, facts = play(asking(), cancel_answered(approved=False), *again)

    assert told(facts) == [
        ("BUYER", "cancel_denied", 1),
        ("SELLER", "cancel_asked", 2),
        ("BUYER", "cancel_denied", 2),
    ]
    assert order is not None
    assert order.asked_cancels == 2


@pytest.mark.parametrize("units", [{KETTLES: 1}, None], ids=["some", "all"])
def test_r15_shipping_ends_the_request_and_is_the_way_back(units: dict[str, int] | None) -> None:
    order, facts = play(asking(), shipment_confirmed(units))

    assert isinstance(facts[0], CancelDenied)
    assert facts[0].because == "shipped"
    assert told(facts) == [("BUYER", "cancel_denied", 1), ("BUYER", "package_shipped", 1)]
    notice = facts[1]
    assert isinstance(notice, NoticeRequested)
    assert "return" in notice.detail
    assert notice.deadline == RETURN_UNTIL
    assert order is not None
    assert order.buyer_requested_cancel is None
    then, after_it = play(order, cancel_answered(approved=True))
    assert isinstance(after_it[0], RequestRefused)
    assert (after_it[0].reason, then) == ("order_shipped", order)


@pytest.mark.parametrize("approved", [True, False])
def test_r15_nobody_asked_nothing_to_answer(approved: bool) -> None:
    then, facts = play(seller_approves(unshipped()), cancel_answered(approved=approved))

    assert isinstance(facts[0], RequestRefused)
    assert (facts[0].reason, then) == ("cancel_not_asked", seller_approves(unshipped()))


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
def test_r15_an_answer_about_any_other_order_is_refused(order: Order, reason: str) -> None:
    then, facts = play(order, cancel_answered(approved=True))

    assert isinstance(facts[0], RequestRefused)
    assert (facts[0].reason, len(facts), then) == (reason, 1, order)


@pytest.mark.parametrize(
    ("at", "arrived", "asks"),
    [
        (HOLD_ENDS - ONE_MS, HOLD_ENDS + MINUTE, False),
        (HOLD_ENDS, HOLD_ENDS + MINUTE, True),
        (HOLD_ENDS - MINUTE, HOLD_ENDS + 9 * MINUTE + ONE_MS, True),
    ],
)
def test_r14_what_was_asked_within_the_hold_is_the_buyers_own_whatever_the_policy(
    at: datetime, arrived: datetime, asks: bool
) -> None:
    order = after(seller_approves(unshipped()), cancel_requested(at, arrived=arrived))

    assert (order.status, order.asked_cancels) == (("Unshipped", 1) if asks else ("Canceled", 0))


def test_r3_a_pending_order_is_not_the_sellers_to_answer_about() -> None:
    order = seller_approves(pending(stock_reserved()))

    then = after(order, cancel_requested(HOLD_ENDS + DAY))

    assert then.cancellation is not None
    assert (then.status, then.cancellation.executed_by) == ("Canceled", "MARKETPLACE")


def test_r23_a_request_without_an_answer_is_stuck_until_it_has_one() -> None:
    silent, facts = play(asking(), reached(asking().deadlines[-1]))

    stuck = Stuck(reason="cancel_unanswered", since=REQUEST.answer_due)
    assert facts == [OrderStuck(stuck=stuck)]
    assert silent is not None
    assert (silent.stuck, silent.deadlines) == ((stuck,), seller_approves(unshipped()).deadlines)
    late = REQUEST.answer_due + DAY
    for ends in (
        cancel_answered(approved=True, at=late),
        cancel_answered(approved=False, at=late),
        shipment_confirmed({KETTLES: 1}, at=late),
        seller_canceled(late),
        reached(OpenDeadline(kind="shipment_unconfirmed", due=CANCEL_AT)),
    ):
        assert after(silent, ends).stuck == ()


@pytest.mark.parametrize(
    ("event", "requested_by", "reason"),
    [
        (seller_canceled(reason_code="BuyerCanceled"), "BUYER", "buyer"),
        (seller_canceled(reason_code="PricingError"), "MERCHANT", "seller"),
    ],
)
def test_r18_a_seller_who_cancels_because_the_buyer_did_approves_what_was_asked(
    event: Received, requested_by: str, reason: str
) -> None:
    _, (fact, notice) = play(asking(), event)

    assert isinstance(fact, OrderCanceled)
    why = fact.cancellation
    assert (why.requested_by, why.executed_by, why.reason) == (requested_by, "MERCHANT", reason)
    assert isinstance(notice, NoticeRequested)
    assert (notice.kind, notice.reason) == ("order_canceled", reason), "the buyer is told the same"
