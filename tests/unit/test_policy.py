"""The numbers of the business (R24) and the instants and windows that follow from them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.events.fields import ServiceLevel
from shared.policy import Policy, Window
from shared.policy_fields import MAX_SKUS, TransitDays

ONE_MS = timedelta(milliseconds=1)
PURCHASED = datetime(2026, 7, 1, 9, 41, 7, 123000, UTC)
NEW_YORK = Policy(time_zone="America/New_York", calendar_country="US")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(earliest: str, latest: str) -> Window:
    return Window(utc(earliest), utc(latest))


# Holding, verifying, canceling


def test_r2_the_hold_lasts_thirty_minutes_to_the_millisecond() -> None:
    assert Policy().hold_end(PURCHASED) == datetime(2026, 7, 1, 10, 11, 7, 123000, UTC)


def test_r2_the_hold_is_policy() -> None:
    assert Policy(hold_minutes=5).hold_end(PURCHASED) == PURCHASED + timedelta(minutes=5)


def test_r2_the_hold_is_an_exact_duration_across_a_clock_change() -> None:
    before_the_gap = utc("2026-03-08T06:45:00")  # 01:45, at 02:00 the clock goes to 03:00

    assert NEW_YORK.hold_end(before_the_gap) == utc("2026-03-08T07:15:00")


@pytest.mark.parametrize("days", [1, 7, 21])
def test_r5_the_verification_window_is_counted_from_the_purchase(days: int) -> None:
    policy = Policy(verification_window_days=days)

    assert policy.verification_end(PURCHASED) == PURCHASED + timedelta(hours=24 * days)


@pytest.mark.parametrize(
    ("lateness", "believed"),
    [
        (timedelta(0), True),
        (timedelta(minutes=10), True),
        (timedelta(minutes=10) + ONE_MS, False),
        (-ONE_MS, False),  # the claim lies in the future of its receipt
    ],
)
def test_r14_a_claimed_time_is_believed_when_received_within_the_lateness(
    lateness: timedelta, believed: bool
) -> None:
    received = PURCHASED + lateness

    assert Policy().request_time(PURCHASED, received) == (PURCHASED if believed else received)


def test_r14_no_lateness_believes_no_one() -> None:
    policy = Policy(cancel_request_lateness_minutes=0)

    assert policy.request_time(PURCHASED, PURCHASED + ONE_MS) == PURCHASED + ONE_MS


# Shipping


@pytest.mark.parametrize(
    ("released_at", "level", "expected"),
    [
        # Tuesday 12:00 in New York: two working days, or one
        ("2026-06-30T16:00:00", "Standard", ("2026-06-30T04:00:00", "2026-07-03T03:59:59")),
        ("2026-06-30T16:00:00", "Expedited", ("2026-06-30T04:00:00", "2026-07-02T03:59:59")),
        # the first and the last millisecond of that local day
        ("2026-06-30T04:00:00", "Expedited", ("2026-06-30T04:00:00", "2026-07-02T03:59:59")),
        ("2026-07-01T03:59:59.999", "Expedited", ("2026-06-30T04:00:00", "2026-07-02T03:59:59")),
        ("2026-07-01T04:00:00", "Expedited", ("2026-07-01T04:00:00", "2026-07-03T03:59:59")),
        # over a holiday and a weekend: Friday 3 July stands in for the Fourth
        ("2026-07-02T16:00:00", "Expedited", ("2026-07-02T04:00:00", "2026-07-07T03:59:59")),
        # released on a day off: day 0 is Monday
        ("2026-07-03T16:00:00", "Expedited", ("2026-07-06T04:00:00", "2026-07-08T03:59:59")),
        ("2026-07-05T16:00:00", "SameDay", ("2026-07-06T04:00:00", "2026-07-07T03:59:59")),
        ("2026-07-05T23:00:00", "SameDay", ("2026-07-06T04:00:00", "2026-07-07T03:59:59")),
        # the clock goes forward on the weekend between, and back
        ("2026-03-06T17:00:00", "Expedited", ("2026-03-06T05:00:00", "2026-03-10T03:59:59")),
        ("2026-10-30T16:00:00", "Expedited", ("2026-10-30T04:00:00", "2026-11-03T04:59:59")),
    ],
)
def test_r9_ship_by_is_the_end_of_a_local_working_day(
    released_at: str, level: ServiceLevel, expected: tuple[str, str]
) -> None:
    assert NEW_YORK.ship_window(utc(released_at), level, ["MUG-7"]) == window(*expected)


@pytest.mark.parametrize(
    ("released_at", "ship_by"),
    [
        ("2026-06-30T17:59:59.999", "2026-07-01T03:59:59"),  # before 14:00 local: today
        ("2026-06-30T18:00:00", "2026-07-02T03:59:59"),  # at 14:00: tomorrow
        ("2026-07-02T18:00:00", "2026-07-07T03:59:59"),  # before a long weekend: Monday
    ],
)
def test_r9_the_same_day_counts_before_the_cut_off_hour_only(
    released_at: str, ship_by: str
) -> None:
    found = NEW_YORK.ship_window(utc(released_at), "SameDay", [])

    assert found.latest == utc(ship_by)
    assert found.latest - found.earliest == timedelta(hours=24, seconds=-1)


def test_r9_the_cut_off_hour_counts_for_the_same_day_only() -> None:
    late = utc("2026-07-01T03:00:00")

    assert NEW_YORK.ship_window(late, "Expedited", []).latest == utc("2026-07-02T03:59:59")


def test_r9_cut_off_hour_0_means_never_the_same_day() -> None:
    policy = Policy(cut_off_hour=0)

    assert policy.ship_window(utc("2026-06-30T00:00:00"), "SameDay", []) == window(
        "2026-07-01T00:00:00", "2026-07-01T23:59:59"
    )


@pytest.mark.parametrize(
    ("skus", "ship_by"),
    [
        ([], "2026-07-02T23:59:59"),
        (["PLAIN"], "2026-07-02T23:59:59"),  # the level's 2
        (["QUICK"], "2026-07-01T23:59:59"),  # its own 1 wins, though less
        (["QUICK", "PLAIN"], "2026-07-02T23:59:59"),
        (["PLAIN", "MADE-TO-ORDER", "QUICK"], "2026-07-07T23:59:59"),
    ],
)
def test_r9_a_skus_own_handling_time_wins_and_the_slowest_counts(
    skus: list[str], ship_by: str
) -> None:
    policy = Policy(sku_handling_days={"QUICK": 1, "MADE-TO-ORDER": 5})

    found = policy.ship_window(utc("2026-06-30T09:00:00"), "Standard", skus)

    assert found.latest == utc(ship_by)


def test_r9_the_delivery_window_adds_the_transit_days_to_both_ends() -> None:
    shipped = NEW_YORK.ship_window(utc("2026-06-30T16:00:00"), "Standard", [])

    # 3 working days from Tuesday 30 June (3 July is off), 5 from Thursday 2 July
    assert NEW_YORK.delivery_window(shipped, "Standard", []) == window(
        "2026-07-06T04:00:00", "2026-07-11T03:59:59"
    )


@pytest.mark.parametrize(
    ("skus", "expected"),
    [
        ([], ("2026-07-03T00:00:00", "2026-07-09T23:59:59")),
        (["PLAIN"], ("2026-07-03T00:00:00", "2026-07-09T23:59:59")),  # the level's 3 to 5
        (["BY-COURIER"], ("2026-07-01T00:00:00", "2026-07-03T23:59:59")),  # less, and it wins
        (["BY-COURIER", "PLAIN"], ("2026-07-03T00:00:00", "2026-07-09T23:59:59")),
        # 4 days at the least for the one, 9 at the most for the other
        (["STEADY", "PLAIN", "BY-SEA"], ("2026-07-06T00:00:00", "2026-07-15T23:59:59")),
    ],
)
def test_r9_a_skus_own_transit_time_wins_and_the_order_is_there_with_its_last(
    skus: list[str], expected: tuple[str, str]
) -> None:
    own = {"BY-COURIER": (1, 1), "STEADY": (4, 4), "BY-SEA": (3, 9)}
    policy = Policy(sku_transit_days={sku: TransitDays(*days) for sku, days in own.items()})
    shipped = window("2026-06-30T00:00:00", "2026-07-02T23:59:59")  # Tuesday to Thursday

    assert policy.delivery_window(shipped, "Standard", skus) == window(*expected)


def test_r12_the_new_date_takes_a_skus_own_transit_time() -> None:
    policy = Policy(sku_transit_days={"BY-SEA": TransitDays(9, 11)})
    tuesday = utc("2026-06-30T23:59:59")

    found = policy.new_delivery_window(tuesday, "Standard", ["PLAIN", "BY-SEA"], tuesday)

    assert found == window("2026-07-14T00:00:00", "2026-07-16T23:59:59")


def test_r9_a_same_day_order_is_delivered_on_that_day() -> None:
    shipped = NEW_YORK.ship_window(utc("2026-06-30T16:00:00"), "SameDay", [])

    assert NEW_YORK.delivery_window(shipped, "SameDay", []) == shipped


# Late


def test_r12_the_new_date_counts_from_the_next_working_day() -> None:
    late_at = utc("2026-07-03T03:59:59")  # the end of Thursday 2 July; the next to work is Monday

    found = NEW_YORK.new_delivery_window(late_at, "Standard", [], utc("2026-07-11T03:59:59"))

    assert found == window("2026-07-09T04:00:00", "2026-07-14T03:59:59")


def test_r12_on_a_day_off_the_next_working_day_is_the_first_to_ship_on() -> None:
    sunday = utc("2026-07-05T16:00:00")

    found = NEW_YORK.new_delivery_window(sunday, "NextDay", [], promised_latest=sunday)

    assert found == window("2026-07-07T04:00:00", "2026-07-08T03:59:59")


def test_r12_a_date_that_would_repeat_moves_to_the_next_working_day() -> None:
    friday = utc("2026-07-11T03:59:59")

    found = NEW_YORK.new_delivery_window(utc("2026-06-30T16:00:00"), "NextDay", [], friday)

    assert found == window("2026-07-02T04:00:00", "2026-07-14T03:59:59")


def test_r12_each_of_many_notices_has_a_new_date() -> None:
    due, promised = utc("2026-10-30T03:59:59"), utc("2026-11-05T04:59:59")
    dates = [promised]
    for _ in range(30):
        promised = NEW_YORK.new_delivery_window(due, "Expedited", [], promised).latest
        dates.append(promised)
        due = NEW_YORK.next_late_notice(due)

    assert dates == sorted(set(dates))


def test_r12_the_notice_repeats_after_exact_hours_across_a_clock_change() -> None:
    due = utc("2026-03-08T04:59:59")

    assert NEW_YORK.next_late_notice(due) == due + timedelta(hours=24)
    assert Policy(late_notice_interval_hours=36).next_late_notice(due) == due + timedelta(hours=36)


def test_r13_counted_from_the_order_date_the_length_is_exact() -> None:
    in_winter = utc("2026-02-20T09:41:07.123")

    found = NEW_YORK.auto_cancel_at(in_winter, ship_by=utc("2026-02-25T04:59:59"))

    assert found == in_winter + timedelta(hours=30 * 24)
    assert NEW_YORK.cancel_warning_at(found) == in_winter + timedelta(hours=23 * 24)


def test_r13_counted_from_ship_by_the_length_is_in_working_days() -> None:
    policy = NEW_YORK.model_copy(update={"auto_cancel_anchor": "ship_by"})

    found = policy.auto_cancel_at(PURCHASED, ship_by=utc("2026-07-03T03:59:59"))

    assert found == utc("2026-07-15T03:59:59")  # Tuesday 14 July


# What waits


def test_r23_every_wait_has_its_length() -> None:
    policy = Policy(
        seller_answer_hours=5,
        lost_package_days=6,
        return_transit_days=7,
        provider_answer_hours=8,
        parked_hours=9,
        retention_days=40,
    )

    assert policy.seller_answer_due(PURCHASED) == PURCHASED + timedelta(hours=5)
    assert policy.package_lost_at(PURCHASED) == PURCHASED + timedelta(days=6)
    assert policy.return_overdue_at(PURCHASED) == PURCHASED + timedelta(days=7)
    assert policy.provider_answer_due(PURCHASED) == PURCHASED + timedelta(hours=8)
    assert policy.parked_until(PURCHASED) == PURCHASED + timedelta(hours=9)
    assert policy.archive_at(PURCHASED) == PURCHASED + timedelta(days=40)


def test_r16_the_return_window_ends_with_a_local_day_across_a_clock_change() -> None:
    promised = utc("2026-10-10T03:59:59")  # Friday 9 October in New York

    assert NEW_YORK.return_until(promised) == utc("2026-11-09T04:59:59")


# R24: what a policy may say


def test_r24_what_is_not_given_is_the_default() -> None:
    policy = Policy.model_validate(
        {"handling_days": {"Standard": 1}, "transit_days": {"Standard": [2, 9]}}
    )

    assert policy.handling_days == {**Policy().handling_days, "Standard": 1}
    assert policy.transit_days == {**Policy().transit_days, "Standard": TransitDays(2, 9)}
    assert policy.hold_minutes == 30
    assert Policy().handling_days["Standard"] == 2


@pytest.mark.parametrize(
    ("field", "lowest", "highest"),
    [
        ("hold_minutes", 1, 7 * 24 * 60),
        ("verification_window_days", 1, 21),
        ("cancel_request_lateness_minutes", 0, 24 * 60),
        ("cut_off_hour", 0, 23),
        ("late_notice_interval_hours", 1, 720),
        ("parked_hours", 1, 720),
        ("return_window_days", 1, 44),
        ("retention_days", 31, 365),
        ("auto_cancel_order_date_days", 13, 365),  # more than 7 to verify, 4 to handle, and one
        ("cancel_warning_days", 1, 29),
    ],
)
def test_r24_both_limits_of_a_number_are_held(field: str, lowest: int, highest: int) -> None:
    for allowed in (lowest, highest):
        Policy.model_validate(_with(field, allowed))
    for refused in (lowest - 1, highest + 1):
        with pytest.raises(ValidationError, match=field):
            Policy.model_validate(_with(field, refused))


def _with(field: str, value: int) -> dict[str, Any]:
    """One field, in a policy where nothing but its own limits can refuse it."""
    ample = {"cancel_warning_days": 9} if field == "auto_cancel_order_date_days" else {}
    return {**ample, field: value}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hold_minutes", "30"),
        ("hold_minutes", 30.0),
        ("hold_minutes", True),
        ("hold_minutes", None),
        ("buyer_cancel", "never"),
        ("time_zone", "Mars/Phobos"),
        ("time_zone", "EST"),
        ("time_zone", "localtime"),
        ("time_zone", "America/Argentina"),
        ("calendar_country", "XX"),
        ("calendar_country", False),  # YAML reads Norway's NO as one
        ("handling_days", {"Standard": 31}),
        ("handling_days", {"Overnight": 1}),
        ("handling_days", 2),
        ("sku_handling_days", {1234: 2}),
        ("transit_days", {"Standard": [3]}),
        ("transit_days", {"Standard": [3, 61]}),
        ("sku_transit_days", {"BY-SEA": [3, 61]}),
        ("sku_transit_days", {"BY-SEA": 9}),
        ("sku_transit_days", {f"SKU-{n}": [1, 2] for n in range(MAX_SKUS + 1)}),
        ("sku_handling_days", {f"SKU-{n}": 1 for n in range(MAX_SKUS + 1)}),
        ("fraud", {"orders_per_buyer": 0}),
        ("fraud", {"spend_per_card_minor": {"usd": 5}}),
        ("fraud", {"orders_per_device": 5}),
        ("hold_seconds", 1800),
    ],
)
def test_r24_a_wrong_key_type_or_value_is_refused_with_its_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Policy.model_validate({field: value})


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("hold_minutes", {"hold_minutes": 1441, "verification_window_days": 1}),
        ("transit_days.Priority", {"transit_days": {"Priority": [3, 2]}}),
        ("sku_transit_days.BY-SEA", {"sku_transit_days": {"BY-SEA": [12, 11]}}),
        ("cancel_warning_days", {"cancel_warning_days": 30}),
        ("cancel_warning_days", {"auto_cancel_anchor": "ship_by", "cancel_warning_days": 8}),
        (
            "auto_cancel_order_date_days",
            {"auto_cancel_order_date_days": 12, "cancel_warning_days": 1},
        ),
        ("auto_cancel_order_date_days", {"sku_handling_days": {"MADE-TO-ORDER": 15}}),
        # Japan's ten days off in a row
        (
            "auto_cancel_order_date_days",
            {"calendar_country": "JP", "auto_cancel_order_date_days": 20},
        ),
        ("retention_days", {"retention_days": 30}),
        ("calendar_subdivision", {"calendar_subdivision": "CA"}),
        ("calendar_subdivision", {"calendar_country": "US", "calendar_subdivision": "ZZ"}),
    ],
)
def test_r24_a_contradiction_is_refused_with_its_field(field: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"{field} must be"):
        Policy.model_validate(given)


@pytest.mark.parametrize(
    "given",
    [
        {"hold_minutes": 1440, "verification_window_days": 1},
        {"transit_days": {"Priority": [2, 2]}},
        {"sku_transit_days": {"BY-SEA": [11, 11]}},
        {"sku_transit_days": {f"SKU-{n}": [1, 2] for n in range(MAX_SKUS)}},
        {"auto_cancel_anchor": "ship_by"},  # the other preset of R13, as it stands
        {"auto_cancel_anchor": "ship_by", "sku_handling_days": {"MADE-TO-ORDER": 30}},
        {"sku_handling_days": {"MADE-TO-ORDER": 14}},
        {"calendar_country": "JP", "auto_cancel_order_date_days": 21},
        {"verification_window_days": 21},
        {"calendar_country": "US", "calendar_subdivision": "CA"},
    ],
)
def test_r24_what_only_just_agrees_is_accepted(given: dict[str, Any]) -> None:
    Policy.model_validate(given)


def test_r24_a_copy_in_another_place_has_that_places_calendar() -> None:
    moved = NEW_YORK.model_copy(update={"time_zone": "UTC", "calendar_country": None})

    found = moved.ship_window(utc("2026-07-03T16:00:00"), "Expedited", [])

    assert found == window("2026-07-03T00:00:00", "2026-07-06T23:59:59")


def test_r24_a_policy_does_not_change() -> None:
    policy = Policy()

    with pytest.raises(ValidationError, match="frozen"):
        policy.hold_minutes = 5  # type: ignore[misc]
