"""The reports that sellers work by, to download (R21)."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.web.filters import URGENCIES
from services.dashboard.web.index import Index
from services.dashboard.web.pages import page, parts_of
from services.dashboard.web.parts import Parts
from services.dashboard.web.query import choice, day, text
from services.dashboard.web.show import MASK
from shared.events.fields import Address
from shared.events.fulfillment import Order
from shared.events.storefront import Buyer
from shared.reports import ORDER_REPORT, UNSHIPPED_REPORT, Asked, Line, rows
from shared.spreadsheet import TableFormat, table_lines

REPORTS = {"order": ORDER_REPORT, "unshipped": UNSHIPPED_REPORT}
MEDIA = {TableFormat.TSV: "text/tab-separated-values", TableFormat.CSV: "text/csv",
         TableFormat.JSON: "application/json"}  # fmt: skip
MAX_ORDERS = 50_000
"""Of one report: they are sorted in memory; `orderflow report` writes longer ones."""
READ_AT_A_TIME = 200


async def reports(request: Request) -> Response:
    """The page that asks for what is to be in one."""
    return page(request, "reports.html", formats=list(TableFormat), problem="", **_asked(request))


async def download(request: Request) -> Response:
    """A report as a file; names and addresses are masked unless they are asked for."""
    parts, query = parts_of(request), request.query_params
    kind = request.path_params["kind"]
    if (report := REPORTS.get(kind)) is None:
        raise HTTPException(404)
    format_ = TableFormat(choice(query, "format", list(TableFormat), TableFormat.TSV))
    since, until = day(query, "since"), day(query, "until")
    asked = Asked(
        at=parts.now,
        policies=parts.policies,
        seller_id=text(query, "seller") or None,
        since=since,
        until=until,
    )
    found = _orders(parts.index, kind)
    if len(found) > MAX_ORDERS:
        return _again(request, f"More than {MAX_ORDERS:,} orders: `orderflow report` writes them.")
    lines: list[Line] = []
    async for order in _read(parts, found):
        shown = order if query.get("personal") == "yes" else masked(order)
        lines += report.lines(shown, asked)
    content = "".join(table_lines(format_, report.column_names(asked), rows(lines)))
    name = f"{kind}-report-{parts.now:%Y-%m-%d}.{format_}"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(content, media_type=MEDIA[format_], headers=headers)


def masked(order: Order) -> Order:
    """The order without what names a person: the place stays, since it says where it goes."""
    changes: dict[str, Any] = {"buyer": Buyer(buyer_id=order.buyer.buyer_id)}
    if (address := order.ship_address) is not None:
        changes["ship_address"] = Address(
            name=MASK,
            address_line_1=MASK,
            city=address.city,
            country_code=address.country_code,
        )
    return order.model_copy(update=changes)


def _orders(index: Index, kind: str) -> list[str]:
    where = {"order": "was_seller = 1", "unshipped": URGENCIES["open"]}
    sql = f"SELECT order_id FROM orders WHERE {where[kind]}"  # noqa: S608
    return [row["order_id"] for row in index.ask(sql)]


async def _read(parts: Parts, order_ids: Iterable[str]) -> AsyncIterator[Order]:
    every = list(order_ids)
    for at in range(0, len(every), READ_AT_A_TIME):
        for view in await parts.views.some(every[at : at + READ_AT_A_TIME]):
            if view is not None and view.order is not None:
                yield view.order


def _again(request: Request, problem: str) -> Response:
    return page(
        request,
        "reports.html",
        formats=list(TableFormat),
        problem=problem,
        status_code=422,
        **_asked(request),
    )


def _asked(request: Request) -> dict[str, Any]:
    return {name: request.query_params.get(name, "") for name in ("since", "until", "seller")}
