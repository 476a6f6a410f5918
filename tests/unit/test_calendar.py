"""Working days and local days (handling time), across weekends, holidays and DST."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from shared.calendar import FIRST_YEAR, LAST_YEAR, WorkingCalendar
from shared.errors import PermanentError


def calendar(
    country: str | None = None, subdivision: str | None = None, time_zone: str = "UTC"
) -> WorkingCalendar:
    return WorkingCalendar(country, subdivision, ZoneInfo(time_zone))


@pytest.mark.parametrize(
    ("country", "subdivision", "day", "works"),
    [
        (None, None, date(2026, 7, 3), True),  # Friday
        (None, None, date(2026, 7, 4), False),  # Saturday
        (None, None, date(2026, 7, 5), False),  # Sunday
        (None, None, date(2026, 12, 25), True),  # no country, no holidays
        ("US", None, date(2026, 7, 2), True),
        ("US", None, date(2026, 7, 3), False),  # the Fourth is a Saturday: observed on Friday
        ("US", None, date(2021, 12, 31), False),  # next year's first day, observed in this year
        ("US", None, date(2026, 11, 26), False),  # Thanksgiving
        ("DE", None, date(2025, 6, 19), True),
        ("DE", "BY", date(2025, 6, 19), False),  # Corpus Christi, in Bavaria only
        ("AE", None, date(2021, 11, 12), False),  # Friday, while the weekend was Friday, Saturday
        ("AE", None, date(2021, 11, 14), True),  # Sunday
        ("AE", None, date(2022, 11, 11), True),  # Friday, after the weekend moved
        ("AE", None, date(2022, 11, 13), False),  # Sunday
        ("CN", None, date(2024, 2, 4), True),  # a Sunday worked for the Spring Festival
    ],
)
def test_holidays_and_the_countrys_own_weekend_are_not_working_days(
    country: str | None, subdivision: str | None, day: date, works: bool
) -> None:
    assert calendar(country, subdivision).is_working_day(day) is works


@pytest.mark.parametrize(
    ("day", "n", "expected"),
    [
        (date(2026, 6, 30), 0, date(2026, 6, 30)),
        (date(2026, 6, 30), 2, date(2026, 7, 2)),
        (date(2026, 6, 30), 3, date(2026, 7, 6)),  # over the Fourth and its weekend
        (date(2026, 7, 4), 0, date(2026, 7, 6)),  # off: day 0 is the next working day
        (date(2026, 7, 4), 1, date(2026, 7, 7)),
        (date(2026, 7, 5), 1, date(2026, 7, 7)),
        (date(2026, 12, 31), 1, date(2027, 1, 4)),  # over the year's end
        (date(2028, 2, 28), 1, date(2028, 2, 29)),
    ],
)
def test_working_days_are_counted_from_the_first_working_day(
    day: date, n: int, expected: date
) -> None:
    assert calendar("US").add_working_days(day, n) == expected


def test_working_days_are_not_counted_backwards() -> None:
    with pytest.raises(ValueError, match="forwards"):
        calendar().add_working_days(date(2026, 7, 1), -1)


@pytest.mark.parametrize(
    ("time_zone", "day", "start", "end"),
    [
        ("UTC", date(2026, 3, 8), "2026-03-08T00:00:00", "2026-03-08T23:59:59"),
        # 23 and 25 hours
        ("America/New_York", date(2026, 3, 8), "2026-03-08T05:00:00", "2026-03-09T03:59:59"),
        ("America/New_York", date(2026, 11, 1), "2026-11-01T04:00:00", "2026-11-02T04:59:59"),
        # midnight does not exist: the day starts at 01:00
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00:00", "2018-11-05T01:59:59"),
        # the hour before midnight comes twice: the day ends with the second one
        ("America/Sao_Paulo", date(2018, 2, 17), "2018-02-17T02:00:00", "2018-02-18T02:59:59"),
        # the hour after midnight comes twice: the day starts with the first one
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00:00", "2026-11-02T04:59:59"),
        ("Asia/Kathmandu", date(2026, 3, 8), "2026-03-07T18:15:00", "2026-03-08T18:14:59"),
    ],
)
def test_a_day_lasts_from_its_first_to_its_last_local_second(
    time_zone: str, day: date, start: str, end: str
) -> None:
    here = calendar(time_zone=time_zone)

    assert here.start_of_day(day) == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert here.end_of_day(day) == datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert here.start_of_day(day).tzinfo is here.end_of_day(day).tzinfo is UTC


def test_the_local_date_changes_at_local_midnight() -> None:
    tokyo = calendar(time_zone="Asia/Tokyo")

    assert tokyo.local_date(datetime(2026, 7, 1, 14, 59, 59, 999000, UTC)) == date(2026, 7, 1)
    assert tokyo.local_date(datetime(2026, 7, 1, 15, tzinfo=UTC)) == date(2026, 7, 2)


def test_an_instant_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="no offset"):
        calendar().local_date(datetime(2026, 7, 1))  # noqa: DTZ001


@pytest.mark.parametrize(("country", "subdivision"), [("XX", None), ("US", "ZZ")])
def test_an_unknown_place_is_refused(country: str, subdivision: str | None) -> None:
    with pytest.raises(ValueError, match=r"not available|not have subdivision"):
        calendar(country, subdivision)


@pytest.mark.parametrize("country", [None, "US"])
def test_dates_are_bounded(country: str | None) -> None:
    here = calendar(country)

    assert here.is_working_day(date(FIRST_YEAR, 1, 2))
    assert here.is_working_day(date(LAST_YEAR, 12, 31))
    for year in (FIRST_YEAR - 1, LAST_YEAR + 1):
        with pytest.raises(PermanentError, match="date_out_of_range"):
            here.is_working_day(date(year, 6, 1))


@pytest.mark.parametrize(
    ("country", "n", "days"),
    [
        (None, 0, 2),  # Saturday to Monday
        (None, 1, 3),
        (None, 2, 4),
        (None, 5, 9),  # Saturday to the Monday after the next
        ("JP", 0, 10),  # Saturday 27 April 2019 to Tuesday 7 May
        ("JP", 2, 12),
        ("CH", 7, 13),  # Saturday 21 December 2019 to Friday 3 January
    ],
)
def test_the_most_days_that_working_days_last(country: str | None, n: int, days: int) -> None:
    assert calendar(country).longest(n) == days


def test_the_most_days_of_a_part_of_a_country_count_its_own_holidays() -> None:
    assert calendar("CH", "TI").longest(7) == 17, "from 21 December 2019 to Tuesday 7 January"
