"""`orderflow orders`: what orders are and were; what an operator does to one is in `order_acts.py`.

Lists and timelines are those of the dashboard's pages.
"""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir
from services.cli.desk import (
    AsJson,
    OrderId,
    at_the_desk,
    echo_json,
    echo_table,
    json_text,
    view_of,
)
from services.cli.order_acts import address, cancel, resend_notice, ship
from services.dashboard.state import View
from services.dashboard.web.app import Opened
from services.dashboard.web.filters import SORTS, SOURCES, STATUSES, URGENCIES, Filter
from services.dashboard.web.order import TimelineLine, is_hidden, people, timeline, waiting
from services.dashboard.web.orders import Listed, list_orders
from services.dashboard.web.parts import Parts
from services.dashboard.web.reports import masked
from services.dashboard.web.show import instant_exactly
from shared.decode import partition_of
from shared.events.fulfillment import Order
from shared.spreadsheet import printable

LOOK_EVERY_S = 0.5
"""Between two looks at an order that is followed."""

NOT_THE_SELLERS = {
    "ship_address": True,
    "order_total": True,
    "items": {"__all__": {"item_price", "item_tax", "shipping_price", "shipping_tax"}},
}
"""Of an order that has not left Pending (R3)."""

orders = typer.Typer(help="Look at orders, and do what operators do.", no_args_is_help=True)
Personal = Annotated[
    bool, typer.Option("--personal", help="With names and addresses, once they are the seller's.")
]


@orders.command("list")
def list_(
    status: Annotated[str, typer.Option(help=", ".join(STATUSES))] = "",
    urgency: Annotated[str, typer.Option(help=", ".join(URGENCIES))] = "",
    sku: Annotated[str, typer.Option(help="With this SKU.")] = "",
    source: Annotated[str, typer.Option(help=", ".join(SOURCES))] = "",
    seller: Annotated[str, typer.Option(help="Of this seller.")] = "",
    since: Annotated[str, typer.Option("--from", help="Bought on this day (UTC) or later.")] = "",
    until: Annotated[str, typer.Option("--to", help="Bought on this day (UTC) or before.")] = "",
    text: Annotated[str, typer.Option(help="In an id, SKU, title or tracking number.")] = "",
    sort: Annotated[str, typer.Option(help=", ".join(SORTS))] = "",
    page: Annotated[int, typer.Option(min=1, help="Of 50 orders each.")] = 1,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List orders as Manage Orders does, a page at a time."""
    filter_ = Filter.read(
        {
            "status": status, "urgency": urgency, "sku": sku, "source": source, "seller": seller,
            "since": since, "until": until, "text": text, "sort": sort, "page": str(page),
        }
    )  # fmt: skip
    for problem in filter_.problems:
        option = {"since": "from", "until": "to"}.get(problem.name, problem.name)
        raise typer.BadParameter(f"--{option}: has to be one of {problem.allowed}.")

    async def listed(found: Opened) -> Listed:
        parts = found.parts
        return list_orders(parts.index, filter_, parts.clock.now_ms(), parts.today_ms())

    found = at_the_desk(data_dir, listed)
    if as_json:
        echo_json({"total": found.total, "orders": [each._asdict() for each in found.lines]})
        return
    echo_table(
        ("order", "status", "bought", "ship by", "units", "total", "marks"),
        (
            (
                each.order_id,
                each.status,
                instant_exactly(each.purchase_ms),
                instant_exactly(each.ship_by_ms) if each.ship_by_ms else "",
                each.units,
                each.total,
                ", ".join(each.marks),
            )
            for each in found.lines
        ),
    )
    typer.echo(f"{len(found.lines)} of {found.total} orders")


@orders.command()
def show(
    order_id: OrderId,
    personal: Personal = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show an order: what it is, what it waits for, and its whole timeline."""

    async def look(found: Opened) -> tuple[View, list[TimelineLine]]:
        view = await view_of(found.parts, order_id)
        return view, _timeline(found.parts, order_id, view)

    view, lines = at_the_desk(data_dir, look, lists=False)
    if as_json:
        document = {
            "order": order_document(view.order, personal=personal) if view.order else None,
            "waits_for": [each._asdict() for each in waiting(view)],
            "timeline": [each._asdict() for each in lines],
        }
        echo_json(document)
        return
    if order := view.order:
        typer.echo(f"{order.order_id}  {order.status}  seller {order.seller_id}")
        for line in order.items:
            counts = f"{line.quantity} ordered, {line.quantity_open} open"
            typer.echo(printable(f"  {line.sku}  {counts}, {line.quantity_shipped} shipped"))
        for name, texts in people(order, masked=not personal).items():
            typer.echo(printable(f"  {name}: {', '.join(texts)}"))
    for wait in waiting(view):
        typer.echo(f"  {wait.name}: {instant_exactly(wait.due_ms)}, {wait.by}")
    for each in lines:
        typer.echo(_told(each))


@orders.command()
def follow(
    order_id: OrderId,
    until: Annotated[
        str | None, typer.Option(help=f"End once it is {', '.join(STATUSES)}.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Tell an order's timeline as it happens, until Ctrl-C; with --json, a document a line."""
    if until is not None and until not in STATUSES:
        raise typer.BadParameter(f"--until: has to be one of {', '.join(STATUSES)}.")

    async def watch(found: Opened) -> None:
        told: set[tuple[str, int]] = set()
        while True:
            view = await view_of(found.parts, order_id)
            for each in _timeline(found.parts, order_id, view):
                if (place := (each.topic, each.offset)) not in told:
                    told.add(place)
                    typer.echo(json_text(each._asdict()) if as_json else _told(each))
            if view.order is not None and view.order.status == until:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    with suppress(KeyboardInterrupt):
        at_the_desk(data_dir, watch, lists=False)


for act in (ship, cancel, address, resend_notice):
    orders.command()(act)


def _timeline(parts: Parts, order_id: str, view: View) -> list[TimelineLine]:
    partition = partition_of(order_id, parts.views.partitions)
    return timeline(view, partition, geared=parts.clock.timeline.geared)


def _told(line: TimelineLine) -> str:
    by = f", by {line.person}" if line.person else ""
    late = f" ({line.late} late)" if line.late else ""
    where = f"{line.topic}:{line.partition}:{line.offset}"
    return printable(f"{instant_exactly(line.time_ms)}  {line.words}{late}{by}  [{where}]")


def order_document(order: Order, *, personal: bool) -> dict[str, Any]:
    """An order as JSON: without prices and address while they are not the seller's (R3)."""
    hidden = is_hidden(order)
    shown = order if personal and not hidden else masked(order)
    exclude: Any = NOT_THE_SELLERS if hidden else None
    return shown.model_dump(mode="json", exclude=exclude)
