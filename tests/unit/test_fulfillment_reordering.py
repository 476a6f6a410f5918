"""R19: a buyer who canceled asks for the same again, and hears whether it can be had."""

import pytest

from shared.events.fields import SkuQuantity
from shared.events.fulfillment import (
    Order,
    ReorderAnswered,
    ReorderAsked,
    RequestRefused,
)
from shared.events.notices import NoticeRequested
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLE,
    PURCHASED,
    SELLER,
    TEA,
    after,
    cancel_requested,
    canceled,
    partially_shipped,
    payment_refused,
    pending,
    placed,
    play,
    reorder_checked,
    reorder_requested,
    seller_canceled,
    shipped,
    stock_rejected,
    unshipped,
)


def test_r19_whoever_canceled_may_ask_whether_the_stock_lasts() -> None:
    order, facts = play(canceled(), reorder_requested())

    assert facts == [
        ReorderAsked(
            seller_id=SELLER,
            nth=1,
            units=(SkuQuantity(sku=KETTLE, quantity=3), SkuQuantity(sku=TEA, quantity=2)),
        )
    ]
    assert order is not None
    assert (order.status, order.reorders_asked) == ("Canceled", 1)


def test_r19_lines_of_the_same_sku_are_asked_for_as_one() -> None:
    first, second = placed().items
    lines = (first, second, first.model_copy(update={"order_item_id": "item-more"}))
    order = pending(cancel_requested(PURCHASED + HOUR), items=lines)

    (asked,) = play(order, reorder_requested())[1]

    assert isinstance(asked, ReorderAsked)
    assert {units.sku: units.quantity for units in asked.units} == {KETTLE: 6, TEA: 2}


@pytest.mark.parametrize(
    ("lacking", "kind"), [(0, "reorder_suggestion"), (1, "reorder_unavailable")]
)
def test_r19_while_the_stock_lasts_it_is_suggested_else_the_buyer_hears_that_it_does_not(
    lacking: int, kind: str
) -> None:
    order, facts = play(canceled(), reorder_requested(), reorder_checked(lacking=lacking))

    _, answered, notice = facts
    assert answered == ReorderAnswered(nth=1, in_stock=not lacking)
    assert isinstance(notice, NoticeRequested)
    assert (notice.recipient, notice.kind, notice.occurrence) == ("BUYER", kind, 1)
    assert order is not None
    assert (order.status, order.reorders_answered) == ("Canceled", 1)


def test_r19_every_question_has_its_own_answer() -> None:
    asked = [reorder_requested(HOLD_ENDS + n * DAY) for n in (1, 2)]
    answers = [reorder_checked(1), reorder_checked(2, lacking=2)]

    order, facts = play(canceled(), *asked, *answers)

    notices = [(f.kind, f.occurrence) for f in facts if isinstance(f, NoticeRequested)]
    assert notices == [("reorder_suggestion", 1), ("reorder_unavailable", 2)]
    assert order is not None
    assert (order.reorders_asked, order.reorders_answered) == (2, 2)


@pytest.mark.parametrize(
    "order", [pending(), unshipped(), partially_shipped(), shipped()], ids=lambda o: o.status
)
def test_r19_what_was_not_canceled_is_not_ordered_again(order: Order) -> None:
    then, facts = play(order, reorder_requested())

    (refused,) = facts
    assert isinstance(refused, RequestRefused)
    assert refused.reason == "not_canceled"
    assert then == order


@pytest.mark.parametrize(
    "order",
    [
        pending(stock_rejected()),
        pending(payment_refused()),
        after(unshipped(), seller_canceled()),
    ],
    ids=["out of stock", "unpaid", "seller"],
)
def test_r19_nor_what_somebody_else_than_its_buyer_canceled(order: Order) -> None:
    then, facts = play(order, reorder_requested())

    (refused,) = facts
    assert isinstance(refused, RequestRefused)
    assert refused.reason == "not_canceled_by_buyer"
    assert then == order


def test_r19_after_the_hold_it_is_still_the_buyer_who_canceled() -> None:
    order = after(unshipped(), cancel_requested(HOLD_ENDS + 2 * HOUR))

    assert isinstance(play(order, reorder_requested(HOLD_ENDS + DAY))[1][0], ReorderAsked)
