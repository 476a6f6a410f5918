"""An order's dates where calendars and clocks make a difference: changes of the clock in both
directions, year ends, holidays on Fridays, the hour that exists twice (R2, R9, R13, R14).
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from shared.events.fields import ServiceLevel
from shared.events.fulfillment import Order
from shared.policy import Policies, Policy
from tests.support.orders import (
    ONE_MS,
    after,
    cancel_requested,
    hold_over,
    order_placed,
    payment_approved,
    stock_reserved,
)

SECOND = timedelta(seconds=1)
NEW_YORK, SAO_PAULO = "America/New_York", "America/Sao_Paulo"
BERLIN, TOKYO = "Europe/Berlin", "Asia/Tokyo"

HOLDS = {
    "forward, New York": (NEW_YORK, "2026-03-08T01:45:00-05:00", "03:15:00-04:00"),
    "back, the hour's first time": (NEW_YORK, "2026-11-01T01:45:00-04:00", "01:15:00-05:00"),
    "back, the hour's second time": (NEW_YORK, "2026-11-01T01:45:00-05:00", "02:15:00-05:00"),
    "forward, Berlin": (BERLIN, "2026-03-29T01:59:59.999+01:00", "03:29:59.999000+02:00"),
    "back, Berlin": (BERLIN, "2026-10-25T02:31:00+02:00", "02:01:00+01:00"),
    "forward, without a midnight": (SAO_PAULO, "2018-11-03T23:45:00-03:00", "01:15:00-02:00"),
    "back, into the same day": (SAO_PAULO, "2018-02-17T23:45:00-02:00", "23:15:00-03:00"),
    "a year's end": (TOKYO, "2026-12-31T23:59:59.999+09:00", "00:29:59.999000+09:00"),
    "a leap day": (TOKYO, "2028-02-28T23:31:00+09:00", "00:01:00+09:00"),
}


@pytest.mark.parametrize(("zone", "purchased", "ends"), HOLDS.values(), ids=HOLDS)
def test_r2_r14_the_hold_is_thirty_minutes_to_the_millisecond_whatever_the_clock_shows(
    zone: str, purchased: str, ends: str
) -> None:
    at = datetime.fromisoformat(purchased).astimezone(UTC)
    policies = Policies(Policy(time_zone=zone))
    order = after(None, order_placed(at, purchase_date=at), policies=policies)

    assert order.hold_ends == at + 1800 * SECOND
    assert policies.default.calendar.local(order.hold_ends).isoformat().endswith(f"T{ends}")
    for asked, alone in ((order.hold_ends - ONE_MS, True), (order.hold_ends, False)):
        canceled = after(order, cancel_requested(asked), policies=policies)
        assert canceled.cancellation is not None
        assert canceled.cancellation.within_hold is alone


class Dates(NamedTuple):
    """Of an order whose hold ends at a local time: days of the local calendar."""

    country: str
    zone: str
    level: ServiceLevel
    released: str
    ship_by: str
    delivered_by: str
    canceled: str


DATES = {
    # Good Friday, and the Monday after it: Tuesday 7 April is the first of two working days
    "a Friday off, Berlin": Dates(
        "DE", BERLIN, "Standard", "2026-04-02T10:00+02:00", "2026-04-08", "2026-04-15", "2026-04-17"
    ),
    # Labour Day
    "a Friday off, Sao Paulo": Dates(
        "BR", SAO_PAULO, "Standard", "2026-04-30T10:00-03:00", "2026-05-05", "2026-05-12",
        "2026-05-14",
    ),
    # the Fourth, a Saturday, observed on the day before
    "a Friday off, New York": Dates(
        "US", NEW_YORK, "Expedited", "2026-07-02T23:59-04:00", "2026-07-06", "2026-07-09",
        "2026-07-15",
    ),
    # New Year's Day is a Friday; Monday 11 January is Coming of Age Day
    "a year's end, Tokyo": Dates(
        "JP", TOKYO, "Standard", "2026-12-30T10:00+09:00", "2027-01-04", "2027-01-12", "2027-01-14"
    ),
    # released on a Sunday in the hour that comes twice, the second time
    "the hour that comes twice, New York": Dates(
        "US", NEW_YORK, "SameDay", "2026-11-01T01:30-05:00", "2026-11-02", "2026-11-02",
        "2026-11-12",  # Wednesday the 11th is Veterans Day
    ),
    # clocks go forward between release and ship-by date
    "forward, Berlin": Dates(
        "DE", BERLIN, "Expedited", "2026-03-27T23:59+01:00", "2026-03-30", "2026-04-02",
        "2026-04-10",
    ),
}  # fmt: skip


def released(dates: Dates) -> tuple[Order, Policy]:
    """Reserved and paid at once, released when its hold ends; R13 counts from the ship-by date."""
    policy = Policy(
        time_zone=dates.zone, calendar_country=dates.country, auto_cancel_anchor="ship_by"
    )
    at = datetime.fromisoformat(dates.released).astimezone(UTC)
    bought = at - 1800 * SECOND
    events = (
        order_placed(bought, purchase_date=bought, ship_service_level=dates.level),
        stock_reserved(bought),
        payment_approved(bought),
        hold_over(at),
    )
    return after(None, *events, policies=Policies(policy)), policy


@pytest.mark.parametrize("dates", DATES.values(), ids=DATES)
def test_r9_r13_dates_are_ends_of_local_days_by_the_places_calendar(dates: Dates) -> None:
    order, policy = released(dates)

    assert order.ship_window is not None
    assert order.delivery_window is not None
    assert order.cancel_at is not None
    ends = (order.ship_window.latest, order.delivery_window.latest, order.cancel_at)
    local = [policy.calendar.local(end).isoformat()[:19] for end in ends]
    assert local == [
        f"{day}T23:59:59" for day in (dates.ship_by, dates.delivered_by, dates.canceled)
    ]


@pytest.mark.parametrize(
    ("released_at", "ship_by"),
    [
        ("2026-10-29T22:59:59.999+03:00", "2026-10-29"),
        ("2026-10-29T23:00+03:00", "2026-11-01"),  # Friday and Saturday are off in Egypt
        ("2026-10-29T23:30+03:00", "2026-11-01"),  # the hour's first time
        ("2026-10-29T23:30+02:00", "2026-11-01"),  # and its second
    ],
)
def test_r9_the_cut_off_hour_is_over_both_times_where_it_comes_twice(
    released_at: str, ship_by: str
) -> None:
    policy = Policy(time_zone="Africa/Cairo", calendar_country="EG", cut_off_hour=23)

    found = policy.ship_window(datetime.fromisoformat(released_at), "SameDay", [])

    assert policy.calendar.local(found.latest).isoformat()[:19] == f"{ship_by}T23:59:59"
