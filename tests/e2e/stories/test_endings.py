"""The other ways in which an order ends: no stock, no money, no seller, a change of mind."""

import pytest

from tests.support.story import (
    CANCELED,
    DAY,
    ESTIMATED,
    MINUTE,
    ONE_MS,
    PRICE_MINOR,
    RELEASED,
    Story,
    unshipped,
)
from tests.support.town import Shelf, Town

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(180)]


@pytest.mark.parametrize("known", [True, False])
async def test_r4_too_few_units_or_an_unknown_sku_cancel_the_order_and_the_buyer_is_told(
    town: Town, shelf: Shelf, known: bool
) -> None:
    wanted = shelf if known else shelf._replace(sku="NEVER-COUNTED")
    story = Story(town, wanted, units=9)
    await story.is_placed()
    await town.pass_time(8 * DAY)

    assert story.status == "Canceled: out_of_stock"
    assert story.stock == ["rejected"]
    assert story.notices == [CANCELED]
    assert town.papers.level(*shelf).available == 8


async def test_r14_r15_a_cancel_after_29_59_is_the_buyers_and_after_30_00_the_marketplaces(
    town: Town, shelf: Shelf
) -> None:
    early, late = Story(town, shelf), Story(town, shelf)
    monday = town.now
    for story in (early, late):
        await story.is_placed()
        await story.is_authorized()
    await town.pass_time_until(monday + 30 * MINUTE - ONE_MS)
    await early.is_canceled_by_the_buyer()
    await town.pass_time(ONE_MS)
    await late.is_canceled_by_the_buyer()

    assert early.notices == [CANCELED]
    assert late.notices == [ESTIMATED, CANCELED, ("SELLER", "do_not_ship")]
    for story, party in ((early, "BUYER"), (late, "MARKETPLACE")):
        why = story.order.cancellation
        assert why is not None
        assert (why.requested_by, why.executed_by) == ("BUYER", party)
        assert story.given_back == [("void_requested", PRICE_MINOR, "order_canceled")]
    assert late.levels == (8, 8, 0)


async def test_r14_a_request_of_minute_29_that_comes_in_minute_39_is_still_the_buyers_own(
    town: Town, shelf: Shelf
) -> None:
    monday = town.now
    story = await unshipped(town, shelf)
    await town.pass_time_until(monday + 39 * MINUTE)
    await story.is_canceled_by_the_buyer(asked_at=monday + 29 * MINUTE)

    why = story.order.cancellation
    assert why is not None
    assert (why.executed_by, why.within_hold) == ("BUYER", True)


async def test_r18_a_seller_without_inventory_cancels_and_the_units_are_written_off(
    town: Town, shelf: Shelf
) -> None:
    story = await unshipped(town, shelf, units=3)
    await story.is_canceled_by_the_seller("NoInventory")

    assert story.status == "Canceled: seller"
    assert story.life == [*RELEASED, "canceled"]
    assert story.levels == (5, 5, 0)
    assert story.given_back == [("void_requested", 3 * PRICE_MINOR, "order_canceled")]
    assert story.notices == [ESTIMATED, CANCELED]


async def test_r3_a_pending_order_is_neither_shipped_nor_canceled_by_its_seller(
    town: Town, shelf: Shelf
) -> None:
    story = Story(town, shelf)
    await story.is_placed()
    await story.is_authorized()
    await story.is_shipped()
    await story.is_canceled_by_the_seller("PricingError")

    assert story.refusals == ["order_pending", "order_pending"]
    assert story.status == "Pending"
    assert story.levels == (8, 7, 1)


async def test_r5_r7_an_amount_that_is_not_the_orders_is_refused_and_goes_back(
    town: Town, shelf: Shelf
) -> None:
    story = Story(town, shelf)
    await story.is_placed()
    await story.is_authorized(amount_minor=PRICE_MINOR - 1)

    assert story.status == "Canceled: payment_mismatch"
    assert story.given_back == [("void_requested", PRICE_MINOR - 1, "payment_mismatch")]
    assert story.notices == []
    assert story.levels == (8, 8, 0)


async def test_r5_r6_an_unknown_payment_waits_seven_days_and_then_times_out_silently(
    town: Town, shelf: Shelf
) -> None:
    story, monday = Story(town, shelf), town.now
    await story.is_placed()
    await story.is_unknown_to_the_provider()
    await town.pass_time_until(monday + 7 * DAY - ONE_MS)
    assert (story.status, story.levels) == ("Pending", (8, 7, 1))
    await town.pass_time(ONE_MS)
    assert story.status == "Canceled: payment_timeout"
    await story.is_authorized()

    assert story.life == ["held", "condition_met stock", "condition_met hold", "canceled"]
    assert story.money == [
        "verification_unknown",
        "refused",
        "money_arrived",
        "void_requested",
    ]
    assert story.given_back == [("void_requested", PRICE_MINOR, "payment_refused")]
    assert story.notices == []
    assert story.levels == (8, 8, 0)


async def test_r9_a_payment_in_the_last_millisecond_of_its_window_releases_the_order(
    town: Town, shelf: Shelf
) -> None:
    story, monday = Story(town, shelf), town.now
    await story.is_placed()
    await town.pass_time_until(monday + 7 * DAY - ONE_MS)
    await story.is_authorized()
    await town.pass_time(1 * DAY)

    assert story.life == [
        "held",
        "condition_met stock",
        "condition_met hold",
        "unshipped payment",
    ]
    assert story.order.released_at == monday + 7 * DAY - ONE_MS


async def test_r13_of_a_partly_shipped_order_the_rest_is_canceled_on_day_30(
    town: Town, shelf: Shelf
) -> None:
    monday = town.now
    story = await unshipped(town, shelf, units=3)
    await story.is_shipped(1)
    await town.jump_to(monday + 30 * DAY)

    assert story.status == "Shipped: shipment_unconfirmed"
    assert story.life[-1] == "open_units_canceled"
    assert story.levels == (7, 7, 0)
    assert CANCELED in story.notices
    assert story.order.deadlines == ()


async def test_p1_to_p6_the_books_balance_after_every_ending(town: Town) -> None:
    books = await town.books()

    assert books.violations == ()
    assert books.unchecked == ()
    assert town.papers.doubled == []
