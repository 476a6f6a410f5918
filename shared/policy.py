"""Every number of the business, per marketplace (R24), and the arithmetic of its dates.

    Policies   the policy of each marketplace, loaded from a directory of YAML files
    Policy     one marketplace's numbers; its methods turn them into instants and windows
    Terms      what an order keeps of the policy that it was accepted under
    Window     two instants, both inside

All instants are timezone-aware and in UTC; an hour or a minute is an exact duration, and so are
the days counted from a purchase. Working days, and days that end with a local day, follow the
marketplace's calendar and are never counted as 24 hours. Nothing here reads a clock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError, from_json, to_json

from shared.calendar import ONE_DAY, WorkingCalendar
from shared.events.fields import CountryCode, Identifier, ServiceLevel, Sku
from shared.policy_agreement import contradictions
from shared.policy_fields import (
    DEFAULT_HANDLING_DAYS,
    DEFAULT_TRANSIT_DAYS,
    MAX_HOLD_MINUTES,
    MAX_LATENESS_MINUTES,
    MAX_SKUS,
    MAX_VERIFICATION_DAYS,
    Days,
    FraudLimits,
    HandlingDays,
    Hours,
    PolicyModel,
    Term,
    Terms,
    TimeZone,
    TransitDays,
)
from shared.policy_files import (
    CONTRADICTION,
    DEFAULT,
    MAX_FILES,
    SUFFIX,
    Document,
    layered,
    read_document,
    read_documents,
    refusal,
)

BY_SERVICE_LEVEL = ("handling_days", "sku_handling_days", "transit_days", "sku_transit_days")
"""Fields of which an order needs only what holds for its service level and SKUs."""
UNTIL_ACCEPTED = (
    "marketplace_id",
    "hold_minutes",
    "verification_window_days",
    "parked_hours",
    "fraud",
)
"""Fields that decide about an order before it is accepted, or while it is, and for how long what
comes too early waits: an order keeps none."""
MAX_CACHED_TERMS = 4_096
"""Different terms in memory, some 3 KB each: a marketplace has one per service level, handling and
transit time, and a few more of the policies that it had before."""


class Window(NamedTuple):
    """From the start of a local day to 23:59:59 of a local day, in UTC."""

    earliest: datetime
    latest: datetime


class Policy(PolicyModel):
    """The numbers of one marketplace; what is not given is the default (R24). What each of them
    means is told once, where they are set: `deploy/policies/default.yaml`.

    Raises pydantic's ValidationError for an unknown key, a wrong type, a value out of its limits,
    and fields that contradict each other.
    """

    marketplace_id: Identifier = DEFAULT

    time_zone: TimeZone = "UTC"
    calendar_country: CountryCode | None = None
    calendar_subdivision: Identifier | None = None

    hold_minutes: Annotated[int, Field(ge=1, le=MAX_HOLD_MINUTES)] = 30
    verification_window_days: Annotated[int, Field(ge=1, le=MAX_VERIFICATION_DAYS)] = 7
    buyer_cancel: Literal["automatic", "seller_approves"] = "automatic"
    cancel_request_lateness_minutes: Annotated[int, Field(ge=0, le=MAX_LATENESS_MINUTES)] = 10
    seller_answer_hours: Hours = 48

    handling_days: Mapping[ServiceLevel, HandlingDays] = DEFAULT_HANDLING_DAYS
    sku_handling_days: Annotated[Mapping[Sku, HandlingDays], Field(max_length=MAX_SKUS)] = {}
    cut_off_hour: Annotated[int, Field(ge=0, le=23)] = 14
    transit_days: Mapping[ServiceLevel, TransitDays] = DEFAULT_TRANSIT_DAYS
    sku_transit_days: Annotated[Mapping[Sku, TransitDays], Field(max_length=MAX_SKUS)] = {}

    late_notice_interval_hours: Hours = 24
    auto_cancel_anchor: Literal["order_date", "ship_by"] = "order_date"
    auto_cancel_order_date_days: Days = 30
    auto_cancel_ship_by_working_days: Days = 7
    cancel_warning_days: Days = 7

    lost_package_days: Days = 14
    return_window_days: Days = 30
    return_transit_days: Days = 30
    provider_answer_hours: Hours = 24
    parked_hours: Hours = 24
    retention_days: Days = 45

    fraud: FraudLimits = FraudLimits()

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, time_zone: str) -> str:
        try:
            ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, OSError) as unknown:  # OSError: a region such as US/Indiana
            raise PydanticCustomError("time_zone", "IANA's name of a time zone") from unknown
        return time_zone

    @field_validator("handling_days", "transit_days", mode="before")
    @classmethod
    def _missing_levels_are_the_default(cls, given: object, info: ValidationInfo) -> object:
        if not isinstance(given, Mapping) or info.field_name is None:
            return given
        return {**cls.model_fields[info.field_name].default, **given}

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if found := tuple(contradictions(self)):
            says = "; ".join(f"{each.field} must be {each.allowed}" for each in found)
            context = {"says": says, "found": found}
            raise PydanticCustomError(CONTRADICTION, "{says}", context)
        return self

    @property
    def calendar(self) -> WorkingCalendar:
        """The working days and the local days of this marketplace."""
        return _calendar(self.calendar_country, self.calendar_subdivision, self.time_zone)

    def hold_end(self, purchase_date: datetime) -> datetime:
        """When the hold is over (R2): counted from the purchase, paid or not."""
        return purchase_date + timedelta(minutes=self.hold_minutes)

    def verification_end(self, purchase_date: datetime) -> datetime:
        """When a payment that is still unknown counts as never approved (R5, R6)."""
        return purchase_date + timedelta(days=self.verification_window_days)

    def request_time(self, claimed: datetime, received: datetime) -> datetime:
        """The time that a buyer's request to cancel or to return counts by (R14, R17).

        The claimed time while it reached the log (`received`) within the lateness, that included;
        else the time it was received. A claim of the future comes from a clock that runs ahead:
        the request had been made when it was received, so that is its time.
        """
        claimed = min(claimed, received)
        longest = timedelta(minutes=self.cancel_request_lateness_minutes)
        return claimed if received - claimed <= longest else received

    def seller_answer_due(self, requested_at: datetime) -> datetime:
        """Until when the seller may answer a buyer's cancel request (R15, R23)."""
        return requested_at + timedelta(hours=self.seller_answer_hours)

    def ship_window(
        self, released_at: datetime, level: ServiceLevel, skus: Iterable[str]
    ) -> Window:
        """When the seller is to ship; `latest` is the ship-by date (R9).

        `released_at` is when the order became Unshipped, the latest of hold end, approval and
        reservation: a seller is not charged for a buyer's slow payment. Day 0 is its local day, or
        the first working day after it when that is none. Handling of 0 days moves day 0 on by one
        when `released_at` is at or after the cut-off hour. The window is from the
        start of day 0 (so it may begin before `released_at`) to the end of the day that is as many
        working days later as the slowest SKU takes; a SKU without its own time takes its level's.
        """
        calendar = self.calendar
        days = self._handling(level, skus)
        released = calendar.local(released_at)
        day = released.date()
        if days == 0 and released.hour >= self.cut_off_hour:
            day += ONE_DAY
        day_0 = calendar.add_working_days(day, 0)
        ship_by = calendar.add_working_days(day_0, days)
        return Window(calendar.start_of_day(day_0), calendar.end_of_day(ship_by))

    def _handling(self, level: ServiceLevel, skus: Iterable[str]) -> int:
        default = self.handling_days[level]
        return max((self.sku_handling_days.get(sku, default) for sku in skus), default=default)

    def delivery_window(
        self, ship_window: Window, level: ServiceLevel, skus: Iterable[str]
    ) -> Window:
        """When the buyer may expect the goods (R9): the fastest parcel, shipped on the first day of
        the ship window, to the slowest, shipped on its last.

        The order is there when the last of its SKUs is, and at the earliest when the last of them
        can be; a SKU without its own transit time takes its level's.
        """
        calendar, transit = self.calendar, self._transit(level, skus)
        earliest = calendar.add_working_days(
            calendar.local_date(ship_window.earliest), transit.fewest
        )
        latest = calendar.add_working_days(calendar.local_date(ship_window.latest), transit.most)
        return Window(calendar.start_of_day(earliest), calendar.end_of_day(latest))

    def _transit(self, level: ServiceLevel, skus: Iterable[str]) -> TransitDays:
        default = self.transit_days[level]
        taken = [self.sku_transit_days.get(sku, default) for sku in skus] or [default]
        return TransitDays(max(days.fewest for days in taken), max(days.most for days in taken))

    def new_delivery_window(
        self,
        late_at: datetime,
        level: ServiceLevel,
        skus: Iterable[str],
        promised_latest: datetime,
        expected_ship_date: datetime | None = None,
    ) -> Window:
        """What the buyer of a late order is told (R12): a new date each time.

        Counted as if the goods left on the first working day after the local day of `late_at`, the
        instant of the notice or of the seller's announcement; or on that of `expected_ship_date`,
        which the seller announced, if it is later. Where that would repeat or undercut the date
        promised last, `latest` is the end of the next working day after that one.
        """
        calendar, transit = self.calendar, self._transit(level, skus)
        day = calendar.local_date(late_at) + ONE_DAY
        if expected_ship_date:
            day = max(day, calendar.local_date(expected_ship_date))
        leaves = calendar.add_working_days(day, 0)
        beyond = calendar.add_working_days(calendar.local_date(promised_latest) + ONE_DAY, 0)
        earliest = calendar.add_working_days(leaves, transit.fewest)
        latest = max(calendar.add_working_days(leaves, transit.most), beyond)
        return Window(calendar.start_of_day(earliest), calendar.end_of_day(latest))

    def next_late_notice(self, due: datetime) -> datetime:
        """When the late notice that was due at `due` is repeated (R12)."""
        return due + timedelta(hours=self.late_notice_interval_hours)

    def auto_cancel_at(self, purchase_date: datetime, ship_by: datetime) -> datetime:
        """When open units are canceled as unconfirmed (R13).

        `order_date`: so many times 24 hours after the purchase, to the millisecond, whatever the
        ship-by date. `ship_by`: the end of the local day so many working days after it.
        """
        if self.auto_cancel_anchor == "order_date":
            return purchase_date + timedelta(days=self.auto_cancel_order_date_days)
        calendar = self.calendar
        return calendar.end_of_day(
            calendar.add_working_days(
                calendar.local_date(ship_by), self.auto_cancel_ship_by_working_days
            )
        )

    def cancel_warning_at(self, auto_cancel_at: datetime) -> datetime:
        """When the seller is warned of the auto-cancel (R13)."""
        return auto_cancel_at - timedelta(days=self.cancel_warning_days)

    def package_lost_at(self, delivery_latest: datetime) -> datetime:
        """When a package that no carrier reported delivered counts as lost (R23)."""
        return delivery_latest + timedelta(days=self.lost_package_days)

    def return_until(self, delivery_latest: datetime) -> datetime:
        """The end of the local day until which a return may be asked for (R16, R17)."""
        calendar = self.calendar
        day = calendar.local_date(delivery_latest) + timedelta(days=self.return_window_days)
        return calendar.end_of_day(day)

    def return_overdue_at(self, requested_at: datetime) -> datetime:
        """When a return that was asked for and did not come is overdue (R23)."""
        return requested_at + timedelta(days=self.return_transit_days)

    def provider_answer_due(self, asked_at: datetime) -> datetime:
        """When a capture, void or refund without the provider's answer is stuck (R23)."""
        return asked_at + timedelta(hours=self.provider_answer_hours)

    def parked_until(self, received: datetime) -> datetime:
        """When an event that came before its order turns into a dead letter (R25)."""
        return received + timedelta(hours=self.parked_hours)

    def pending_until(self, purchase_date: datetime) -> datetime:
        """When an order that is still Pending waits for an answer that does not come (R23): what
        has to be said of its payment and stock is by the window's end, and may lag by as much as an
        event may precede its order.
        """
        return self.parked_until(self.verification_end(purchase_date))

    def archive_at(self, ended_at: datetime) -> datetime:
        """When an ended order leaves Redis but for its stub (R23)."""
        return ended_at + timedelta(days=self.retention_days)

    def terms(self, level: ServiceLevel, skus: Collection[str]) -> Terms:
        """What an order keeps of this policy for its life; `Policies.under` reads it (R24)."""
        kept: dict[str, Term] = {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if name not in (*UNTIL_ACCEPTED, *BY_SERVICE_LEVEL)
            and getattr(self, name) != field.default
        }
        days, transit = self._handling(level, skus), self._transit(level, skus)
        if days != DEFAULT_HANDLING_DAYS[level]:
            kept["handling_days"] = {level: days}
        if transit != DEFAULT_TRANSIT_DAYS[level]:
            kept["transit_days"] = {level: transit}
        return kept


@lru_cache(maxsize=MAX_FILES)
def _calendar(country: str | None, subdivision: str | None, time_zone: str) -> WorkingCalendar:
    return WorkingCalendar(country, subdivision, ZoneInfo(time_zone))


@dataclass(frozen=True)
class Policies:
    """The policy of every marketplace; one without its own has the default."""

    default: Policy = field(default_factory=Policy)
    by_marketplace: Mapping[str, Policy] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The policies of a directory (`default.yaml`, `<marketplace_id>.yaml`).

        Raises PolicyError with file, field and what is allowed; see `shared/policy_files.py`.
        """
        documents = read_documents(directory)
        base = documents.pop(DEFAULT)
        default = _policy(directory, base)
        own = [_policy(directory, layered(base, document)) for document in documents.values()]
        return cls(default, {policy.marketplace_id: policy for policy in own})

    def of(self, marketplace_id: str) -> Policy:
        """The policy of a marketplace; of an unknown one the default: every order has one."""
        return self.by_marketplace.get(marketplace_id, self.default)

    def under(self, marketplace_id: str, terms: Terms | None) -> Policy:
        """The policy that an order was accepted under, whatever the files say today (R24); what no
        order keeps is as they say.

        None for an order that was accepted before orders kept their terms: it has today's.
        """
        if terms is None:
            return self.of(marketplace_id)
        return self._accepted(marketplace_id, to_json(terms))

    @cached_property
    def _accepted(self) -> Callable[[str, bytes], Policy]:
        return lru_cache(maxsize=MAX_CACHED_TERMS)(self._accept)

    def _accept(self, marketplace_id: str, terms: bytes) -> Policy:
        """The policy of terms in JSON. It is judged no more: it was when it was accepted, and a
        release that judges otherwise, or does not know one of its fields, has to go on with the
        order.
        """
        known, today = Policy.model_fields, self.of(marketplace_id)
        kept = {name: term for name, term in from_json(terms).items() if name in known}
        kept = {name: getattr(today, name) for name in UNTIL_ACCEPTED} | kept
        handling = kept.pop("handling_days", {})
        transit = {
            level: TransitDays(*days) for level, days in kept.pop("transit_days", {}).items()
        }
        return Policy.model_construct(
            **kept,
            handling_days={**DEFAULT_HANDLING_DAYS, **handling},
            transit_days={**DEFAULT_TRANSIT_DAYS, **transit},
        )


def read_policy(file: Path) -> Policy:
    """The policy of one file, over the `default.yaml` beside it where there is one (R24).

    Raises PolicyError with file, field and what is allowed.
    """
    return _policy(file.parent, read_document(file))


def _policy(directory: Path, document: Document) -> Policy:
    try:
        return Policy.model_validate(document)
    except ValidationError as invalid:
        known = [*Policy.model_fields, *(f"fraud.{name}" for name in FraudLimits.model_fields)]
        file = directory / (document["marketplace_id"] + SUFFIX)
        raise refusal(file, invalid, known) from invalid
