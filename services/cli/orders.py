"""`orderflow orders`: what orders are and were, and what an operator does to one.

Lists, timelines and forms are those of the dashboard's pages.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from services.cli import allowed
from services.cli.addresses import DEFAULT_DATA_DIR, DataDir
from services.cli.desk import (
    AsJson,
    at_the_desk,
    echo_json,
    echo_table,
    json_text,
    whoever_this_is,
)
from services.cli.exit_codes import EXIT_FAILED, EXIT_USAGE
from services.dashboard.actions import (
    CANCEL_REASONS,
    Read,
    event_id,
    next_reference,
    offered,
    read_form,
)
from services.dashboard.state import View
from services.dashboard.web.app import Opened
from services.dashboard.web.filters import SORTS, SOURCES, STATUSES, URGENCIES, Filter
from services.dashboard.web.order import TimelineLine, is_hidden, people, timeline, waiting
from services.dashboard.web.orders import Listed, list_orders
from services.dashboard.web.parts import Parts
from services.dashboard.web.reports import masked
from services.dashboard.web.show import instant_exactly
from shared.clock import fresh_token
from shared.decode import partition_of
from shared.events.fields import EventId
from shared.events.fulfillment import Order
from shared.events.seller import SHIPMENTS
from shared.spreadsheet import printable

LOOK_EVERY_S = 0.5
"""Between two looks at an order that is followed."""

NOT_THE_SELLERS = {
    "ship_address": True,
    "order_total": True,
    "items": {"__all__": {"item_price", "item_tax", "shipping_price", "shipping_tax"}},
}
"""Of an order that has not left Pending (R3)."""

orders = typer.Typer(help="Look at orders, and do what sellers do.", no_args_is_help=True)

OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="Its id.")]
Personal = Annotated[
    bool, typer.Option("--personal", help="With names and addresses, once they are the seller's.")
]
ActId = Annotated[
    str | None,
    typer.Option("--id", help="The act's id: the same once more changes nothing. Else a new one."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check it, and say nothing.")]


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
        view = await _view(found.parts, order_id)
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
            view = await _view(found.parts, order_id)
            for each in _timeline(found.parts, order_id, view):
                if (place := (each.topic, each.offset)) not in told:
                    told.add(place)
                    typer.echo(json_text(each._asdict()) if as_json else _told(each))
            if view.order is not None and view.order.status == until:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    with suppress(KeyboardInterrupt):
        at_the_desk(data_dir, watch, lists=False)


@orders.command()
def cancel(
    order_id: OrderId,
    reason: Annotated[str, typer.Argument(help=", ".join(CANCEL_REASONS))],
    id_: ActId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Cancel an Unshipped order for good: the buyer is told, the money goes back (R18)."""
    form = {"reason_code": reason}
    _act("cancel", order_id, form, id_, data_dir, dry_run=dry_run, as_json=as_json)


@orders.command()
def ship(
    order_id: OrderId,
    carrier: Annotated[str, typer.Option(help="The carrier's code, or Other.")],
    tracking: Annotated[str, typer.Option(help="The carrier's number of the package.")],
    carrier_name: Annotated[str, typer.Option(help="Where the code is Other.")] = "",
    package: Annotated[
        str | None, typer.Option(help="Its number: an earlier one's edits that. Else the next.")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", help="The day it was handed over; by default today.")
    ] = None,
    units: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM=N", help="Of an order item; by default all that are open."),
    ] = None,
    id_: ActId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Confirm that a package was shipped (R11)."""
    form = {"carrier_code": carrier, "tracking_number": tracking, "carrier_name": carrier_name}
    form |= {"package_reference_id": package} if package is not None else {}
    form |= {"ship_date": day} if day is not None else {}
    for each in units or ():
        item, equals, number = each.rpartition("=")
        if not equals:
            raise typer.BadParameter(f"--units {printable(each)}: has to be ITEM=N.")
        form[f"quantity:{item}"] = number
    _act("confirm", order_id, form, id_, data_dir, dry_run=dry_run, as_json=as_json)


def _act(
    act: str,
    order_id: str,
    form: Mapping[str, str],
    id_: str | None,
    data_dir: Path,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Say what an operator does to an order, if it may be done; its answer is in the timeline."""
    if id_ is not None:
        try:
            TypeAdapter(EventId).validate_python(id_)
        except ValidationError:
            raise typer.BadParameter(f"--id: has to be {allowed.EVENT_ID}.") from None
    key = fresh_token() if id_ is None else id_

    async def say(found: Opened) -> tuple[Read, str]:
        parts = found.parts
        order = (await _view(parts, order_id)).order
        if order is None or act not in offered(order, parts.now):
            status = "unknown" if order is None else order.status
            typer.echo(f"{order_id} is {status}: that is not possible now.", err=True)
            raise typer.Exit(EXIT_FAILED)
        calendar = parts.policies.of(order.marketplace_id).calendar
        read = read_form(act, order, _complete(act, order, form, parts), calendar.time_zone)
        if read.fact is None:
            return read, ""
        event = event_id(key, order_id, read.fact)
        if not dry_run:
            await parts.desk.say(
                SHIPMENTS,
                read.fact,
                id_=event,
                source=whoever_this_is(),
                subject=order_id,
                time=parts.now,
            )
        return read, event

    read, event = at_the_desk(data_dir, say, lists=False)
    if read.fact is None:
        for field, problem in read.problems.items():
            typer.echo(printable(f"orderflow orders: {field}: {problem}"), err=True)
        raise typer.Exit(EXIT_USAGE)
    if as_json:
        data = read.fact.model_dump(mode="json")
        said = {"type": read.fact.TYPE, "id": event, "data": data}
        echo_json({"order_id": order_id, "dry_run": dry_run, **said})
        return
    verb = "would say" if dry_run else "said"
    typer.echo(f"{verb} {read.fact.TYPE} {order_id}: topic {SHIPMENTS.name}, id {event}")


def _complete(act: str, order: Order, form: Mapping[str, str], parts: Parts) -> dict[str, str]:
    """A form with what a page has filled in already."""
    if act != "confirm":
        return dict(form)
    calendar = parts.policies.of(order.marketplace_id).calendar
    filled = {
        "package_reference_id": next_reference(order),
        "ship_date": calendar.local_date(parts.now).isoformat(),
    }
    if not any(name.startswith("quantity:") for name in form):
        for line in order.items:
            filled[f"quantity:{line.order_item_id}"] = str(line.quantity_open)
    return {**filled, **form}


async def _view(parts: Parts, order_id: str) -> View:
    view = await parts.views.view(order_id)
    if view is None or view.kind != "order":
        typer.echo(f"There is no order {printable(order_id)}.", err=True)
        raise typer.Exit(EXIT_FAILED)
    return view


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
