"""`orderflow report`: the files that sellers work by, from orders as they are now (R20, R21)."""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from services.cli.business_time import business_now
from services.cli.snapshots import latest_orders
from shared.errors import RefusedStart
from shared.kafka import Servers, servers_of
from shared.policy import Policies
from shared.reports import ORDER_REPORT, UNSHIPPED_REPORT, Asked, Line, Moment, Report, rows
from shared.spreadsheet import TableFormat, printable, table_lines

MAX_ROWS = 200_000
"""Of one report: they are sorted in memory, below 3 KB each."""

ONE_DAY = timedelta(days=1)

report = typer.Typer(help="Write the reports that sellers work by.", no_args_is_help=True)


class Split(StrEnum):
    """By what a report can be split."""

    TRAFFIC_SOURCE = "traffic-source"


Since = Annotated[
    str | None,
    typer.Option("--from", help="A day of the marketplace, 2026-03-11; or a time with offset."),
]
Until = Annotated[
    str | None, typer.Option("--to", help="The last day, included; or a time, excluded.")
]
Seller = Annotated[str | None, typer.Option(help="Only this seller's orders.")]
Marketplace = Annotated[str | None, typer.Option(help="Only this marketplace's orders.")]
Format = Annotated[TableFormat, typer.Option("--format", help="How the rows are written.")]
Out = Annotated[
    Path | None, typer.Option(dir_okay=False, help="The file to write; by default the output.")
]
By = Annotated[
    Split | None, typer.Option("--by", help="Keep the rows of each source together, named.")
]


def _with(report_: Report) -> Any:
    """The option that adds columns to a report."""
    return typer.Option("--with", help=f"A further column: {', '.join(report_.optional)}.")


@report.command()
def order(
    since: Since = None,
    until: Until = None,
    seller: Seller = None,
    marketplace: Marketplace = None,
    format_: Format = TableFormat.TSV,
    out: Out = None,
    by: By = None,
    columns: Annotated[list[str] | None, _with(ORDER_REPORT)] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Orders that left Pending within a time, a row per order item, the oldest first."""
    first, last = _moment("--from", since), _moment("--to", until)
    if first is not None and last is not None and _is_reversed(first, last):
        raise typer.BadParameter(
            f"--from {since} and --to {until}: nothing lies between; --from has to be the earlier."
        )
    given = {
        "since": first,
        "until": last,
        "seller_id": seller,
        "marketplace_id": marketplace,
        "by_traffic_source": by is not None,
    }
    _report(ORDER_REPORT, given, columns, format_, out, data_dir)


@report.command()
def unshipped(
    seller: Seller = None,
    marketplace: Marketplace = None,
    format_: Format = TableFormat.TSV,
    out: Out = None,
    by: By = None,
    columns: Annotated[list[str] | None, _with(UNSHIPPED_REPORT)] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """What is to be shipped now, a row per order item with open units, the most urgent first."""
    given = {
        "seller_id": seller,
        "marketplace_id": marketplace,
        "by_traffic_source": by is not None,
    }
    _report(UNSHIPPED_REPORT, given, columns, format_, out, data_dir)


def _report(
    report_: Report,
    given: Mapping[str, Any],
    columns: Sequence[str] | None,
    format_: TableFormat,
    out: Path | None,
    data_dir: Path,
) -> None:
    """Write a report, to a file as a whole or not at all, and say how long it is."""
    if unknown := sorted(set(columns or ()) - report_.optional.keys()):
        allowed = ", ".join(report_.optional)
        raise typer.BadParameter(f"--with {printable(unknown[0])}: has to be one of {allowed}.")
    settings = settings_here(data_dir)
    policies = Policies.load(settings.policies_dir)
    now = asyncio.run(business_now(settings))
    asked = Asked(at=now, policies=policies, columns=tuple(columns or ()), **given)
    lines = asyncio.run(_lines(report_, asked, servers_of(settings)))
    with written(out) as file:
        file.writelines(table_lines(format_, report_.column_names(asked), rows(lines)))
    orders = len({line.rank for line in lines})
    told = f"{_count(len(lines), 'row')} of {_count(orders, 'order')}"
    typer.echo(f"{report_.name} report: {told}", err=True)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


async def _lines(report_: Report, asked: Asked, servers: Servers) -> list[Line]:
    """The report's lines; BadParameter for a marketplace that has neither a policy nor an order."""
    lines: list[Line] = []
    marketplaces = {*asked.policies.by_marketplace}
    async for order_ in latest_orders(servers):
        marketplaces.add(order_.marketplace_id)
        lines += report_.lines(order_, asked)
        if len(lines) > MAX_ROWS:
            raise RefusedStart(
                f"The report has more than {MAX_ROWS} rows",
                "Ask for less: --seller, --marketplace, --from and --to",
            )
    if asked.marketplace_id is not None and asked.marketplace_id not in marketplaces:
        allowed = ", ".join(sorted(marketplaces)) or "those that orders have, and none has one"
        unknown = printable(asked.marketplace_id)
        raise typer.BadParameter(f"--marketplace {unknown}: has to be one of {allowed}.")
    return lines


@contextmanager
def written(out: Path | None) -> Iterator[TextIO]:
    """The output, or a file that has its name once it is complete."""
    if out is None:
        yield sys.stdout
        return
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            yield file
        unfinished.replace(out)
    except OSError as failed:
        unfinished.unlink(missing_ok=True)
        raise typer.BadParameter(f"--out {out}: {failed.strerror}.") from failed


def _moment(option: str, text: str | None) -> Moment | None:
    """A day, or an instant with its offset: a time without one could be anybody's."""
    if text is None:
        return None
    for read in (date.fromisoformat, datetime.fromisoformat):
        with suppress(ValueError):
            moment = read(text)
            if not isinstance(moment, datetime) or moment.tzinfo:
                return moment
    raise typer.BadParameter(
        f"{option}: has to be a day such as 2026-03-11, or a time such as 2026-03-11T09:30:00Z."
    )


def _is_reversed(since: Moment, until: Moment) -> bool:
    """Whether nothing can lie between: a day begins up to 14 hours earlier or later elsewhere."""
    if isinstance(since, datetime) and isinstance(until, datetime):
        return since >= until
    somewhere = timedelta() if type(since) is type(until) else ONE_DAY
    return _day(since) > _day(until) + somewhere


def _day(moment: Moment) -> date:
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment
