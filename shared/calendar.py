"""Local days and working days of one place: date arithmetic only, no clock.

Instants are timezone-aware `datetime`s and come back in UTC; days are `date`s of the local
calendar. A day lasts from its first local second to its last one, 23, 24 or 25 hours later: it is
never counted as 24 hours.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from holidays import country_holidays

from shared.errors import PermanentError

FIRST_YEAR = 1970
LAST_YEAR = 2210
"""Ten years beyond the last instant that an event may carry, so that its windows end inside."""
TYPICAL_YEARS = range(2019, 2047)
"""Over 28 years a date falls on every day of the week equally often; the moon's holidays have been
everywhere, and Japan's ten days off of 2019 are among them."""
MAX_CACHED_YEARS = 2048
"""(country, subdivision, year) kept in memory: 25 places over 80 years, some 25 MB when full."""

SATURDAY = 5
ONE_DAY = timedelta(days=1)
ONE_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WorkingCalendar:
    """The days on which a marketplace works (handling time).

    `country` is ISO 3166-1 alpha-2 and `subdivision` its state or province, both as the holidays
    library knows them: national holidays and the country's own weekend are not working days.
    Without a country only Saturday and Sunday are off. After 2100 the library knows no holidays.
    Raises ValueError for a place that the library does not know.
    """

    country: str | None
    subdivision: str | None
    time_zone: ZoneInfo

    def __post_init__(self) -> None:
        _days_off(self.country, self.subdivision, FIRST_YEAR)

    def local(self, instant: datetime) -> datetime:
        """The wall clock of this place at an instant; raises ValueError for a naive one."""
        if instant.tzinfo is None:
            raise ValueError(f"{instant.isoformat()} has no offset: instants are in UTC")
        return instant.astimezone(self.time_zone)

    def local_date(self, instant: datetime) -> date:
        """The calendar day of this place at an instant."""
        return self.local(instant).date()

    def start_of_day(self, day: date) -> datetime:
        """The first instant of a local day, in UTC: 00:00:00, or later where clocks skip it."""
        return datetime.combine(day, time.min, self.time_zone).astimezone(UTC)

    def end_of_day(self, day: date) -> datetime:
        """The last whole second of a local day, in UTC: 23:59:59, as SP-API ends its windows."""
        return self.start_of_day(day + ONE_DAY) - ONE_SECOND

    def is_working_day(self, day: date) -> bool:
        """Whether the place works on a day; PermanentError outside FIRST_YEAR to LAST_YEAR."""
        return day not in _days_off(self.country, self.subdivision, day.year)

    def add_working_days(self, day: date, n: int) -> date:
        """The n-th working day after day 0, the first working day on or after `day`.

        So Saturday + 0 is Monday and Saturday + 1 is Tuesday. Raises ValueError for a negative n,
        PermanentError when the count leaves FIRST_YEAR to LAST_YEAR.
        """
        if n < 0:
            raise ValueError(f"working days are counted forwards, not by {n}")
        left = n
        while True:
            if self.is_working_day(day):
                if left == 0:
                    return day
                left -= 1
            day += ONE_DAY

    def longest(self, n: int) -> int:
        """The most days from any day to the n-th working day after it, in TYPICAL_YEARS.

        The worst day to begin on is the first one off: what is begun then waits out the whole run.
        """
        return _longest(self.country, self.subdivision, n)


@lru_cache(maxsize=MAX_CACHED_YEARS)
def _days_off(country: str | None, subdivision: str | None, year: int) -> frozenset[date]:
    """Weekends and holidays of one year, each year by itself: the answer can not depend on which
    years were asked for before.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise PermanentError("date_out_of_range", f"{year} is not in {FIRST_YEAR} to {LAST_YEAR}")
    first, after = date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal()
    days = map(date.fromordinal, range(first, after))
    if country is None:
        return frozenset(day for day in days if day.weekday() >= SATURDAY)
    try:
        holidays = country_holidays(country, subdiv=subdivision, years=year, expand=False)
    except NotImplementedError as unknown:
        raise ValueError(str(unknown)) from unknown
    return frozenset(day for day in days if not holidays.is_working_day(day))


@lru_cache(maxsize=MAX_CACHED_YEARS)
def _longest(country: str | None, subdivision: str | None, n: int) -> int:
    first = date(TYPICAL_YEARS.start, 1, 1).toordinal()
    after = date(TYPICAL_YEARS.stop, 1, 1).toordinal()
    off = {
        day.toordinal() for year in TYPICAL_YEARS for day in _days_off(country, subdivision, year)
    }
    works = [day for day in range(first, after) if day not in off]
    return max(nth - (before + 1) for before, nth in zip(works, works[n + 1 :], strict=False))
