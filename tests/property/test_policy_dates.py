"""What holds for every instant, place and policy: local days, working days, windows, DST."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import get_args
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from shared.calendar import ONE_DAY, ONE_SECOND, WorkingCalendar
from shared.events.fields import ServiceLevel
from shared.policy import Policy
from shared.policy_fields import TransitDays

PLACES = [
    (None, "UTC"),
    ("US", "America/Los_Angeles"),
    ("BR", "America/Sao_Paulo"),  # clocks changed at midnight until 2019
    ("CU", "America/Havana"),
    ("CL", "America/Santiago"),
    ("EG", "Africa/Cairo"),
    ("AE", "Asia/Dubai"),
    ("JP", "Asia/Tokyo"),
    ("AU", "Australia/Lord_Howe"),  # by half an hour
    ("NZ", "Pacific/Chatham"),
]
HANDLING = range(6)

places = st.sampled_from(PLACES)
days = st.dates(date(2016, 1, 1), date(2030, 12, 31))
instants = st.datetimes(
    datetime(2016, 1, 1),  # noqa: DTZ001 - hypothesis wants bounds without a zone
    datetime(2030, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
levels: st.SearchStrategy[ServiceLevel] = st.sampled_from(get_args(ServiceLevel))
handling_days = st.sampled_from(HANDLING)
waits = st.timedeltas(timedelta(0), timedelta(days=12))


@cache
def policy_of(place: tuple[str | None, str]) -> Policy:
    country, time_zone = place
    return Policy(
        calendar_country=country,
        time_zone=time_zone,
        sku_handling_days={f"SKU-{n}": n for n in HANDLING},
        sku_transit_days={f"SKU-{n}": TransitDays(n, 2 * n) for n in HANDLING},
    )


policies = places.map(policy_of)


@given(places, days)
def test_days_follow_each_other_without_gap_or_overlap(
    place: tuple[str | None, str], day: date
) -> None:
    calendar = WorkingCalendar(place[0], None, ZoneInfo(place[1]))
    start, end = calendar.start_of_day(day), calendar.end_of_day(day)

    assert end + ONE_SECOND == calendar.start_of_day(day + ONE_DAY)
    assert calendar.local_date(start) == calendar.local_date(end) == day
    assert calendar.local_date(start - timedelta(milliseconds=1)) == day - ONE_DAY
    assert calendar.local(end).strftime("%H:%M:%S") == "23:59:59"


@given(policies, instants, levels, handling_days)
def test_r9_ship_by_leaves_as_many_working_days_as_the_handling_time(
    policy: Policy, released_at: datetime, level: ServiceLevel, handling: int
) -> None:
    calendar = policy.calendar
    window = policy.ship_window(released_at, level, [f"SKU-{handling}"])

    day_0, ship_by = calendar.local_date(window.earliest), calendar.local_date(window.latest)
    between = [day_0 + ONE_DAY * n for n in range((ship_by - day_0).days + 1)]
    assert sum(calendar.is_working_day(day) for day in between) == handling + 1
    assert calendar.is_working_day(day_0)
    assert calendar.is_working_day(ship_by)
    assert window == (calendar.start_of_day(day_0), calendar.end_of_day(ship_by))
    assert released_at < window.latest + ONE_SECOND


@given(policies, instants, waits, levels, st.tuples(handling_days, handling_days).map(sorted))
def test_r9_later_or_slower_is_never_due_earlier(
    policy: Policy, released_at: datetime, wait: timedelta, level: ServiceLevel, two: list[int]
) -> None:
    quick, slow = (f"SKU-{days}" for days in two)

    first = policy.ship_window(released_at, level, [quick])
    second = policy.ship_window(released_at + wait, level, [quick, slow])

    assert second.latest >= first.latest
    assert second == policy.ship_window(released_at + wait, level, [slow])


@given(policies, instants, levels, st.tuples(handling_days, handling_days).map(sorted))
def test_r9_delivery_follows_shipping_and_is_complete_with_the_slowest_sku(
    policy: Policy, released_at: datetime, level: ServiceLevel, two: list[int]
) -> None:
    quick, slow = (f"SKU-{days}" for days in two)
    shipping = policy.ship_window(released_at, level, [slow, quick])
    delivery = policy.delivery_window(shipping, level, [slow, quick])

    assert delivery == policy.delivery_window(shipping, level, [slow])

    assert shipping.earliest <= delivery.earliest < delivery.latest
    assert shipping.latest <= delivery.latest


@given(policies, instants, levels, st.timedeltas(timedelta(days=-40), timedelta(days=40)))
def test_r12_the_new_date_is_later_than_the_promised_one_and_than_now(
    policy: Policy, late_at: datetime, level: ServiceLevel, promised: timedelta
) -> None:
    window = policy.new_delivery_window(late_at, level, [], late_at + promised)

    assert window.latest > max(late_at, late_at + promised)
    assert late_at < window.earliest < window.latest


@given(policies, instants, handling_days)
def test_r24_what_is_paid_at_the_last_moment_is_due_before_its_auto_cancel(
    policy: Policy, purchased: datetime, handling: int
) -> None:
    """With the shortest length that the policy's check lets pass."""
    shortest = policy.verification_window_days + policy.calendar.longest(max(handling, 1)) + 2
    ours = policy.model_copy(update={"auto_cancel_order_date_days": shortest})

    ship_by = ours.ship_window(
        ours.verification_end(purchased), "Standard", [f"SKU-{handling}"]
    ).latest

    assert ship_by < ours.auto_cancel_at(purchased, ship_by)


@given(policies, instants, levels)
def test_r13_from_ship_by_the_warning_never_precedes_the_ship_by_date(
    policy: Policy, released_at: datetime, level: ServiceLevel
) -> None:
    anchored = policy.model_copy(update={"auto_cancel_anchor": "ship_by"})
    ship_by = anchored.ship_window(released_at, level, []).latest
    cancel_at = anchored.auto_cancel_at(released_at, ship_by)

    assert ship_by < anchored.cancel_warning_at(cancel_at) < cancel_at


@given(instants, st.timedeltas(timedelta(days=-1), timedelta(days=1)))
def test_r14_a_request_counts_by_a_time_it_had_been_made_at(
    claimed: datetime, lateness: timedelta
) -> None:
    received = claimed + lateness
    counted = Policy().request_time(claimed, received)

    assert received - timedelta(minutes=10) <= counted <= received
    assert counted in (claimed, received)
