"""The types and limits of the fields that facts are made of.

Every limit is chosen such that the largest fact with the largest order beside it and the largest
dead letter fit the record size of their topics (see `shared/kafka.py`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

MAX_ITEMS = 100
"""Order items of one order; SP-API pages them by 100."""
MAX_PACKAGES = 50
"""Packages of one order."""
MAX_PACKED_ITEMS = 10 * MAX_ITEMS
"""Entries of all packages of one order: they lie in its snapshot, half a megabyte at most with all
else, so that a fact and the snapshot beside it stay below a record's limit.
"""
MAX_RETURNS = 50
"""Returns of one order."""
MAX_ITEMS_ON_THEIR_WAY_BACK = 2 * MAX_ITEMS
"""Entries of all returns of one order that have not come yet: they lie in its snapshot."""
MAX_QUANTITY = 10_000
"""Units of one line."""
MAX_AMOUNT_MINOR = 10**12
"""Ten thousand million in a currency of two decimals; below 2**53, so that JSON readers agree."""
MAX_UNITS = MAX_ITEMS * MAX_QUANTITY
"""Units of one SKU in one order: every line may name it."""
MAX_STOCK = 10**9
"""Units of one SKU that the warehouse may say."""
MAX_LEVEL = 10**14 - 1
"""Units of one SKU with those that came back besides: the most that Lua writes in full."""
MAX_TEXT = 200
"""Characters of one line of free text."""
MIN_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)
MAX_INSTANT = datetime(2200, 1, 1, tzinfo=UTC)
"""Instants outside are typing errors; the working-day calendars cover these years."""


_set = object.__setattr__


class Model(BaseModel):
    """Strict in what it writes, tolerant in what it reads: unknown fields stay out of the way.

    An error names fields and not their values, which are people's: it may be logged.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, hide_input_in_errors=True
    )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, in half of the time: of a frozen model without private attributes and
        extras there is nothing but its fields to copy.
        """
        if deep:
            return super().model_copy(update=update, deep=True)
        changes, given = update or {}, self.__pydantic_fields_set__
        copy = self.__new__(type(self))
        _set(copy, "__dict__", {**self.__dict__, **changes})
        _set(
            copy,
            "__pydantic_fields_set__",
            given if given.issuperset(changes) else given.union(changes),
        )
        _set(copy, "__pydantic_extra__", None)
        _set(copy, "__pydantic_private__", None)
        return copy


def _in_utc_ms(value: datetime) -> datetime:
    # Also what was read as UTC: beside another object for it, Python's datetime subtracts, compares
    # and hashes by asking both, which takes it ten times as long.
    value = value.astimezone(UTC)
    excess = value.microsecond % 1000
    return value.replace(microsecond=value.microsecond - excess) if excess else value


Instant = Annotated[
    AwareDatetime, Field(ge=MIN_INSTANT, lt=MAX_INSTANT), AfterValidator(_in_utc_ms)
]
"""A moment in UTC, RFC 3339 with its offset, floored to milliseconds."""

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
"""An id: 1 to 64 letters, digits and `. _ : -`. Safe in keys, logs and file names."""
OrderId = Identifier
SellerId = Identifier
Sku = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,38}[\x21-\x7e])?$")]
"""The seller's own stock keeping unit: 1 to 40 printable ASCII characters, no blank at the ends."""
EventId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""ISO 4217 code."""
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=_PRINTABLE)]
"""One line of free text."""
OptionalText = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=_PRINTABLE)]
CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""
TRACEPARENT = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
Traceparent = Annotated[str, StringConstraints(pattern=TRACEPARENT)]
"""W3C Trace Context."""
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""CloudEvents' Integer is a signed 32-bit number."""

ServiceLevel = Literal[
    "Standard",
    "Expedited",
    "SecondDay",
    "NextDay",
    "SameDay",
    "Priority",
    "Scheduled",
    "FreeEconomy",
]
"""SP-API's ShipmentServiceLevelCategory."""


NoticeKind = Literal[
    "estimated_delivery",
    "package_shipped",
    "new_delivery_date",
    "order_canceled",
    "cancel_asked",
    "cancel_denied",
    "cancel_refused",
    "late_shipment",
    "cancel_warning",
    "do_not_ship",
    "return_requested",
    "return_opened",
    "return_received",
    "reorder_suggestion",
    "reorder_unavailable",
    "address_changed",
    "new_ship_address",
]
"""What buyers and sellers are told of (`notices`)."""


class Money(Model):
    """An amount in integer minor units (cents, or whole yen) of an ISO 4217 currency."""

    amount_minor: Annotated[int, Field(ge=0, le=MAX_AMOUNT_MINOR)]
    currency: Currency


class Address(Model):
    """Where a package goes (SP-API's Address); hidden from sellers while the order is Pending."""

    name: Text
    address_line_1: Text
    address_line_2: OptionalText = ""
    address_line_3: OptionalText = ""
    city: Text
    state_or_region: OptionalText = ""
    postal_code: OptionalText = ""
    country_code: CountryCode
    phone: OptionalText = ""


class SkuQuantity(Model):
    """Units of one SKU in one order, all its lines summed."""

    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=MAX_UNITS)]


class ItemQuantity(Model):
    """Units of one order item."""

    order_item_id: Identifier
    quantity: Quantity
