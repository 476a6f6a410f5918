"""The first nine stories that the demo tells, here told to the millisecond."""

import asyncio
from collections import Counter

import pytest

from shared.events.inventory import StockDepleted
from tests.support.story import (
    CANCELED,
    DAY,
    ESTIMATED,
    HOUR,
    MINUTE,
    ONE_MS,
    PACKED,
    PRICE_MINOR,
    RELEASED,
    Story,
    end_of_day,
    midnight,
    unshipped,
)
from tests.support.town import Shelf, Town

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(180)]


async def test_r1_r2_r9_r11_a_normal_order_is_held_paid_unshipped_shipped_and_delivered(
    town: Town, shelf: Shelf
) -> None:
    story, monday = Story(town, shelf, units=2), town.now
    await story.is_placed()
    assert (story.status, story.levels) == ("Pending", (8, 6, 2))
    await town.pass_time(4 * MINUTE)
    await story.is_authorized()
    await town.pass_time_until(monday + 30 * MINUTE - ONE_MS)
    assert story.status == "Pending"
    await town.pass_time(ONE_MS)
    assert story.status == "Unshipped"
    await town.pass_time(20 * HOUR)
    await story.is_shipped()
    await town.pass_time(3 * DAY)
    await story.is_delivered()

    assert story.status == "Shipped"
    assert story.levels == (6, 6, 0)
    assert story.life == [*RELEASED, "package_confirmed", "package_delivered"]
    assert story.stock == ["reserved", "shipped"]
    assert story.money == ["approved", "capture_requested", "money_arrived"]
    assert story.notices == [ESTIMATED, PACKED]
    (estimate,) = story.notice("estimated_delivery")
    assert estimate.delivery_window is not None
    assert estimate.delivery_window.earliest == midnight(monday + 3 * DAY)
    assert estimate.delivery_window.latest == end_of_day(monday + 9 * DAY)
    assert [deadline.kind for deadline in story.order.deadlines] == ["archive"]


async def test_r14_r7_a_buyer_cancels_in_minute_12_alone_and_gets_the_money_back(
    town: Town, shelf: Shelf
) -> None:
    story, monday = Story(town, shelf), town.now
    await story.is_placed()
    await story.is_authorized()
    await town.pass_time(12 * MINUTE)
    await story.is_canceled_by_the_buyer()
    await town.pass_time(2 * MINUTE)
    await story.is_voided()
    await town.pass_time(1 * DAY)

    assert story.status == "Canceled: buyer"
    why = story.order.cancellation
    assert why is not None
    assert (why.executed_by, why.within_hold) == ("BUYER", True)
    assert why.canceled_at == monday + 12 * MINUTE
    assert story.life == ["held", "condition_met stock", "condition_met payment", "canceled"]
    assert story.stock == ["reserved", "released"]
    assert story.levels == (8, 8, 0)
    assert story.money == ["approved", "verification_closed", "void_requested", "money_returned"]
    assert story.given_back == [("void_requested", PRICE_MINOR, "order_canceled")]
    assert story.notices == [CANCELED]


async def test_r5_r6_a_declined_card_cancels_the_order_and_tells_nobody(
    town: Town, shelf: Shelf
) -> None:
    story = Story(town, shelf)
    await story.is_placed()
    await town.pass_time(4 * MINUTE)
    await story.is_declined()
    await town.pass_time(8 * DAY)

    assert story.status == "Canceled: payment_declined"
    assert story.life == ["held", "condition_met stock", "canceled"]
    assert story.stock == ["reserved", "released"]
    assert story.levels == (8, 8, 0)
    assert story.money == ["refused"]
    assert story.notices == []


async def test_r1_r4_of_two_buyers_one_gets_the_last_unit_and_the_other_is_told(
    town: Town,
) -> None:
    shelf = await town.shelf(on_hand=1)
    one, other = Story(town, shelf), Story(town, shelf)
    await asyncio.gather(one.is_placed(), other.is_placed())
    lost, won = sorted((one, other), key=lambda story: story.status)

    assert lost.status == "Canceled: out_of_stock"
    assert lost.life == ["held", "canceled"]
    assert lost.stock == ["rejected"]
    assert lost.notices == [CANCELED]
    assert lost.levels == (1, 0, 1)
    assert isinstance(won.level, StockDepleted)

    await asyncio.gather(won.is_authorized(), lost.is_authorized())
    await town.pass_time(1 * DAY)
    await won.is_shipped()

    assert won.status == "Shipped"
    assert won.levels == (0, 0, 0)
    assert lost.given_back == [("void_requested", PRICE_MINOR, "order_canceled")]


@pytest.mark.parametrize("how", ["authorized", "captured"])
async def test_r7_money_that_comes_after_the_cancel_is_asked_back_once(
    town: Town, shelf: Shelf, how: str
) -> None:
    story = Story(town, shelf)
    await story.is_placed()
    await town.pass_time(8 * MINUTE)
    await story.is_canceled_by_the_buyer()
    await town.pass_time(7 * MINUTE)
    pay = story.is_authorized if how == "authorized" else story.is_captured
    give_back = story.is_voided if how == "authorized" else story.is_refunded
    asked = "void_requested" if how == "authorized" else "refund_requested"
    await pay()
    await pay()
    await give_back()

    assert story.status == "Canceled: buyer"
    assert story.money == ["verification_closed", "money_arrived", asked, "money_returned"]
    assert story.given_back == [(asked, PRICE_MINOR, "order_canceled")]
    assert story.notices == [CANCELED]


async def test_r12_a_late_seller_costs_two_new_dates_and_then_ships(
    town: Town, shelf: Shelf
) -> None:
    monday = town.now
    story = await unshipped(town, shelf)
    ship_by = end_of_day(monday + 2 * DAY)
    await town.pass_time_until(ship_by - ONE_MS)
    assert story.notices == [ESTIMATED]
    await town.pass_time_until(ship_by + 1 * DAY + 3 * HOUR)
    await story.is_shipped()
    await town.pass_time(3 * DAY)

    late = [("SELLER", "late_shipment"), ("BUYER", "new_delivery_date")]
    assert story.status == "Shipped"
    assert story.life == [*RELEASED, "shipment_late", "shipment_late", "package_confirmed"]
    assert story.notices == [ESTIMATED, *late, *late, PACKED]
    first, second = (n.delivery_window for n in story.notice("new_delivery_date"))
    assert first is not None
    assert second is not None
    assert (first.latest, second.latest) == (
        end_of_day(monday + 10 * DAY),
        end_of_day(monday + 11 * DAY),
    )
    assert [notice.deadline for notice in story.notice("late_shipment")] == [ship_by, ship_by]
    assert [deadline.kind for deadline in story.order.deadlines] == ["package_lost"]


async def test_r13_what_was_delivered_but_never_confirmed_is_canceled_on_day_30(
    town: Town, shelf: Shelf
) -> None:
    monday = town.now
    story = await unshipped(town, shelf)
    await town.pass_time(1 * DAY)
    await story.is_delivered()
    await town.pass_time_until(monday + 30 * DAY - ONE_MS)
    assert story.status == "Unshipped"
    assert story.given_back == []
    await town.pass_time(ONE_MS)
    await story.is_voided()

    assert story.status == "Canceled: shipment_unconfirmed"
    assert story.order.cancellation is not None
    assert story.order.cancellation.canceled_at == monday + 30 * DAY
    late_until_warned, late_after = 21 * ["shipment_late"], 7 * ["shipment_late"]
    assert story.life == [
        *RELEASED,
        "package_delivered",
        *late_until_warned,
        "cancel_warned",
        *late_after,
        "canceled",
    ]
    assert Counter(kind for _, kind in story.notices) == {
        "estimated_delivery": 1,
        "late_shipment": 28,
        "new_delivery_date": 28,
        "cancel_warning": 1,
        "order_canceled": 1,
    }
    assert story.given_back == [("void_requested", PRICE_MINOR, "order_canceled")]
    assert story.levels == (8, 8, 0)


async def test_r11_a_part_is_shipped_and_then_the_rest(town: Town, shelf: Shelf) -> None:
    story = await unshipped(town, shelf, units=3)
    await story.is_shipped(1, reference=1)
    assert (story.status, story.levels) == ("PartiallyShipped", (7, 5, 2))
    await story.is_shipped(3, reference=2)
    assert (story.status, story.refusals) == ("PartiallyShipped", ["more_units_than_open"])
    await story.is_shipped(2, reference=2)
    assert (story.status, story.levels) == ("Shipped", (5, 5, 0))
    await story.is_delivered(reference=2)
    await story.is_delivered(reference=1)

    assert story.life == [
        *RELEASED,
        "package_confirmed",
        "request_refused",
        "package_confirmed",
        "package_delivered",
        "package_delivered",
    ]
    assert story.stock == ["reserved", "shipped", "shipped"]
    assert story.notices == [ESTIMATED, PACKED, PACKED]


async def test_r16_who_cancels_after_shipping_is_shown_the_way_back(
    town: Town, shelf: Shelf
) -> None:
    monday = town.now
    story = await unshipped(town, shelf, units=2)
    await story.is_shipped(1, reference=1)
    await story.is_canceled_by_the_buyer()
    await story.is_shipped(1, reference=2)
    await story.is_canceled_by_the_buyer()

    assert story.status == "Shipped"
    assert story.refusals == ["order_shipped", "order_shipped"]
    first, second = story.notice("cancel_refused")
    assert (first.occurrence, second.occurrence) == (1, 2)
    assert first.deadline == second.deadline == end_of_day(monday + 39 * DAY)
    assert "return" in first.detail
    assert story.given_back == []


async def test_p1_to_p6_the_books_balance_after_the_nine_stories(town: Town) -> None:
    books = await town.books()

    assert books.violations == ()
    assert books.unchecked == ()
    assert town.papers.doubled == []
