"""What a seller says beside confirming: a delay, announced; a cancel, answered (R12, R15)."""

import pytest

from tests.support.story import (
    CANCELED,
    DAY,
    ESTIMATED,
    HOUR,
    PACKED,
    PRICE_MINOR,
    RELEASED,
    end_of_day,
    unshipped,
)
from tests.support.town import Shelf, Town

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(180)]

BRITAIN = "A1F83G8C2ARO7P"
"""Whose policy says that the seller approves."""
NEW_DATE, LATE = ("BUYER", "new_delivery_date"), ("SELLER", "late_shipment")
ASKED, DENIED = ("SELLER", "cancel_asked"), ("BUYER", "cancel_denied")


async def test_r12_a_delay_that_is_announced_in_time_gives_the_buyer_a_new_date_at_once(
    town: Town, shelf: Shelf
) -> None:
    monday = town.now
    story = await unshipped(town, shelf)
    await town.pass_time(18 * HOUR)
    await story.is_delayed(3 * DAY)
    assert story.notices == [ESTIMATED, NEW_DATE]
    await town.pass_time_until(end_of_day(monday + 2 * DAY) + 5 * HOUR)
    await story.is_delayed(4 * DAY)
    await story.is_shipped()

    assert story.status == "Shipped"
    assert story.life == [
        *RELEASED,
        "shipment_delayed",
        "shipment_late",
        "request_refused",
        "package_confirmed",
    ]
    assert story.refusals == ["ship_by_passed"]
    assert story.notices == [ESTIMATED, NEW_DATE, LATE, NEW_DATE, PACKED]
    dates = [n.delivery_window.latest for n in story.notice() if n.delivery_window]
    assert sorted(set(dates)) == [dates[0], dates[1], dates[3]], "a later date each time"


async def test_r15_a_seller_who_is_asked_lets_the_buyer_cancel(town: Town, shelf: Shelf) -> None:
    story = await unshipped(town, shelf, marketplace_id=BRITAIN)
    await town.pass_time(9 * HOUR)
    await story.is_canceled_by_the_buyer()
    assert (story.status, story.levels) == ("Unshipped", (8, 7, 1))
    await town.pass_time(6 * HOUR)
    await story.is_answered(approved=True)

    assert story.status == "Canceled: buyer"
    why = story.order.cancellation
    assert why is not None
    assert (why.requested_by, why.executed_by) == ("BUYER", "MERCHANT")
    assert story.life == [*RELEASED, "cancel_asked", "canceled"]
    assert story.notices == [ESTIMATED, ASKED, CANCELED]
    assert story.given_back == [("void_requested", PRICE_MINOR, "order_canceled")]
    assert story.levels == (8, 8, 0)


async def test_r15_a_seller_who_does_not_ships(town: Town, shelf: Shelf) -> None:
    story = await unshipped(town, shelf, marketplace_id=BRITAIN)
    await story.is_canceled_by_the_buyer()
    await story.is_answered(approved=False)
    await story.is_answered(approved=True)
    await story.is_shipped()

    assert story.status == "Shipped"
    assert story.refusals == ["cancel_not_asked"]
    assert story.life == [
        *RELEASED,
        "cancel_asked",
        "cancel_denied",
        "request_refused",
        "package_confirmed",
    ]
    assert story.notices == [ESTIMATED, ASKED, DENIED, PACKED]
    assert story.given_back == []
    assert story.levels == (7, 7, 0)


MOVED, NEW_ADDRESS = ("BUYER", "address_changed"), ("SELLER", "new_ship_address")


async def test_p4_an_address_is_corrected_until_it_ships_and_a_notice_is_sent_again(
    town: Town, shelf: Shelf
) -> None:
    story = await unshipped(town, shelf)
    await story.is_to_go_to("Kastanienallee 9")
    await story.is_to_be_told_again("estimated_delivery")
    await story.is_to_be_told_again("package_shipped")
    await story.is_shipped()
    await story.is_to_go_to("Kastanienallee 11")

    assert story.order.ship_address is not None
    assert story.order.ship_address.address_line_1 == "Kastanienallee 9"
    assert story.life == [
        *RELEASED,
        "address_changed",
        "notice_resent",
        "request_refused",
        "package_confirmed",
        "request_refused",
    ]
    assert story.refusals == ["no_such_notice", "order_shipped"]
    assert story.notices == [ESTIMATED, MOVED, NEW_ADDRESS, PACKED]
    assert story.told_again == [ESTIMATED]
