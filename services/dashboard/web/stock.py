"""Stock: per SKU what is on hand, available and reserved, and whether its changes add up (P1)."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.web.index import Index
from services.dashboard.web.pages import not_found, page, parts_of
from services.dashboard.web.query import choice, text
from shared.decode import partition_of
from shared.events.warehouse import stock_subject

MOST_SHOWN = 200

SHOWS = {
    "all": "1",
    "none": "available <= 0",
    "wrong": "adds_up = 0",
}


async def stock(request: Request) -> Response:
    """The page: all SKUs, those with nothing available, or those that do not add up."""
    index = parts_of(request).index
    show = choice(request.query_params, "show", SHOWS, "all")
    searched = text(request.query_params, "text")
    where, values = _where(show, searched)
    sums = index.one(
        "SELECT count(*) AS n, total(on_hand) AS on_hand, total(available) AS available,"  # noqa: S608
        f" total(reserved) AS reserved, total(adds_up = 0) AS wrong,"
        f" total(adds_up IS NULL) AS unknown FROM stock WHERE {where}",
        **values,
    )
    return page(
        request,
        "stock.html",
        live=("stock",),
        rows=levels(index, show, searched),
        sums=sums,
        show=show,
        text=searched,
        most=MOST_SHOWN,
    )


def levels(index: Index, show: str, text: str) -> Sequence[Any]:
    """The first SKUs of those asked for, those with nothing available first."""
    where, values = _where(show, text)
    return index.ask(
        f"SELECT * FROM stock WHERE {where} ORDER BY available > 0, subject LIMIT :most",  # noqa: S608
        **values,
        most=MOST_SHOWN,
    )


def _where(show: str, text: str) -> tuple[str, dict[str, Any]]:
    where = f"{SHOWS.get(show, '1')} AND instr(lower(subject), :text)"
    return where, {"text": text.lower()}


async def sku(request: Request) -> Response:
    """The page of one SKU: its level, and its last changes with their running sum."""
    parts = parts_of(request)
    subject = stock_subject(request.path_params["seller_id"], request.path_params["sku"])
    view = await parts.views.view(subject)
    if view is None or view.level is None:
        return not_found(request, f"No stock was told of {subject}.")
    return page(
        request,
        "sku.html",
        live=(f"stock {subject}",),
        subject=subject,
        level=view.level,
        partition=partition_of(subject, parts.views.partitions),
        changes=view.level.changes[::-1],
    )
