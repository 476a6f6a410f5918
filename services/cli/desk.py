"""What a command asks of the dashboard, and says as an operator: the parts that its pages are made
with, read once.
"""

import asyncio
import json
import os
import pwd
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from services.cli.addresses import settings_here
from services.cli.exit_codes import EXIT_FAILED
from services.dashboard.state import View
from services.dashboard.web.app import Opened, opened
from services.dashboard.web.parts import Parts
from shared.events.dashboard import COMMANDS
from shared.spreadsheet import printable

MAX_WIDTH = 240
"""Columns of a table that goes into a file or a pipe: there is no terminal to fit."""

KEPT_OF_PEOPLE = {
    "buyer": ("buyer_id",),
    "ship_address": ("city", "state_or_region", "country_code"),
    "record": ("topic", "partition", "offset", "event_source", "event_id", "until"),
}
"""Members that hold what names people, a parked record as it came too, and what is left of them."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="Its id.")]
T = TypeVar("T")


def at_the_desk(data_dir: Path, do: Callable[[Opened], Awaitable[T]], *, lists: bool = True) -> T:
    """What something done with the dashboard's parts comes to; with its `lists`, where it asks any.

    Raises RefusedStart, and TransientError where Kafka or Redis is away.
    """
    settings = settings_here(data_dir)

    async def done() -> T:
        async with opened(settings) as found:
            if lists:
                await found.parts.follower.look()
            return await do(found)

    return asyncio.run(done())


async def view_of(parts: Parts, order_id: str) -> View:
    """What there is of an order; ends the command where that is nothing."""
    view = await parts.views.view(order_id)
    if view is None or view.kind != "order":
        typer.echo(f"There is no order {printable(order_id)}.", err=True)
        raise typer.Exit(EXIT_FAILED)
    return view


def whoever_this_is() -> str:
    """The source of what is said by a command: who is logged in here."""
    user = os.getuid()
    try:
        return f"{COMMANDS}{pwd.getpwuid(user).pw_name}"
    except KeyError:  # in a container a user may have no name
        return f"{COMMANDS}{user}"


def echo_json(document: object) -> None:
    """One JSON document, in ASCII: nothing in it acts on a terminal."""
    typer.echo(json_text(document, indent=2))


def json_text(document: object, indent: int | None = None) -> str:
    """A document as JSON in ASCII, without the one control character that JSON leaves there."""
    return json.dumps(document, indent=indent).replace("\x7f", "\\u007f")


def without_people(value: Any) -> Any:
    """A JSON value without what names people."""
    match value:
        case dict():
            return {
                name: _some(inner, KEPT_OF_PEOPLE[name])
                if name in KEPT_OF_PEOPLE
                else without_people(inner)
                for name, inner in value.items()
            }
        case list():
            return [without_people(inner) for inner in value]
    return value


def _some(value: Any, kept: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return None
    return {name: value[name] for name in kept if name in value}


def echo_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; what data hold neither acts on a terminal nor marks up a text."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=MAX_WIDTH)
    console.print(table)


@contextmanager
def counted(doing: str, total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """What is done one by one, on a terminal; what is yielded counts one more."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("", total=total)
        yield lambda: progress.advance(bar)
