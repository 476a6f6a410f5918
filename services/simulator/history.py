"""A marketplace's order history as a file: rows in, past orders and bad rows out.

A small YAML file maps the file's columns to what a replay needs (`olist.yaml` of the feed maps the
public Olist data set); times are local to the marketplace, as its clerks wrote them.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import Field, TypeAdapter, ValidationError, field_validator

from shared.errors import SettingError
from shared.events.fields import (
    CountryCode,
    Currency,
    Identifier,
    Instant,
    Model,
    Money,
    OrderId,
    Quantity,
    ServiceLevel,
    Sku,
    Text,
)

MAX_ROWS = 100_000
"""Orders of one replay: it tells up to four events of each, and the stock of its SKU, and its
producer remembers 500 000."""

Moment = Literal["purchased", "approved", "carrier", "delivered", "estimated"]
MOMENTS: tuple[Moment, ...] = ("purchased", "approved", "carrier", "delivered", "estimated")

_ORDER_ID: TypeAdapter[str] = TypeAdapter(OrderId)
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)
_SKU: TypeAdapter[str] = TypeAdapter(Sku)
_QUANTITY: TypeAdapter[int] = TypeAdapter(Quantity)
_SERVICE_LEVEL: TypeAdapter[ServiceLevel] = TypeAdapter(ServiceLevel)


class Columns(Model, extra="forbid"):
    """The name of each column in the file; the last four where it has them."""

    order_id: Text
    status: Text
    purchased: Text
    approved: Text
    carrier: Text
    delivered: Text
    estimated: Text
    amount: Text | None = None
    sku: Text | None = None
    quantity: Text | None = None
    service_level: Text | None = None


class Mapped(Model, extra="forbid"):
    """How to read a file: its columns, the form of its times, and where its marketplace is."""

    columns: Columns
    time_format: Text
    time_zone: Text
    marketplace_id: Identifier
    country_code: CountryCode
    currency: Currency
    currency_digits: Annotated[int, Field(ge=0, le=4)] = 2

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as unknown:
            raise ValueError("has to be an IANA time zone") from unknown
        return name


@dataclass(frozen=True, kw_only=True)
class PastOrder:
    """What became of an order, by the file; moments in UTC, None where it has none.

    So is the amount, the order's total; `sku` and the rest are what the file says or stands for.
    """

    order_id: str
    status: str
    purchased: datetime
    approved: datetime | None
    carrier: datetime | None
    delivered: datetime | None
    estimated: datetime | None
    amount: Money | None = None
    sku: str | None = None
    quantity: int = 1
    service_level: ServiceLevel = "Standard"


@dataclass(frozen=True)
class BadRow:
    """A row that can not be replayed: its line in the file, and why."""

    line: int
    reason: str


def read_mapping(path: Path) -> Mapped:
    """Read a mapping file; SettingError names the field that is wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Mapped.model_validate(document)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        field = ".".join(map(str, error["loc"])) or "it"
        raise SettingError(f"{path}: {field}", repr(error["input"])[:80], error["msg"]) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as failed:
        raise SettingError(str(path), f"not readable ({failed})", "a YAML file") from failed


def read_history(path: Path, mapped: Mapped) -> Iterator[PastOrder | BadRow]:
    """Every row of a CSV file as a past order, or why it is none.

    Raises SettingError where the file as a whole can not be read or lacks a mapped column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            _check_columns(path, mapped, rows.fieldnames or ())
            yield from _read_rows(rows, mapped)
    except (OSError, UnicodeDecodeError, csv.Error) as failed:
        raise SettingError(str(path), f"not readable ({failed})", "a CSV file in UTF-8") from failed


def _check_columns(path: Path, mapped: Mapped, there: Iterable[str]) -> None:
    wanted = set(mapped.columns.model_dump(exclude_none=True).values())
    if missing := sorted(wanted - set(there)):
        allowed = "the columns that the mapping names; --mapping names another one"
        raise SettingError(str(path), f"without column {', '.join(missing)}", allowed)


def _read_rows(rows: "csv.DictReader[str]", mapped: Mapped) -> Iterator[PastOrder | BadRow]:
    seen: set[str] = set()
    columns = mapped.columns.model_dump(exclude_none=True)
    for number, row in enumerate(rows):
        if number >= MAX_ROWS:
            yield BadRow(rows.line_num, f"more than {MAX_ROWS} rows: the rest is not replayed")
            return
        try:
            cells = {name: row[column] or "" for name, column in columns.items()}
            order = _past_order(cells, mapped)
            if order.order_id in seen:
                raise ValueError(f"order_id {order.order_id} was there before")
        except ValueError as invalid:
            yield BadRow(rows.line_num, _reason(invalid))
            continue
        seen.add(order.order_id)
        yield order


def _past_order(cells: Mapping[str, str], mapped: Mapped) -> PastOrder:
    known: dict[str, Any] = {moment: _moment(moment, cells[moment], mapped) for moment in MOMENTS}
    purchased = known.pop("purchased")
    if purchased is None:
        raise ValueError("purchased is empty")
    return PastOrder(
        order_id=_ORDER_ID.validate_python(cells["order_id"]),
        status=cells["status"],
        purchased=purchased,
        **known,
        **_goods(cells, mapped),
    )


def _goods(cells: Mapping[str, str], mapped: Mapped) -> dict[str, Any]:
    """What was ordered and for how much, as far as the file has a column for it and a value."""
    read: dict[str, Callable[[str], object]] = {
        "amount": lambda text: _amount(text, mapped),
        "sku": _SKU.validate_python,
        "quantity": _QUANTITY.validate_strings,
        "service_level": _SERVICE_LEVEL.validate_python,
    }
    return {name: read[name](text) for name in read if (text := cells.get(name, "").strip())}


def _amount(text: str, mapped: Mapped) -> Money:
    try:
        minor = Decimal(text).scaleb(mapped.currency_digits)
        exact = int(minor)
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError(f"amount {text!r} is no number") from None
    if exact != minor:
        digits = mapped.currency_digits
        raise ValueError(f"amount {text!r} has more than {digits} digits of {mapped.currency}")
    return Money(amount_minor=exact, currency=mapped.currency)


def _moment(moment: Moment, text: str, mapped: Mapped) -> datetime | None:
    if not text.strip():
        return None
    try:
        local = datetime.strptime(text.strip(), mapped.time_format)  # noqa: DTZ007 - zoned below
    except ValueError:
        raise ValueError(f"{moment} {text!r} is not of the form {mapped.time_format}") from None
    return _INSTANT.validate_python(
        local.replace(tzinfo=ZoneInfo(mapped.time_zone)).astimezone(UTC)
    )


def _reason(invalid: ValueError) -> str:
    if isinstance(invalid, ValidationError):
        return f"order_id: {invalid.errors(include_url=False)[0]['msg']}"
    return str(invalid)
