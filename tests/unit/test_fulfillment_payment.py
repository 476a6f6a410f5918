"""R6: a refused payment cancels the order, and nobody is told; R7: money that comes late."""

from typing import get_args

import pytest

from shared.events.fulfillment import Cancellation, OrderCanceled
from shared.events.payment import PaymentRefusal
from tests.support.orders import (
    ALL_UNITS,
    BUYER,
    CARD,
    DAY,
    HOLD_ENDS,
    MINUTE,
    PURCHASED,
    SELLER,
    after,
    hold_over,
    items,
    payment_approved,
    payment_refused,
    pending,
    play,
    stock_reserved,
    unshipped,
)


@pytest.mark.parametrize("reason", get_args(PaymentRefusal))
def test_r6_a_refused_payment_cancels_in_silence(reason: PaymentRefusal) -> None:
    order, facts = play(pending(stock_reserved()), payment_refused(reason))

    assert facts == [
        OrderCanceled(
            seller_id=SELLER,
            buyer_id=BUYER,
            payment_method_ref=CARD,
            cancellation=Cancellation(
                reason=reason,
                requested_by="MARKETPLACE",
                executed_by="MARKETPLACE",
                canceled_at=PURCHASED + 4 * MINUTE,
            ),
            units_canceled=items(ALL_UNITS),
            archive_at=PURCHASED + 4 * MINUTE + 45 * DAY,
        )
    ], "one fact, no notice to anyone"
    assert order is not None
    assert order.status == "Canceled"
    assert order.cancellation is not None
    assert order.cancellation.reason == reason, "the record and its reason remain"


def test_r6_never_approved_in_its_window_is_canceled_long_after_the_hold() -> None:
    order = after(
        pending(stock_reserved(), hold_over()),
        payment_refused("payment_timeout", PURCHASED + 7 * DAY),
    )

    assert order.cancellation is not None
    assert order.cancellation.canceled_at == PURCHASED + 7 * DAY
    assert (order.status, order.waits_for) == ("Canceled", ())
    assert [deadline.kind for deadline in order.deadlines] == ["archive"]


def test_r6_a_cancel_is_never_dated_before_what_it_follows() -> None:
    order = after(pending(stock_reserved(), hold_over()), payment_refused())

    assert order.cancellation is not None
    assert order.cancellation.canceled_at == HOLD_ENDS


def test_r6_the_first_answer_after_the_release_stands() -> None:
    order = unshipped()

    assert play(order, payment_refused("fraud_suspected", PURCHASED + DAY)) == (order, [])


def test_r7_an_approval_after_the_cancel_changes_nothing_here() -> None:
    order = pending(payment_refused())

    assert play(order, payment_approved(PURCHASED + DAY)) == (order, [])
