"""What an operator does to an order by `orderflow orders`: the forms of the dashboard's pages.

Each is an event, the same one however often it is said under one id; what came of it is in the
order's timeline.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from services.cli import allowed
from services.cli.addresses import DEFAULT_DATA_DIR, DataDir
from services.cli.desk import (
    AsJson,
    OrderId,
    at_the_desk,
    echo_json,
    view_of,
    whoever_this_is,
    without_people,
)
from services.cli.exit_codes import EXIT_FAILED, EXIT_USAGE
from services.dashboard.actions import (
    ADDRESS,
    CANCEL_REASONS,
    NOTICE_KINDS,
    Read,
    event_id,
    next_reference,
    offered,
    read_form,
)
from services.dashboard.state import View
from services.dashboard.web.app import Opened
from services.dashboard.web.order import notices_told
from services.dashboard.web.parts import Parts
from shared.clock import fresh_token
from shared.events.fields import EventId
from shared.events.fulfillment import Order
from shared.events.topics import TOPIC_OF
from shared.spreadsheet import printable

ActId = Annotated[
    str | None,
    typer.Option("--id", help="The act's id: the same once more changes nothing. Else a new one."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check it, and say nothing.")]
Line = Annotated[str | None, typer.Option(help='By default as it is; "" takes it away.')]
Part = Annotated[str | None, typer.Option(help="By default as it is.")]


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


def cancel(
    order_id: OrderId,
    reason: Annotated[str, typer.Argument(metavar="REASON", help=", ".join(CANCEL_REASONS))],
    id_: ActId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Cancel an Unshipped order for good: the buyer is told, the money goes back (R18)."""
    if reason not in CANCEL_REASONS:
        raise typer.BadParameter(f"REASON: has to be one of {', '.join(CANCEL_REASONS)}.")
    form = {"reason_code": reason}
    _act("cancel", order_id, form, id_, data_dir, dry_run=dry_run, as_json=as_json)


def address(
    order_id: OrderId,
    reason: Annotated[str, typer.Option(help="For the timeline; nobody's name.")],
    name: Part = None,
    address_line_1: Part = None,
    address_line_2: Line = None,
    address_line_3: Line = None,
    city: Part = None,
    state_or_region: Line = None,
    postal_code: Line = None,
    phone: Line = None,
    id_: ActId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Correct where an Unshipped order goes, for the buyer; it stays in its country."""
    typed = {
        "name": name,
        "address_line_1": address_line_1,
        "address_line_2": address_line_2,
        "address_line_3": address_line_3,
        "city": city,
        "state_or_region": state_or_region,
        "postal_code": postal_code,
        "phone": phone,
        "reason": reason,
    }
    form = {field: text for field, text in typed.items() if text is not None}
    _act("address", order_id, form, id_, data_dir, dry_run=dry_run, as_json=as_json)


def resend_notice(
    order_id: OrderId,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(NOTICE_KINDS))],
    occurrence: Annotated[
        int | None, typer.Option(min=1, help="Which of its kind; by default the last one.")
    ] = None,
    id_: ActId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Send a notice again, to whom it was sent, with what holds now (P4)."""
    if kind not in NOTICE_KINDS:
        raise typer.BadParameter(f"KIND: has to be one of {', '.join(NOTICE_KINDS)}.")
    form = {"notice": kind if occurrence is None else f"{kind}:{occurrence}"}
    _act("notice", order_id, form, id_, data_dir, dry_run=dry_run, as_json=as_json)


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
        view = await view_of(parts, order_id)
        order = view.order
        if order is None or act not in offered(order, parts.now):
            status = "unknown" if order is None else order.status
            typer.echo(f"{order_id} is {status}: that is not possible now.", err=True)
            raise typer.Exit(EXIT_FAILED)
        calendar = parts.policies.of(order.marketplace_id).calendar
        read = read_form(act, order, _complete(act, view, order, form, parts), calendar.time_zone)
        if read.fact is None:
            return read, ""
        event = event_id(key, order_id, read.fact)
        if not dry_run:
            await parts.desk.say(
                TOPIC_OF[type(read.fact)],
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
        data = without_people(read.fact.model_dump(mode="json"))
        said = {"type": read.fact.TYPE, "id": event, "data": data}
        echo_json({"order_id": order_id, "dry_run": dry_run, **said})
        return
    verb, topic = "would say" if dry_run else "said", TOPIC_OF[type(read.fact)].name
    typer.echo(f"{verb} {read.fact.TYPE} {order_id}: topic {topic}, id {event}")


def _complete(
    act: str, view: View, order: Order, form: Mapping[str, str], parts: Parts
) -> dict[str, str]:
    """A form with what a page has filled in already."""
    match act:
        case "confirm":
            return {**_whole_package(order, form, parts), **form}
        case "address" if order.ship_address is not None:
            return {**{name: getattr(order.ship_address, name) for name in ADDRESS}, **form}
        case "notice" if ":" not in form["notice"]:
            return {"notice": _last_told(view, form["notice"])}
    return dict(form)


def _whole_package(order: Order, form: Mapping[str, str], parts: Parts) -> dict[str, str]:
    """The next package, of today, with all that is open where the form names no units."""
    calendar = parts.policies.of(order.marketplace_id).calendar
    filled = {
        "package_reference_id": next_reference(order),
        "ship_date": calendar.local_date(parts.now).isoformat(),
    }
    if not any(name.startswith("quantity:") for name in form):
        for line in order.items:
            filled[f"quantity:{line.order_item_id}"] = str(line.quantity_open)
    return filled


def _last_told(view: View, kind: str) -> str:
    """The last notice of a kind, as the form names it; ends the command where there is none."""
    told = {each.kind: each.occurrence for each in notices_told(view.timeline)}
    if kind not in told:
        sent = ", ".join(sorted(told)) or "none"
        typer.echo(f"KIND {kind}: no such notice was sent. Sent were: {sent}.", err=True)
        raise typer.Exit(EXIT_FAILED)
    return f"{kind}:{told[kind]}"
