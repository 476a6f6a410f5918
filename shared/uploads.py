"""The files that sellers upload: confirmed packages and cancels, under Amazon's column names.

    ship-confirm   order-id, order-item-id, quantity, ship-date, carrier-code, carrier-name,
                   tracking-number, ship-method
    cancel         order-id, amazon-order-item-code, cancellation-reason-code

A line per order item, the columns in any order; carrier-name, ship-method and
amazon-order-item-code may be missing. What is wrong is told by line and column, the rest becomes
facts. Pure: who takes the file, and who produces the facts, is elsewhere.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from hashlib import sha256
from typing import Any, Literal, NamedTuple, get_args

from pydantic import TypeAdapter

from shared.events.envelope import derived_id
from shared.events.fields import (
    MAX_ITEMS,
    MAX_QUANTITY,
    Identifier,
    Instant,
    ItemQuantity,
    OptionalText,
    Quantity,
    Text,
)
from shared.events.seller import (
    OTHER_CARRIER,
    CancelReasonCode,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.upload_rows import BadRow, Column, Row, read_rows

MAX_REFERENCE = 10**18 - 1
"""Of a package reference: 18 digits."""


class Said(NamedTuple):
    """A fact about an order, and the lines of the file that say it."""

    order_id: str
    fact: ShipmentConfirmed | SellerCanceled
    lines: tuple[int, ...]


@dataclass(frozen=True)
class Upload:
    """What a file says: its facts in the order of their first lines, its bad rows in theirs."""

    rows: int
    said: tuple[Said, ...]
    bad: tuple[BadRow, ...]


def event_id(upload_id: str, said: Said) -> str:
    """The id of a fact's event: the same whenever an upload of that id says the same again."""
    cause = f"{upload_id} {said.fact.model_dump_json()}"
    return derived_id(cause, "upload", said.fact.TYPE, said.order_id, 0)


def package_reference(order_id: str, tracking_number: str, item_ids: Iterable[str]) -> str:
    """The reference of an uploaded package: of what lies in the parcel, so the same again is it.

    Said again with other quantities or another carrier it is edited (R11); what is said of other
    items under its tracking number is a package beside it, and takes no unit out of it.
    """
    parts = "\n".join([order_id, tracking_number, *sorted(item_ids)])
    return str(int.from_bytes(sha256(parts.encode()).digest()) % MAX_REFERENCE + 1)


# -- the two files ---------------------------------------------------------------------------------


def read_ship_confirm(content: bytes, seller_id: str, time_zone: tzinfo = UTC) -> Upload:
    """The packages that a file confirms (R11): rows of one parcel are one package.

    A ship date without offset is local to `time_zone`, one without time the start of that day. A
    package is applied as a whole: where one of its rows is bad, the others are left out, each with
    its reason. Raises RefusedFile.
    """
    file = read_rows(content, _ship_confirm_columns(time_zone))
    bad = [*file.bad, *_unusable(file.rows)]
    bad += _left_out(file.rows, bad, _parcel)
    packages: defaultdict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in _good(file.rows, bad):
        packages[tuple(row.values[name] for name in _OF_PACKAGE)].append(row)
    said = tuple(_confirmed(seller_id, rows) for rows in packages.values())
    return Upload(len(file.rows), said, tuple(sorted(bad)))


def read_cancel(content: bytes, seller_id: str) -> Upload:
    """The orders that a file cancels (R18), each as a whole: a row without an item is about all.

    Where a row of an order is bad, the others are left out. Raises RefusedFile.
    """
    file = read_rows(content, _CANCEL_COLUMNS)
    bad = [*file.bad, *_contradictions(file.rows)]
    bad += _left_out(file.rows, bad, _order)
    orders: defaultdict[str, list[Row]] = defaultdict(list)
    for row in _good(file.rows, bad):
        orders[row.values["order-id"]].append(row)
    said = tuple(_canceled(seller_id, rows) for rows in orders.values())
    return Upload(len(file.rows), said, tuple(sorted(bad)))


_ITEM, _REASON = "amazon-order-item-code", "cancellation-reason-code"

_OF_PACKAGE = (
    "order-id",
    "tracking-number",
    "carrier-code",
    "carrier-name",
    "ship-date",
    "ship-method",
)
"""The columns that rows of one package have in common."""


def _confirmed(seller_id: str, rows: Sequence[Row]) -> Said:
    values, items = rows[0].values, [row.values["order-item-id"] for row in rows]
    order_id, tracking_number = values["order-id"], values["tracking-number"]
    fact = ShipmentConfirmed(
        seller_id=seller_id,
        package_reference_id=package_reference(order_id, tracking_number, items),
        carrier_code=values["carrier-code"],
        carrier_name=values["carrier-name"],
        shipping_method=values["ship-method"],
        tracking_number=tracking_number,
        ship_date=values["ship-date"],
        order_items=tuple(
            ItemQuantity(order_item_id=item, quantity=row.values["quantity"])
            for item, row in zip(items, rows, strict=True)
        ),
    )
    return Said(order_id, fact, tuple(row.line for row in rows))


def _canceled(seller_id: str, rows: Sequence[Row]) -> Said:
    named = dict.fromkeys(row.values[_ITEM] for row in rows)
    fact = SellerCanceled(
        seller_id=seller_id,
        reason_code=rows[0].values[_REASON],
        order_item_ids=() if "" in named else tuple(named),
    )
    return Said(rows[0].values["order-id"], fact, tuple(row.line for row in rows))


def _good(rows: Iterable[Row], bad: Iterable[BadRow]) -> list[Row]:
    lines = {row.line for row in bad}
    return [row for row in rows if row.line not in lines]


def _unusable(rows: Iterable[Row]) -> Iterator[BadRow]:
    """What only shows between cells and between rows."""
    first: dict[tuple[str, ...], int] = {}
    items: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        if row.values.get("carrier-code") == OTHER_CARRIER and not row.cells["carrier-name"]:
            says = f"has to be the carrier's name, where carrier-code is {OTHER_CARRIER}"
            yield BadRow(row.line, "carrier-name", says)
        parcel, item = _parcel(row), row.cells["order-item-id"]
        if not all((*parcel, item)):
            continue
        if first.setdefault((*parcel, item), row.line) != row.line:
            says = f"is in this package by line {first[*parcel, item]}: one row for all its units"
            yield BadRow(row.line, "order-item-id", says)
        items[parcel] += 1
        if items[parcel] > MAX_ITEMS:
            yield BadRow(row.line, "order-item-id", f"a package has at most {MAX_ITEMS} items")


def _contradictions(rows: Iterable[Row]) -> Iterator[BadRow]:
    """Rows that say another reason than the first one of their order, or one item too many."""
    first: dict[str, Row] = {}
    items: Counter[str] = Counter()
    for row in rows:
        order_id, reason = row.values.get("order-id"), row.values.get(_REASON)
        if not order_id or not reason:
            continue
        before = first.setdefault(order_id, row)
        if reason != before.values[_REASON]:
            says = f"has to be {before.values[_REASON]}, as line {before.line} says"
            yield BadRow(row.line, _REASON, says)
        items[order_id] += 1
        if items[order_id] > MAX_ITEMS:
            yield BadRow(row.line, _ITEM, f"an order has at most {MAX_ITEMS} items")


def _left_out(
    rows: Iterable[Row], bad: Sequence[BadRow], of: Callable[[Row], object]
) -> list[BadRow]:
    """The good rows of packages, or orders, that have a bad one."""
    by_line = {row.line: row for row in rows}
    spoiled = {of(by_line[line]): line for line, _, _ in sorted(bad, reverse=True)}
    return [
        BadRow(row.line, "", f"left out: line {spoiled[of(row)]} belongs with it, and is bad")
        for row in _good(by_line.values(), bad)
        if of(row) in spoiled
    ]


def _parcel(row: Row) -> tuple[str, str]:
    """What tells a package, whether the row is good or not."""
    return row.cells["order-id"], row.cells["tracking-number"]


def _order(row: Row) -> str:
    return row.cells["order-id"]


# -- their columns ---------------------------------------------------------------------------------

_INSTANT = TypeAdapter[datetime](Instant)
_QUANTITY = TypeAdapter[int](Quantity)


def _of(type_: Any) -> Callable[[str], Any]:
    """Reads a cell as a value of a type of our events."""
    return TypeAdapter(type_).validate_python


def _quantity(cell: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", cell):
        raise ValueError(cell)
    return _QUANTITY.validate_python(int(cell))


def _instant(time_zone: tzinfo, cell: str) -> datetime:
    moment = datetime.fromisoformat(cell)
    return _INSTANT.validate_python(moment if moment.tzinfo else moment.replace(tzinfo=time_zone))


_ORDER_ID = Column(_of(Identifier), "an order id: 1 to 64 letters, digits and . _ : -")


def _ship_confirm_columns(time_zone: tzinfo) -> Mapping[str, Column]:
    return {
        "order-id": _ORDER_ID,
        "order-item-id": Column(
            _of(Identifier), "an item's id: 1 to 64 letters, digits and . _ : -"
        ),
        "quantity": Column(_quantity, f"a whole number from 1 to {MAX_QUANTITY}"),
        "ship-date": Column(
            partial(_instant, time_zone), "a day or a time such as 2026-03-11T09:30:00+01:00"
        ),
        "carrier-code": Column(
            _of(Text), f"the carrier's code, or {OTHER_CARRIER}: 1 to 200 characters"
        ),
        "carrier-name": Column(_of(OptionalText), "at most 200 characters", needed=False),
        "tracking-number": Column(
            _of(Text), "the carrier's number of the package: 1 to 200 characters"
        ),
        "ship-method": Column(_of(OptionalText), "at most 200 characters", needed=False),
    }


_CANCEL_COLUMNS: Mapping[str, Column] = {
    "order-id": _ORDER_ID,
    _ITEM: Column(
        _of(Identifier | Literal[""]), "an item's id, or empty for the whole order", needed=False
    ),
    _REASON: Column(_of(CancelReasonCode), f"one of {', '.join(get_args(CancelReasonCode))}"),
}
