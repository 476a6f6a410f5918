"""Manage Orders, as sellers know it: filter, sort and page; the filter lives in the address."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.actions import CANCEL_REASONS
from services.dashboard.web.access import session_of
from services.dashboard.web.filters import (
    PAGE_SIZE,
    SORTS,
    SOURCES,
    STATUSES,
    URGENCIES,
    Filter,
)
from services.dashboard.web.index import Index
from services.dashboard.web.pages import page, parts_of
from services.dashboard.web.query import WrongQuery
from shared.clock import fresh_token, from_ms
from shared.currencies import money
from shared.urgency import TO_SHIP, is_late

SKUS_SHOWN = 3

URGENCY_NAMES: Mapping[str, str] = {
    "late": "Late",
    "today": "Due today",
    "open": "To ship",
    "ending": "Near cancellation",
    "asked": "Cancel asked",
    "returns": "Return open",
    "stuck": "Stuck",
}
SORT_NAMES: Mapping[str, str] = {
    "-purchase": "Newest first",
    "purchase": "Oldest first",
    "ship_by": "Most urgent first",
    "-updated": "Last changed first",
    "-total": "Largest first",
}
assert (URGENCY_NAMES.keys(), SORT_NAMES.keys()) == (URGENCIES.keys(), SORTS.keys())


class OrderLine(NamedTuple):
    """One order in the list; `total` is empty while it is not the seller's (R3)."""

    order_id: str
    status: str
    pending: bool
    purchase_ms: int
    ship_by_ms: int
    late: bool
    units: int
    units_open: int
    total: str
    skus: list[str]
    more_skus: int
    source: str
    marks: list[str]


class Listed(NamedTuple):
    """A page of the list: its orders, how many fit the filter, and whether a look from the start
    would show others.
    """

    lines: list[OrderLine]
    total: int
    moved: bool


async def orders(request: Request) -> Response:
    """The page; `shown` are the orders that are on it already, which stay where they are."""
    parts = parts_of(request)
    filter_ = Filter.read(request.query_params)
    if filter_.problems:
        raise WrongQuery(filter_.problems)
    shown = [each for each in request.query_params.get("shown", "").split(",") if each][:PAGE_SIZE]
    operates = session_of(request).who.operates
    listed = list_orders(parts.index, filter_, parts.clock.now_ms(), parts.today_ms(), shown)
    return page(
        request,
        "orders.html",
        live=("order",),
        filter=filter_,
        listed=listed,
        pages=max(1, -(-listed.total // PAGE_SIZE)),
        statuses=[(each, each) for each in STATUSES],
        urgencies=URGENCY_NAMES,
        sorts=SORT_NAMES,
        source_names=[(each, each.replace("_", "-")) for each in SOURCES],
        first=(filter_.page - 1) * PAGE_SIZE + 1,
        operates=operates,
        key=fresh_token(),
        seller=filter_.seller,
        marketplaces=sorted(parts.policies.by_marketplace),
        cancel_reasons=CANCEL_REASONS,
    )


def list_orders(
    index: Index,
    filter_: Filter,
    now_ms: int,
    today_ms: Mapping[str, int],
    shown: Sequence[str] = (),
) -> Listed:
    """A page of the orders that a filter asks for.

    Where some are `shown`, it is they, as they are now, in their order: nothing jumps under a
    reader's hand, and whether the list has changed is told.
    """
    where, values = filter_.where(now_ms, today_ms)
    total = index.one(f"SELECT count(*) AS n FROM orders WHERE {where}", **values)["n"]  # noqa: S608
    order = SORTS[filter_.sort]
    found = index.ask(
        "SELECT * FROM orders WHERE order_id IN"  # noqa: S608
        f" (SELECT order_id FROM orders WHERE {where} ORDER BY {order} LIMIT :size OFFSET :skip)"
        f" ORDER BY {order}",
        **values,
        size=PAGE_SIZE,
        skip=(filter_.page - 1) * PAGE_SIZE,
    )
    if not shown:
        return Listed([line_of(row, now_ms) for row in found], total, moved=False)
    marks = {f"id{n}": order_id for n, order_id in enumerate(shown)}
    names = ", ".join(f":{name}" for name in marks)
    kept = {
        row["order_id"]: row
        for row in index.ask(f"SELECT * FROM orders WHERE order_id IN ({names})", **marks)  # noqa: S608
    }
    lines = [line_of(kept[order_id], now_ms) for order_id in shown if order_id in kept]
    return Listed(lines, total, moved=[row["order_id"] for row in found] != list(shown))


def line_of(row: Any, now_ms: int) -> OrderLine:
    """A row as the list shows it."""
    skus = [sku for sku in row["skus"].split("\n") if sku]
    to_ship = row["status"] in TO_SHIP
    late = to_ship and is_late(from_ms(row["ship_by_ms"]), from_ms(now_ms))
    return OrderLine(
        order_id=row["order_id"],
        status=row["status"],
        pending=not row["was_seller"],
        purchase_ms=row["purchase_ms"],
        ship_by_ms=row["ship_by_ms"] if to_ship else 0,
        late=late,
        units=row["units"],
        units_open=row["units_open"] if to_ship else 0,
        total=money(row["total_minor"], row["currency"]) if row["was_seller"] else "",
        skus=skus[:SKUS_SHOWN],
        more_skus=max(len(skus) - SKUS_SHOWN, 0),
        source=row["source"].replace("_", "-"),
        marks=list(_marks(row, late=late)),
    )


def _marks(row: Any, *, late: bool) -> Iterable[str]:
    said = {
        "Late": late,
        "Cancel asked": row["cancel_asked"],
        "Delayed": row["delayed"] and not row["canceled_ms"],
        "Return open": row["returns_open"],
    }
    stuck = (f"Stuck: {reason.replace('_', ' ')}" for reason in row["stuck"].split())
    canceled = [row["cancel_reason"].replace("_", " ")] if row["status"] == "Canceled" else []
    return chain((name for name, there in said.items() if there), stuck, canceled)
