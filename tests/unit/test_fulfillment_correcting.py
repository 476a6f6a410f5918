"""Where an order goes is corrected while nothing has shipped, and a notice is sent again (P4)."""

import pytest

from services.fulfillment.correcting import AGAIN
from shared.events.envelope import Fact
from shared.events.fields import NoticeKind
from shared.events.fulfillment import AddressChanged, NoticeResent, Order, RequestRefused
from shared.events.notices import NoticeRequested, NoticeRequestedAgain
from shared.service import Received
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLES,
    address,
    address_corrected,
    after,
    cancel_requested,
    canceled,
    delay_announced,
    hold_over,
    partially_shipped,
    payment_approved,
    payment_refused,
    pending,
    play,
    reached,
    resend_requested,
    return_received,
    return_requested,
    seller_approves,
    shipment_confirmed,
    shipped,
    stock_rejected,
    stock_reserved,
    unshipped,
)

ELSEWHERE = address(address_line_1="Kastanienallee 9")


def refusal(order: Order, event: Received) -> tuple[str, str]:
    then, facts = play(order, event)
    (refused,) = facts
    assert isinstance(refused, RequestRefused)
    assert refused.detail
    assert then == order
    return refused.reason, refused.field


# -- the address -------------------------------------------------------------------------------


def test_the_address_is_corrected_and_both_sides_are_told() -> None:
    order, facts = play(unshipped(), address_corrected(HOLD_ENDS + HOUR))

    changed, to_buyer, to_seller = facts
    assert changed == AddressChanged(
        nth=1, requested_by="BUYER", ship_address=ELSEWHERE, reason="a typing error"
    )
    assert isinstance(to_buyer, NoticeRequested)
    assert isinstance(to_seller, NoticeRequested)
    assert (to_buyer.recipient, to_buyer.kind) == ("BUYER", "address_changed")
    assert (to_seller.recipient, to_seller.kind) == ("SELLER", "new_ship_address")
    before = unshipped()
    assert order is not None
    assert order.ship_address == ELSEWHERE
    assert (order.status, order.delivery_window) == (before.status, before.delivery_window)
    assert order.deadlines == before.deadlines


def test_r3_while_an_order_is_pending_its_seller_is_not_told_of_the_address() -> None:
    order, facts = play(pending(), address_corrected())

    assert [fact.kind for fact in facts if isinstance(fact, NoticeRequested)] == ["address_changed"]
    assert order is not None
    assert order.ship_address == ELSEWHERE


def test_the_same_address_again_is_no_news_and_another_one_counts_on() -> None:
    order = after(unshipped(), address_corrected(HOLD_ENDS + HOUR))

    assert play(order, address_corrected(HOLD_ENDS + 2 * HOUR)) == (order, [])
    back = address_corrected(HOLD_ENDS + 3 * HOUR, city="Potsdam")
    then, (changed, *notices) = play(order, back)
    assert then is not None
    assert then.ship_address == address()
    assert isinstance(changed, AddressChanged)
    assert changed.nth == 2
    assert {fact.occurrence for fact in notices if isinstance(fact, NoticeRequested)} == {2}


def test_an_address_in_another_country_is_refused_since_the_total_is_for_this_one() -> None:
    event = address_corrected(city="Salzburg", country_code="AT")

    assert refusal(unshipped(), event) == ("another_country", "ship_address.country_code")


@pytest.mark.parametrize("order", [partially_shipped(), shipped()], ids=["partly", "shipped"])
def test_once_something_has_shipped_the_address_stays(order: Order) -> None:
    assert refusal(order, address_corrected(HOLD_ENDS + 2 * DAY)) == ("order_shipped", "")


def test_the_address_of_a_canceled_order_stays() -> None:
    assert refusal(canceled(), address_corrected()) == ("order_canceled", "")


# -- a notice again ----------------------------------------------------------------------------

RELEASED = (stock_reserved(), payment_approved(), hold_over())
ASKS = cancel_requested(HOLD_ENDS + HOUR)
BACK = return_requested({KETTLES: 2})
REACHED = {each.kind: reached(each) for each in unshipped().deadlines}
CALLS_FOR: dict[NoticeKind, tuple[Order, tuple[Received, ...]]] = {
    "estimated_delivery": (pending(), RELEASED),
    "package_shipped": (unshipped(), (shipment_confirmed(),)),
    "new_delivery_date": (unshipped(), (delay_announced(),)),
    "late_shipment": (unshipped(), (REACHED["ship_by"],)),
    "cancel_warning": (unshipped(), (REACHED["cancel_warning"],)),
    "cancel_asked": (seller_approves(unshipped()), (ASKS,)),
    "cancel_refused": (shipped(), (cancel_requested(HOLD_ENDS + 2 * DAY),)),
    "order_canceled": (pending(), (stock_rejected(),)),
    "do_not_ship": (unshipped(), (ASKS,)),
    "return_opened": (shipped(), (BACK,)),
    "return_received": (shipped(BACK), (return_received({(KETTLES, "Sellable"): 2}),)),
    "address_changed": (unshipped(), (address_corrected(HOLD_ENDS + HOUR),)),
}
"""By kind, an order, and what happens then that calls for a notice of it."""


def notices(facts: list[Fact], kind: NoticeKind) -> list[NoticeRequested]:
    return [fact for fact in facts if isinstance(fact, NoticeRequested) and fact.kind == kind]


@pytest.mark.parametrize("kind", CALLS_FOR)
def test_p4_a_notice_that_is_sent_again_says_the_same_to_the_same(kind: NoticeKind) -> None:
    order, facts = play(CALLS_FOR[kind][0], *CALLS_FOR[kind][1])
    (sent,) = notices(facts, kind)

    then, (resent, again) = play(order, resend_requested(kind, sent.occurrence))

    assert resent == NoticeResent(nth=1, kind=kind, occurrence=sent.occurrence)
    assert again == NoticeRequestedAgain(**dict(sent), nth=1)
    assert order is not None
    assert then is not None
    assert then.notices_resent == 1
    same = {"notices_resent": 0, "last_update_date": order.last_update_date}
    assert then.model_copy(update=same) == order, "and nothing else has changed"


@pytest.mark.parametrize("kind", CALLS_FOR)
def test_p4_what_was_not_sent_is_not_sent_again(kind: NoticeKind) -> None:
    before = CALLS_FOR[kind][0]
    asked = [resend_requested(kind, n) for n in (1, 2, 9)]

    if before.status == "Pending":
        assert {refusal(before, each) for each in asked} == {("order_pending", "")}
    else:
        assert {refusal(before, each) for each in asked} == {("no_such_notice", "kind")}


def test_p4_every_kind_that_can_be_sent_again_is_sent_here() -> None:
    assert CALLS_FOR.keys() == AGAIN.keys()


def test_p4_the_times_are_counted_and_each_is_a_fact_of_its_own() -> None:
    first, later = resend_requested(), resend_requested(at=HOLD_ENDS + 3 * HOUR)

    _, facts = play(unshipped(), first, later)

    again = [fact for fact in facts if isinstance(fact, NoticeRequestedAgain)]
    assert [(fact.occurrence, fact.nth) for fact in again] == [(1, 1), (1, 2)]


def test_r6_of_a_silent_cancel_nobody_is_told_on_demand_either() -> None:
    silent = pending(address_corrected(), payment_refused())

    for kind in ("order_canceled", "address_changed"):
        assert refusal(silent, resend_requested(kind)) == ("no_such_notice", "kind")


def test_what_a_later_date_has_replaced_is_not_told_again() -> None:
    late = after(unshipped(), REACHED["ship_by"])

    assert refusal(late, resend_requested("estimated_delivery")) == ("no_such_notice", "kind")


def test_a_package_that_was_edited_is_told_with_its_new_number() -> None:
    edited = shipped(shipment_confirmed(at=HOLD_ENDS + 2 * DAY, tracking_number="JJD0010"))

    _, (_, again) = play(edited, resend_requested("package_shipped"))

    assert isinstance(again, NoticeRequestedAgain)
    assert again.tracking_number == "JJD0010"
