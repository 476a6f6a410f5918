"""The types, limits and defaults of a policy's fields (R24)."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.events.fields import MAX_AMOUNT_MINOR, Currency, ServiceLevel

MAX_HOLD_MINUTES = 7 * 24 * 60
"""A week: what waits longer waits for its payment."""
MAX_VERIFICATION_DAYS = 21
"""SP-API's Pending lasts no longer (R5)."""
MAX_HANDLING_DAYS = 30
"""Working days; the longest that sellers may promise."""
MAX_TRANSIT_DAYS = 60
"""Working days; slow mail by sea."""
MAX_DAYS = 365
"""Any other wait in days: what is open after a year is for a person."""
MAX_HOURS = 30 * 24
"""Any wait in hours: beyond a month it is one in days."""
MAX_LATENESS_MINUTES = 24 * 60
"""A request believed a day later would undo parcels on their way."""
MAX_SKUS = 20_000
"""SKUs with a handling time, or with a transit time, of their own; more do not fit into a policy
file."""
MAX_ORDERS = 10_000
"""A fraud limit of so many orders is none; where spend is limited, each of them is looked at."""
MAX_CURRENCIES = 200
"""ISO 4217 has some 180."""
MAX_TERMS = 60
"""Numbers of a policy that an order keeps: twice what a policy has."""

HandlingDays = Annotated[int, Field(ge=0, le=MAX_HANDLING_DAYS)]
TransitDay = Annotated[int, Field(ge=0, le=MAX_TRANSIT_DAYS)]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]
Hours = Annotated[int, Field(ge=1, le=MAX_HOURS)]
Orders = Annotated[int, Field(ge=1, le=MAX_ORDERS)]
SpendMinor = Annotated[
    Mapping[Currency, Annotated[int, Field(ge=1, le=MAX_AMOUNT_MINOR)]],
    Field(max_length=MAX_CURRENCIES),
]
"""Minor units by currency; a currency that is not there has no limit."""
TimeZone = Annotated[str, StringConstraints(pattern=r"^(UTC|[A-Z]\w+(/[A-Z][\w+-]+)+)$")]
"""IANA's name with its region: not `EST`, not `localtime`, which differ from host to host."""


class TransitDays(NamedTuple):
    """Working days on the way, the fastest and the slowest parcel."""

    fewest: TransitDay
    most: TransitDay


Term = (
    int
    | Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,64}$")]
    | Mapping[ServiceLevel, HandlingDays]
    | Mapping[ServiceLevel, TransitDays]
)
TermName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]
Terms = Annotated[Mapping[TermName, Term], Field(max_length=MAX_TERMS)]
"""What an order keeps of the policy that it was accepted under: by field, where it is not the
default below or in `shared/policy.py`. So those defaults are part of every order, and never change:
what is to hold from now on is for `default.yaml` to say."""


DEFAULT_HANDLING_DAYS: Mapping[ServiceLevel, int] = {
    "Standard": 2,
    "Expedited": 1,
    "SecondDay": 1,
    "NextDay": 0,
    "SameDay": 0,
    "Priority": 1,
    "Scheduled": 2,
    "FreeEconomy": 2,
}
DEFAULT_TRANSIT_DAYS: Mapping[ServiceLevel, TransitDays] = {
    "Standard": TransitDays(3, 5),
    "Expedited": TransitDays(1, 3),
    "SecondDay": TransitDays(2, 2),
    "NextDay": TransitDays(1, 1),
    "SameDay": TransitDays(0, 0),
    "Priority": TransitDays(1, 2),
    "Scheduled": TransitDays(2, 4),
    "FreeEconomy": TransitDays(5, 8),
}


class PolicyModel(BaseModel):
    """Every key known, every type exact."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class FraudLimits(PolicyModel):
    """The most that one buyer or one card may reach in a moving window, else refused (R5, R8)."""

    window_hours: Hours = 24
    orders_per_buyer: Orders = 20
    orders_per_card: Orders = 20
    spend_per_buyer_minor: SpendMinor = {}
    spend_per_card_minor: SpendMinor = {}
