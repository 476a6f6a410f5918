"""`orderflow export`: orders as they are, or facts as they were told, as JSON lines."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import from_json

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from services.cli.desk import counted, json_text, without_people
from services.cli.orders import order_document
from services.cli.report import written
from services.cli.snapshots import latest_orders
from shared.events.topics import PUBLISHED, TOPICS
from shared.kafka import Servers, checked_partitions, servers_of
from shared.log_reader import open_reader

TOPIC_NAMES = [topic.name for topic in TOPICS]

export = typer.Typer(help="Write orders or facts as JSON lines.", no_args_is_help=True)

Out = Annotated[
    Path | None, typer.Option(dir_okay=False, help="The file to write; by default the output.")
]
Personal = Annotated[
    bool, typer.Option("--personal", help="With names and addresses of buyers; else without.")
]


@export.command("orders")
def orders_(
    out: Out = None, personal: Personal = False, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Each order as it is now, one a line."""
    servers = servers_of(settings_here(data_dir))

    async def lines() -> AsyncGenerator[Any]:
        async for order in latest_orders(servers):
            yield order_document(order, personal=personal)

    _write(lines(), out)


@export.command()
def facts(
    topic: Annotated[
        list[str] | None, typer.Option(help="Only of this one; by default all of our services'.")
    ] = None,
    out: Out = None,
    personal: Personal = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Each event of the topics with where it lies, one a line, partition by partition."""
    names = topic or [each.name for each in PUBLISHED]
    if unknown := sorted(set(names) - set(TOPIC_NAMES)):
        raise typer.BadParameter(
            f"--topic {unknown[0]!r}: has to be one of {', '.join(TOPIC_NAMES)}."
        )
    _write(_facts(servers_of(settings_here(data_dir)), names, personal=personal), out)


async def _facts(servers: Servers, names: list[str], *, personal: bool) -> AsyncGenerator[Any]:
    partitions = await checked_partitions(servers, names)
    async with open_reader(servers, partitions) as reader:
        ends = await reader.ends(names)
        with counted("Exporting partitions", partitions, quiet=False) as one_more:
            for partition in range(partitions):
                async for record in reader.records(names, partition, ends):
                    try:
                        event = from_json(record.value or b"")
                    except ValueError:
                        continue  # no event: a dead letter has it as it came
                    yield {
                        "topic": record.topic,
                        "partition": partition,
                        "offset": record.offset,
                        "event": event if personal else without_people(event),
                    }
                one_more()


def _write(lines: AsyncGenerator[Any], out: Path | None) -> None:
    """Write the lines, to a file as a whole or not at all, and say how many they are."""

    async def write() -> int:
        n = 0
        async with aclosing(lines):
            with written(out) as file:
                async for document in lines:
                    file.write(json_text(document) + "\n")
                    n += 1
        return n

    typer.echo(f"exported {asyncio.run(write())}", err=True)
