"""R10: which order a seller is to ship first, and how late it is."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.events.fulfillment import Order
from shared.events.storefront import OrderItem
from shared.policy import Policies, Policy
from shared.urgency import (
    days_past_promise,
    on_verge_of_cancellation,
    on_verge_of_late,
    ship_by,
    urgency,
)
from tests.support.orders import (
    DAY,
    ONE_MS,
    PURCHASED,
    SHIP_BY,
    WARN_AT,
    after,
    eur,
    hold_over,
    order_placed,
    partially_shipped,
    payment_approved,
    reached,
    stock_reserved,
    unshipped,
)

MIDNIGHT = SHIP_BY + timedelta(seconds=1)
BERLIN = Policy(time_zone="Europe/Berlin", calendar_country="DE")


def released(purchased: datetime, *, policy: Policy = BERLIN, order_id: str = "A") -> Order:
    """An order that was reserved and paid at once, and held out."""
    return after(
        None,
        order_placed(
            purchased,
            purchase_date=purchased,
            order_id=order_id,
            items=(OrderItem(order_item_id="1", sku="SPOON", quantity=1, item_price=eur(90)),),
        ),
        stock_reserved(purchased),
        payment_approved(purchased),
        hold_over(purchased + timedelta(minutes=30)),
        policies=Policies(policy),
    )


@pytest.mark.parametrize(
    ("at", "days"),
    [
        (MIDNIGHT - 3 * DAY, -3),
        (MIDNIGHT - DAY - ONE_MS, -2),
        (MIDNIGHT - DAY, -1),
        (SHIP_BY - ONE_MS, -1),
        (SHIP_BY, 0),  # due, and the last second of its day still runs
        (MIDNIGHT, 0),
        (MIDNIGHT + DAY - ONE_MS, 0),
        (MIDNIGHT + DAY, 1),
        (MIDNIGHT + 366 * DAY, 366),
    ],
)
def test_r10_days_past_promise_are_negative_while_it_is_not_due(at: datetime, days: int) -> None:
    assert days_past_promise(unshipped(), at, Policy()) == days


@pytest.mark.parametrize(
    ("at", "days"),
    [
        (datetime(2026, 3, 27, 22, 59, tzinfo=UTC), -5),  # Friday, 23:59
        (datetime(2026, 3, 27, 23, 0, tzinfo=UTC), -4),
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), -3),  # Sunday, which has 23 hours
        (datetime(2026, 3, 29, 21, 59, tzinfo=UTC), -3),
        (datetime(2026, 3, 29, 22, 0, tzinfo=UTC), -2),
    ],
)
def test_r10_its_days_are_the_marketplaces_own_when_clocks_change(at: datetime, days: int) -> None:
    order = released(datetime(2026, 3, 27, 7, 12, tzinfo=UTC))

    assert ship_by(order) == datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC)
    assert days_past_promise(order, at, BERLIN) == days


@pytest.mark.parametrize(
    ("at", "verge"),
    [
        (MIDNIGHT - DAY - ONE_MS, False),
        (MIDNIGHT - DAY, True),
        (SHIP_BY - ONE_MS, True),
        (SHIP_BY, False),  # late it is
    ],
)
def test_r10_on_the_verge_of_late_is_the_ship_by_day(at: datetime, verge: bool) -> None:
    assert on_verge_of_late(unshipped(), at, Policy()) is verge


def test_r10_on_the_verge_of_cancellation_is_from_the_warning_on() -> None:
    waiting = unshipped()
    (warning,) = [d for d in waiting.deadlines if d.kind == "cancel_warning"]
    warned = after(waiting, reached(warning))

    assert not on_verge_of_cancellation(waiting, WARN_AT - ONE_MS)
    assert on_verge_of_cancellation(waiting, WARN_AT)
    assert on_verge_of_cancellation(warned, WARN_AT - ONE_MS)
    assert not on_verge_of_cancellation(partially_shipped(), WARN_AT - ONE_MS)


def test_r10_the_most_urgent_is_first() -> None:
    later = released(PURCHASED + DAY, order_id="000-0000001-0000001")
    early, same_minute, cheaper = (
        released(PURCHASED - DAY, order_id="999-9999999-9999999"),
        released(PURCHASED, order_id="B"),
        released(PURCHASED - timedelta(minutes=1), order_id="C"),
    )
    also = released(PURCHASED, order_id="A")

    ranked = sorted([later, same_minute, also, cheaper, early], key=urgency)

    assert [order.order_id for order in ranked] == [
        "999-9999999-9999999",
        "C",
        "A",
        "B",
        "000-0000001-0000001",
    ]
