"""`orderflow upload`: the files that sellers upload, as events on `shipments` (R11, R18)."""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from pydantic import TypeAdapter, ValidationError

from services.cli import allowed
from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from services.cli.business_time import business_now
from services.cli.exit_codes import EXIT_USAGE
from services.cli.producer import Producer
from shared.clock import fresh_token
from shared.events.fields import EventId, SellerId
from shared.events.seller import SHIPMENTS
from shared.kafka import servers_of
from shared.policy import Policies
from shared.policy_files import DEFAULT
from shared.settings import Settings
from shared.spreadsheet import printable
from shared.upload_rows import MAX_FILE_BYTES, RefusedFile
from shared.uploads import Said, Upload, event_id, read_cancel, read_ship_confirm

SOURCE = "orderflow-upload"

upload = typer.Typer(help="Say what a seller's file says.", no_args_is_help=True)

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="Tab-separated, its columns named.")
]
Seller = Annotated[str, typer.Option(help="Whose file it is.")]
UploadId = Annotated[
    str | None,
    typer.Option("--id", help="The upload's id: what is said again under it is no news."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the file, and say nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@upload.command("ship-confirm")
def ship_confirm(
    file: File,
    seller: Seller,
    marketplace: Annotated[
        str | None,
        typer.Option(help="Whose local time ship dates without offset are; by default UTC."),
    ] = None,
    id_: UploadId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Confirm packages: a line per order item, lines of one parcel are one package."""
    settings = settings_here(data_dir)
    read = partial(read_ship_confirm, time_zone=_time_zone(marketplace, settings.policies_dir))
    _upload(file, seller, read, settings, id_, dry_run=dry_run, as_json=as_json)


@upload.command()
def cancel(
    file: File,
    seller: Seller,
    id_: UploadId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Cancel orders, each as a whole, with a reason code."""
    _upload(
        file, seller, read_cancel, settings_here(data_dir), id_, dry_run=dry_run, as_json=as_json
    )


def _upload(
    file: Path,
    seller: str,
    read: Callable[[bytes, str], Upload],
    settings: Settings,
    id_: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Produce an event for all that is good in the file; answer the rest by line and reason."""
    seller_id = _checked(SellerId, seller, "--seller", allowed.SELLER_ID)
    upload_id = fresh_token() if id_ is None else _checked(EventId, id_, "--id", allowed.EVENT_ID)
    try:
        found = read(_content(file), seller_id)
    except RefusedFile as refused:
        raise typer.BadParameter(f"{file} {refused}.") from None
    if not dry_run:
        asyncio.run(_produce(found.said, upload_id, settings))
    if as_json:
        typer.echo(json.dumps(_document(file, found, upload_id, dry_run=dry_run), indent=2))
    else:
        _tell(file, found, dry_run=dry_run)
    if found.bad:
        raise typer.Exit(EXIT_USAGE)


def _time_zone(marketplace: str | None, policies_dir: Path) -> ZoneInfo:
    """A marketplace's own. An order of one that has no policy is under the default; who types one
    here means one that has.
    """
    policies = Policies.load(policies_dir)
    if marketplace is None:
        return ZoneInfo("UTC")
    known = [DEFAULT, *sorted(policies.by_marketplace)]
    if marketplace not in known:
        raise typer.BadParameter(
            f"--marketplace {printable(marketplace)}: has to be one of {', '.join(known)}: those"
            f" with a policy file in {policies_dir}."
        )
    return ZoneInfo(policies.of(marketplace).time_zone)


def _content(file: Path) -> bytes:
    """The file, or as much of it as shows that it is too large."""
    with file.open("rb") as opened:
        return opened.read(MAX_FILE_BYTES + 1)


def _checked(type_: Any, text: str, option: str, what: str) -> str:
    try:
        return str(TypeAdapter(type_).validate_python(text))
    except ValidationError:
        raise typer.BadParameter(f"{option}: has to be {what}.") from None


async def _produce(said: Sequence[Said], upload_id: str, settings: Settings) -> None:
    """Produce the facts, said now in business time; returns when all are acknowledged."""
    now = await business_now(settings)
    async with Producer(servers_of(settings), SOURCE, [SHIPMENTS]) as producer:
        for each in said:
            id_ = event_id(upload_id, each)
            await producer.send(SHIPMENTS, each.fact, subject=each.order_id, time=now, id_=id_)


def _tell(file: Path, found: Upload, *, dry_run: bool) -> None:
    for row in found.bad:
        typer.echo(f"{file}:{row.line}: {': '.join(filter(None, row[1:]))}", err=True)
    good = sum(len(each.lines) for each in found.said)
    verb = "would accept" if dry_run else "accepted"
    typer.echo(f"{verb} {good} of {found.rows} rows, as events: {len(found.said)}")


def _document(file: Path, found: Upload, upload_id: str, *, dry_run: bool) -> dict[str, Any]:
    return {
        "file": str(file),
        "upload_id": upload_id,
        "dry_run": dry_run,
        "rows": found.rows,
        "accepted": [
            {
                "lines": each.lines,
                "order_id": each.order_id,
                "type": each.fact.TYPE,
                "id": event_id(upload_id, each),
                "data": each.fact.model_dump(mode="json", exclude={"seller_id"}),
            }
            for each in found.said
        ],
        "refused": [row._asdict() for row in found.bad],
    }
