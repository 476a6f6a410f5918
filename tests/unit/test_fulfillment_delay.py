"""R12: a seller who announces a delay before the ship-by date passes, and one who does it later."""

from datetime import UTC, date, datetime, timedelta

import pytest

from shared.events.fulfillment import (
    AnnouncedDelay,
    DateWindow,
    Order,
    RequestRefused,
    ShipmentDelayed,
    ShipmentLate,
)
from shared.events.notices import NoticeRequested
from shared.policy import Policy
from shared.service import Received
from tests.support.orders import (
    BUYER,
    CANCEL_AT,
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLES,
    ONE_MS,
    PROMISED,
    SHIP_BY,
    after,
    delay_announced,
    partially_shipped,
    play,
    reached,
    shipment_confirmed,
    unshipped,
)

ANNOUNCED = HOLD_ENDS + DAY
"""A Thursday morning; the order is to ship by Friday night."""


def refusal(order: Order, event: Received) -> tuple[str, str]:
    then, facts = play(order, event)
    (refused,) = facts
    assert isinstance(refused, RequestRefused)
    assert refused.detail
    assert then == order
    return refused.reason, refused.field


def test_r12_a_delay_that_is_announced_gives_the_buyer_a_new_date_at_once() -> None:
    order, facts = play(unshipped(), delay_announced(ANNOUNCED))

    beyond = datetime(2026, 3, 23, 23, 59, 59, tzinfo=UTC)
    window = DateWindow(earliest=datetime(2026, 3, 18, tzinfo=UTC), latest=beyond)
    delayed, notice = facts
    assert delayed == ShipmentDelayed(
        occurrence=1,
        delivery_window=window,
        delay=AnnouncedDelay(reason="the glaze is still wet", announced_at=ANNOUNCED),
    )
    assert isinstance(notice, NoticeRequested)
    assert (notice.recipient, notice.buyer_id) == ("BUYER", BUYER)
    assert (notice.kind, notice.occurrence) == ("new_delivery_date", 1)
    assert notice.delivery_window == window
    assert window.latest > PROMISED
    assert order is not None
    assert (order.status, order.delivery_window) == ("Unshipped", window)
    assert order.deadlines == unshipped().deadlines, "the ship-by date stays"


def test_r12_the_new_date_counts_from_the_day_that_the_seller_names() -> None:
    expected = datetime(2026, 3, 19, 15, 0, tzinfo=UTC)

    order = after(unshipped(), delay_announced(ANNOUNCED, expected=expected))

    assert order.delivery_window == DateWindow(
        earliest=datetime(2026, 3, 24, tzinfo=UTC),
        latest=datetime(2026, 3, 26, 23, 59, 59, tzinfo=UTC),
    )


def test_r12_the_date_that_passes_later_is_late_all_the_same_and_the_count_goes_on() -> None:
    expected = datetime(2026, 3, 19, 15, 0, tzinfo=UTC)
    order = after(unshipped(), delay_announced(ANNOUNCED, expected=expected))

    then, facts = play(order, reached(order.deadlines[0]))

    late, to_seller, to_buyer = facts
    assert isinstance(late, ShipmentLate)
    assert isinstance(to_seller, NoticeRequested)
    assert isinstance(to_buyer, NoticeRequested)
    assert (late.occurrence, to_seller.occurrence, to_buyer.occurrence) == (2, 2, 2)
    assert (to_seller.kind, to_seller.deadline) == ("late_shipment", SHIP_BY)
    assert late.delivery_window == DateWindow(
        earliest=datetime(2026, 3, 24, tzinfo=UTC),
        latest=datetime(2026, 3, 27, 23, 59, 59, tzinfo=UTC),
    ), "counted from the seller's day while that is to come; later than what was told last"
    assert then is not None
    assert then.late_notices == 2


@pytest.mark.parametrize("at", [SHIP_BY - ONE_MS, SHIP_BY])
def test_r12_until_the_ship_by_date_a_delay_can_be_announced(at: datetime) -> None:
    _, facts = play(unshipped(), delay_announced(at))

    assert isinstance(facts[0], ShipmentDelayed)


@pytest.mark.parametrize("at", [SHIP_BY + ONE_MS, SHIP_BY + 3 * DAY])
def test_r12_after_it_the_buyer_is_told_by_the_late_notices_alone(at: datetime) -> None:
    assert refusal(unshipped(), delay_announced(at)) == ("ship_by_passed", "")


def test_r12_between_deadline_and_announcement_the_first_to_arrive_wins() -> None:
    late = after(unshipped(), reached(unshipped().deadlines[0]))

    assert refusal(late, delay_announced(SHIP_BY - HOUR)) == ("ship_by_passed", "")


@pytest.mark.parametrize(
    ("expected", "good"),
    [
        (SHIP_BY, False),
        (SHIP_BY + ONE_MS, True),
        (CANCEL_AT - ONE_MS, True),
        (CANCEL_AT, False),
    ],
)
def test_r12_the_expected_date_lies_between_ship_by_and_the_cancel(
    expected: datetime, good: bool
) -> None:
    event = delay_announced(ANNOUNCED, expected=expected)

    if good:
        assert after(unshipped(), event).late_notices == 1
    else:
        assert refusal(unshipped(), event) == ("date_out_of_range", "expected_ship_date")


def test_r12_the_same_announced_again_is_no_news_and_another_date_is() -> None:
    monday, tuesday = SHIP_BY + 3 * DAY, SHIP_BY + 4 * DAY
    order = after(unshipped(), delay_announced(ANNOUNCED, expected=monday))

    assert play(order, delay_announced(ANNOUNCED + HOUR, expected=monday)) == (order, [])
    again = after(order, delay_announced(ANNOUNCED + HOUR, expected=tuesday))
    assert (again.late_notices, again.delivery_window != order.delivery_window) == (2, True)
    withdrawn, (delayed, told) = play(again, delay_announced(ANNOUNCED + 2 * HOUR))
    assert isinstance(delayed, ShipmentDelayed)
    assert isinstance(told, NoticeRequested)
    assert withdrawn is not None
    assert (withdrawn.late_notices, delayed.occurrence, told.occurrence) == (3, 3, 3)
    assert play(withdrawn, delay_announced(ANNOUNCED + 3 * HOUR)) == (withdrawn, [])


def test_r12_of_a_partly_shipped_order_the_rest_may_be_delayed() -> None:
    order = after(partially_shipped(), delay_announced(ANNOUNCED + HOUR))

    assert order.late_notices == 1
    rest = shipment_confirmed({KETTLES: 1, "item-tea": 2}, "2", ANNOUNCED + 2 * DAY)
    assert after(order, rest).status == "Shipped"


@pytest.mark.parametrize(
    ("country", "zone", "announced", "expected", "latest"),
    [
        # from a Saturday to a Monday, across the end of a leap year's February
        ("US", "America/Los_Angeles", "2028-02-25T20:00-08:00", "2028-02-26", date(2028, 3, 6)),
        # clocks go forward in the night to Sunday, 29 March 2026; Easter Friday and Monday are off
        ("DE", "Europe/Berlin", "2026-03-27T23:30+01:00", "2026-03-30", date(2026, 4, 8)),
        # across the year's end: of its first days Japan works on the second and the fifth
        ("JP", "Asia/Tokyo", "2025-12-30T09:00+09:00", "2025-12-31", date(2026, 1, 8)),
        # clocks go back in the night to Sunday, 5 April 2026, by half an hour
        ("AU", "Australia/Lord_Howe", "2026-04-01T23:59+11:00", "2026-04-02", date(2026, 4, 13)),
    ],
)
def test_r12_the_new_window_is_of_local_days_across_ends_and_clock_changes(
    country: str, zone: str, announced: str, expected: str, latest: date
) -> None:
    policy = Policy(calendar_country=country, time_zone=zone)
    at = datetime.fromisoformat(announced)
    noon = datetime.fromisoformat(f"{expected}T12:00").replace(tzinfo=policy.calendar.time_zone)

    window = policy.new_delivery_window(at, "Standard", [], at, noon)

    assert window.latest == policy.calendar.end_of_day(latest)
    for instant, clock in ((window.earliest, "00:00:00"), (window.latest, "23:59:59")):
        assert policy.calendar.local(instant).strftime("%H:%M:%S") == clock
    assert window.latest - window.earliest >= timedelta(days=2)
