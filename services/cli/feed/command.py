"""`orderflow feed FILE.csv`: the command and what it shows meanwhile."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from services.cli.exit_codes import EXIT_FAILED
from services.cli.feed.facts import Facts
from services.cli.feed.replay import Replay
from services.cli.feed.summary import Summary, summarize, tables
from services.cli.history_file import OLIST, read_orders
from services.cli.observer import observe
from services.cli.producer import Producer
from services.cli.system import System, system, until_signaled
from services.simulator.history import BadRow, Mapped, PastOrder, read_mapping
from shared.errors import RefusedStart
from shared.kafka import servers_of

EMBEDDED_ORDERS = 300
"""The embedded Kafka keeps some 5 MB per partition; an order's facts are about 20 KB."""

_console = Console(stderr=True)


def feed(
    file: Annotated[Path, typer.Argument(help="The history: a CSV file, one row per order.")],
    mapping: Annotated[Path, typer.Option(help="Which column is what.")] = OLIST,
    data_dir: Annotated[Path, typer.Option(help="Of this replay's own Kafka and Redis.")] = Path(
        ".orderflow/feed"
    ),
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Of every topic.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Replay a marketplace's order history through Kafka and all services, in time-lapse.

    The replay drives the business clock, so what comes out does not depend on this machine. The
    exit code is 0 only if the books balance.
    """
    mapped = read_mapping(mapping)
    history, bad = read_orders(file, mapped, _console)
    with (
        until_signaled(),
        system(data_dir, partitions=partitions, wiped=True, say=_console.print) as running,
    ):
        if not running.servers.kafka.real and len(history) > EMBEDDED_ORDERS:
            raise RefusedStart(
                f"{len(history)} orders are more than the embedded Kafka can keep",
                f"Install Java 17 and Maven, name a Kafka, or feed at most {EMBEDDED_ORDERS}",
            )
        summary = asyncio.run(_replay(running, history, mapped, bad))
    if as_json:
        typer.echo(json.dumps(summary.as_dict(), indent=2))
    else:
        Console().print(*tables(summary), sep="\n")
    if not summary.books.balanced:
        raise typer.Exit(EXIT_FAILED)


async def _replay(
    running: System, history: Sequence[PastOrder], mapped: Mapped, bad: Sequence[BadRow]
) -> Summary:
    servers = servers_of(running.settings)
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(observe(running.settings))
        producer = await stack.enter_async_context(Producer(servers, "orderflow/feed"))
        facts = await stack.enter_async_context(Facts.following(servers, observer.reader))
        show = stack.enter_context(_progress(history))
        replay = Replay(history, mapped, producer, facts, observer.rest, observer.clock, show)
        await replay.run()
        books = await observer.audit(producer.acknowledged)
        return summarize(history, bad, facts, books, running)


@contextmanager
def _progress(history: Sequence[PastOrder]) -> Iterator[Callable[[int, datetime], None]]:
    """A bar over what the file says that happened; called with how much did, and the moment."""
    moments = ("purchased", "approved", "carrier", "delivered")
    total = sum(getattr(order, moment) is not None for order in history for moment in moments)
    columns = (
        TextColumn("{task.fields[day]}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task("", total=total, day="")

        def show(produced: int, moment: datetime) -> None:
            bar.update(task, completed=produced, day=f"{moment:%Y-%m-%d}")

        yield show
