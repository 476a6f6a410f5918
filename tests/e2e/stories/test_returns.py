"""Goods that come back, and buyers who want again what they canceled (R16, R17, R19)."""

import pytest

from tests.support.story import CANCELED, DAY, ESTIMATED, PACKED, RELEASED, Story, unshipped
from tests.support.town import Shelf, Town

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(180)]

RETURNING = [("SELLER", "return_requested"), ("BUYER", "return_opened")]
BACK = ("BUYER", "return_received")


async def test_r16_r17_who_cancels_too_late_returns_the_goods_and_they_are_sold_again(
    town: Town, shelf: Shelf
) -> None:
    story = await unshipped(town, shelf, units=3)
    await town.pass_time(DAY)
    await story.is_shipped()
    await story.is_canceled_by_the_buyer()
    await town.pass_time(3 * DAY)
    await story.is_delivered()
    (way_back,) = story.notice("cancel_refused")
    assert way_back.deadline is not None
    assert way_back.deadline > town.now
    await story.is_asked_back(3)
    assert story.levels == (5, 5, 0), "asked for is not back"
    await town.pass_time(4 * DAY)
    await story.is_back(sellable=2, damaged=1)

    assert story.status == "Shipped"
    assert story.order.items[0].quantity_returned == 3
    assert story.notices == [ESTIMATED, PACKED, ("BUYER", "cancel_refused"), *RETURNING, BACK]
    assert story.levels == (7, 7, 0)
    next_one = await unshipped(town, shelf, units=7)
    assert next_one.levels == (7, 0, 7)


async def test_r17_fewer_units_than_were_asked_for_may_come_back_and_the_rest_later(
    town: Town, shelf: Shelf
) -> None:
    story = await unshipped(town, shelf, units=3)
    await story.is_shipped()
    await story.is_asked_back(2)
    await story.is_back(sellable=3)
    await story.is_back(sellable=1)
    await story.is_asked_back(3, return_id="RMA-2")
    await story.is_asked_back(2, return_id="RMA-2")
    await story.is_back(damaged=2, return_id="RMA-2")

    assert story.refusals == ["more_units_than_in_return", "more_units_than_shipped"]
    assert story.order.items[0].quantity_returned == 3
    assert story.levels == (6, 6, 0)
    assert [back.kind for back in story.notice("return_received")] == ["return_received"] * 2


async def test_r17_what_the_carrier_can_not_deliver_comes_back_without_being_asked_for(
    town: Town, shelf: Shelf
) -> None:
    story = await unshipped(town, shelf, units=2)
    await town.pass_time(DAY)
    await story.is_undeliverable()
    assert story.life == RELEASED, "it waits for its package"
    await story.is_shipped()
    (opened,) = story.order.returns
    await story.is_back(sellable=2, return_id=opened.return_id)

    assert story.status == "Shipped"
    assert story.order.packages[0].returned_at is not None
    assert story.notices == [ESTIMATED, PACKED, *RETURNING, BACK]
    assert story.levels == (8, 8, 0)


async def test_r17_after_the_return_window_nothing_goes_back(town: Town, shelf: Shelf) -> None:
    story = await unshipped(town, shelf)
    await story.is_shipped()
    await story.is_delivered()
    window = story.order.delivery_window
    assert window is not None
    await town.pass_time_until(window.latest + 30 * DAY)
    await story.is_asked_back(1)
    await town.pass_time(DAY)
    await story.is_asked_back(1, return_id="RMA-2")

    assert [back.return_id for back in story.order.returns] == ["RMA-1"]
    assert story.refusals == ["return_window_over"]


async def test_r19_who_canceled_is_told_whether_the_same_can_be_had_again(
    town: Town, shelf: Shelf
) -> None:
    story, other = Story(town, shelf, units=5), Story(town, shelf, units=4)
    await story.is_placed()
    await story.is_canceled_by_the_buyer()
    await story.is_wanted_after_all()
    await other.is_placed()
    await story.is_wanted_after_all()

    suggestion, unavailable = ("BUYER", "reorder_suggestion"), ("BUYER", "reorder_unavailable")
    assert story.notices == [CANCELED, suggestion, unavailable]
    assert story.levels == (8, 4, 4), "asking reserves nothing"
    await other.is_wanted_after_all()
    assert other.refusals == ["not_canceled"]
