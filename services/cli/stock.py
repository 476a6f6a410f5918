"""`orderflow stock`: tell the system what a warehouse has, as events on the topic `stock`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from services.cli.business_time import business_now
from services.cli.desk import AsJson, at_the_desk, echo_json, echo_table, whoever_this_is
from services.cli.exit_codes import EXIT_USAGE
from services.cli.producer import Accepted, Producer
from services.cli.stock_file import read_counts, reason_of
from services.dashboard.web.app import Opened
from services.dashboard.web.stock import SHOWS, levels
from shared.events.fields import EventId
from shared.events.warehouse import (
    STOCK,
    StockAdjusted,
    StockDamaged,
    StockFact,
    StockRestocked,
    StockSet,
)
from shared.kafka import servers_of
from shared.settings import Settings

stock = typer.Typer(help="Tell what a warehouse has.", no_args_is_help=True)

_NEGATIVE = {"ignore_unknown_options": True}
"""A change may be negative, and -3 is no option then."""

CommandId = Annotated[
    str | None,
    typer.Option(
        "--id", help="The event's id: the same once more, by you, changes nothing. Else a new one."
    ),
]


@stock.command("list")
def list_(
    text: Annotated[str, typer.Option(help="Only those with this in SELLER/SKU.")] = "",
    show: Annotated[str, typer.Option(help=", ".join(SHOWS))] = "all",
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List what each SKU has, the first 200, those with nothing available first."""
    if show not in SHOWS:
        raise typer.BadParameter(f"--show: has to be one of {', '.join(SHOWS)}.")

    async def look(found: Opened) -> Sequence[Any]:
        return levels(found.parts.index, show, text)

    rows = at_the_desk(data_dir, look)
    columns = ("seller_id", "sku", "on_hand", "available", "reserved")
    if as_json:
        echo_json([{name: row[name] for name in columns} for row in rows])
    else:
        echo_table(
            [name.replace("_", " ") for name in columns],
            ([row[name] for name in columns] for row in rows),
        )


@stock.command("set", context_settings=_NEGATIVE)
def set_(
    seller: Annotated[str | None, typer.Argument()] = None,
    sku: Annotated[str | None, typer.Argument()] = None,
    quantity: Annotated[str | None, typer.Argument()] = None,
    id_: CommandId = None,
    from_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A CSV file: seller,sku,quantity."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say how many units of a SKU were counted, those held for orders included."""
    if from_file is not None and seller is None and id_ is None:
        _set_from(from_file, data_dir)
    elif from_file is None and seller and sku and quantity:
        _tell(StockSet, {"seller_id": seller, "sku": sku, "on_hand": quantity}, id_, data_dir)
    else:
        raise typer.BadParameter("Give SELLER SKU QUANTITY, or --from-file alone.")


@stock.command()
def restock(
    seller: str,
    sku: str,
    units: Annotated[str, typer.Argument(help="Units that came in.")],
    id_: CommandId = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say how many units of a SKU came in from a supplier."""
    fields = {"seller_id": seller, "sku": sku, "units": units}
    _tell(StockRestocked, fields, id_, data_dir)


@stock.command()
def damage(
    seller: str,
    sku: str,
    units: Annotated[str, typer.Argument(help="Units that can not be sold any more.")],
    reason: Annotated[str, typer.Argument(help="What happened to them.")],
    id_: CommandId = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say how many units of a SKU are damaged; refused where orders hold them."""
    fields = {"seller_id": seller, "sku": sku, "units": units, "reason": reason}
    _tell(StockDamaged, fields, id_, data_dir)


@stock.command(context_settings=_NEGATIVE)
def adjust(
    seller: str,
    sku: str,
    change: Annotated[str, typer.Argument(help="Units that came in or, negative, went out.")],
    reason: str = "",
    id_: CommandId = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say how many units of a SKU came in or went out by another way than an order."""
    fields = {"seller_id": seller, "sku": sku, "change": change, "reason": reason}
    _tell(StockAdjusted, fields, id_, data_dir)


def _tell(
    fact_type: type[StockFact], fields: Mapping[str, str], id_: str | None, data_dir: Path
) -> None:
    """Produce one event and print where it lies."""
    try:
        fact = fact_type.model_validate_strings(fields)
        if id_ is not None:
            TypeAdapter(EventId).validate_python(id_)
    except ValidationError as error:
        typer.echo(f"orderflow stock: {reason_of(error)}", err=True)
        raise typer.Exit(EXIT_USAGE) from error
    (event,) = asyncio.run(_produce([fact], settings_here(data_dir), id_))
    typer.echo(
        f"accepted {event.type} {event.subject}: topic {event.topic}, partition "
        f"{event.partition}, offset {event.offset}, id {event.id}"
    )


def _set_from(file: Path, data_dir: Path) -> None:
    """Produce an event for each good row; answer the others by line and reason."""
    facts, reasons = read_counts(file)
    accepted = asyncio.run(_produce(facts, settings_here(data_dir)))
    for line, reason in reasons.items():
        typer.echo(f"{file}:{line}: {reason}", err=True)
    typer.echo(f"accepted {len(accepted)} of {len(facts) + len(reasons)} rows")
    if reasons:
        raise typer.Exit(EXIT_USAGE)


async def _produce(
    facts: Sequence[StockFact], settings: Settings, id_: str | None = None
) -> Sequence[Accepted]:
    """Produce the facts, said now in business time; returns when all are acknowledged."""
    now = await business_now(settings)
    async with Producer(servers_of(settings), whoever_this_is(), [STOCK]) as producer:
        for fact in facts:
            await producer.send(STOCK, fact, subject=fact.about().subject, time=now, id_=id_)
    return producer.acknowledged
