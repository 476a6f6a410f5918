"""`orderflow whatif FILE.csv --policy A.yaml --policy B.yaml`: the command."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.cli.exit_codes import EXIT_USAGE
from services.cli.history_file import OLIST, read_orders
from services.cli.stock_file import read_counts
from services.cli.whatif.figures import Figures, figures
from services.cli.whatif.page import page
from services.simulator.comparison import NamedPolicy, compare, prepare
from services.simulator.history import PastOrder, read_mapping
from services.simulator.retold import SELLER, sku_of
from shared.policy import read_policy

_console = Console(stderr=True)

MAX_STRANGERS_SHOWN = 10
"""SKUs that are named in one line: more have the same cause as a rule."""


class Form(StrEnum):
    """What is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def whatif(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A CSV file, one row per order.")
    ],
    policy: Annotated[list[Path], typer.Option(exists=True, dir_okay=False, help="A policy file.")],
    mapping: Annotated[Path, typer.Option(help="Which column is what.")] = OLIST,
    stock: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="seller,sku,quantity; else unlimited."),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="What is printed.")] = Form.TABLE,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots here, too.")] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="How many processes decide; the result is the same.")
    ] = 2,
) -> None:
    """Say what a history would have come to under each policy, side by side.

    The services' own decisions, in virtual time, without Kafka and Redis. A stock file's seller
    is HISTORY.
    """
    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        raise typer.BadParameter(f"--html {html}: has to be a file in a directory that is there.")
    if jobs > 1:
        prepare()
    mapped = read_mapping(mapping)
    policies = [NamedPolicy(path.stem, read_policy(path)) for path in policy]
    history, _ = read_orders(file, mapped, _console)
    on_hand = _on_hand(stock)
    _name_strangers(stock, on_hand or {}, history)
    with _console.status(", ".join(named.name for named in policies) + " …"):
        results = list(compare(policies, history, mapped, on_hand, jobs=jobs))
    found = figures(results)
    _print(form, found)
    if html is not None:
        _write(html, page(file.name, found, results))


def _write(html: Path, text: str) -> None:
    try:
        html.write_text(text, encoding="utf-8")
    except OSError as failed:
        raise typer.BadParameter(f"--html {html}: {failed.strerror}.") from failed


def _on_hand(stock: Path | None) -> dict[tuple[str, str], int] | None:
    if stock is None:
        return None
    facts, reasons = read_counts(stock)
    for line, reason in reasons.items():
        typer.echo(f"{stock}:{line}: {reason}", err=True)
    others = sorted({fact.seller_id for fact in facts} - {SELLER})
    if others:
        named = f"{stock}: seller {others[0]}: each row has to be of the seller {SELLER}"
        typer.echo(named, err=True)
    if reasons or others:
        raise typer.Exit(EXIT_USAGE)
    return {(fact.seller_id, fact.sku): fact.on_hand for fact in facts}


def _name_strangers(
    stock: Path | None, on_hand: Mapping[tuple[str, str], int], history: Iterable[PastOrder]
) -> None:
    """Stock that no order of the history asks for is most often a SKU that is written otherwise."""
    asked = {sku_of(order) for order in history}
    strangers = sorted(sku for _, sku in on_hand if sku not in asked)
    if strangers:
        named = ", ".join(strangers[:MAX_STRANGERS_SHOWN])
        more = " …" if len(strangers) > MAX_STRANGERS_SHOWN else ""
        typer.echo(f"{stock}: no order of the history is of {named}{more}", err=True)


def _print(form: Form, found: Figures) -> None:
    if form is Form.JSON:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    elif form is Form.CSV:
        writer = csv.writer(sys.stdout)
        writer.writerow(("figure", *found.policies))
        writer.writerows((figure, *values) for figure, values in found.rows)
    else:
        Console().print(_table(found))


def _table(found: Figures) -> Table:
    table = Table(title=f"{found.orders} orders")
    table.add_column("")
    for name in found.policies:
        table.add_column(name, justify="right")
    for figure, values in found.rows:
        table.add_row(figure, *_shown(values))
    return table


def _shown(values: Sequence[float]) -> list[str]:
    return [f"{value:,}" for value in values]
