"""`orderflow deadletters`: look at dead letters, replay them, discard them.

The functions are those of the dashboard's pages; what is done is told on `dashboard.events`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir
from services.cli.desk import (
    AsJson,
    at_the_desk,
    counted,
    echo_json,
    echo_table,
    json_text,
    whoever_this_is,
)
from services.cli.exit_codes import EXIT_FAILED
from services.dashboard.replaying import MAX_EDIT_BYTES, Examined, as_text, replay_of
from services.dashboard.web.app import Opened
from services.dashboard.web.letters import VERDICTS
from services.dashboard.web.record import hex_lines
from services.dashboard.web.show import instant_exactly
from services.dashboard.web.workbench import (
    STATES,
    Wanted,
    Workbench,
    bench_of,
    find,
    is_open,
)
from shared.events.dashboard import Place, person_of
from shared.events.fields import Text
from shared.spreadsheet import printable

MAX_LETTERS = 20_000
"""Of one command: some ten minutes of it."""

deadletters = typer.Typer(
    help="Look at dead letters, replay and discard them.", no_args_is_help=True
)

Origins = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ORIGIN]...", help="As topic:partition:offset.", show_default=False),
]
Reason = Annotated[str, typer.Option(help="Only those that were kept for this reason.")]
KeptBy = Annotated[str, typer.Option("--service", help="Only those that this service kept.")]
About = Annotated[str, typer.Option("--text", help="Only those with this in key or origin.")]
All = Annotated[bool, typer.Option("--all", help="All that are open.")]
Apply = Annotated[bool, typer.Option("--apply", help="Do it; without, it is only told.")]


class Outcome(NamedTuple):
    """What came of one letter, or would; `done` where it was."""

    origin: str
    verdict: str
    detail: str
    done: bool = False
    copy_at: str = ""


@deadletters.command("list")
def list_(
    reason: Reason = "",
    service: KeptBy = "",
    text: About = "",
    state: Annotated[str, typer.Option(help=f"{', '.join(STATES)}, or any.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LETTERS, help="At most so many.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List dead letters, the newest first."""
    if state not in (*STATES, "any"):
        raise typer.BadParameter(f"--state: has to be one of {', '.join(STATES)}, any.")
    wanted = Wanted(reason, service, "" if state == "any" else state, text)

    async def listed(found: Opened) -> list[Any]:
        return find(found.parts.index, wanted, limit)

    rows = at_the_desk(data_dir, listed)
    if as_json:
        echo_json([row._asdict() for row in rows])
        return
    columns = ("origin", "kept", "reason", "field", "service", "about", "state")
    echo_table(
        columns,
        (
            (r.origin, instant_exactly(r.kept_ms), r.reason, r.field, r.service, r.subject, r.state)
            for r in rows
        ),
    )


@deadletters.command()
def show(
    origin: Annotated[str, typer.Argument(help="As topic:partition:offset.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="With key, value and headers, which may name people.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one: why it was kept, what was done with it, what a replay would come to."""
    (origin,) = _checked([origin])

    async def look(found: Opened) -> Examined | None:
        return await bench_of(found.parts).examine(origin)

    examined = at_the_desk(data_dir, look, lists=False)
    if examined is None:
        typer.echo(f"There is no dead letter of {origin}.", err=True)
        raise typer.Exit(EXIT_FAILED)
    document = _document(examined, raw=raw)
    if as_json:
        echo_json(document)
        return
    for name, value in document.items():
        shown = json_text(value, indent=2).splitlines() if name == "json" else value
        for line in shown if isinstance(shown, list) else [shown]:
            typer.echo(f"{name:<10} {printable(str(line))}")


@deadletters.command()
def replay(
    origins: Origins = None,
    reason: Reason = "",
    service: KeptBy = "",
    text: About = "",
    every: All = False,
    edited: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Of one: send a copy with this as value."),
    ] = None,
    apply: Apply = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Send letters again to where they came from; without --apply, say what would come of it.

    What would be a dead letter again, or is known already, is left. The exit code is 1 where one
    can not be replayed, or is not there.
    """
    chosen = _chosen(origins, Wanted(reason, service, "open", text), every=every)
    if edited is not None and (origins is None or len(origins) != 1):
        raise typer.BadParameter("--edited: has to be with one ORIGIN.")
    value = None if edited is None else _content(edited)

    async def do(bench: Workbench, origin: str) -> Outcome:
        examined = await bench.examine(origin)
        if examined is not None and value is not None:
            came = as_text(examined.kept)
            if came is None or not is_open(examined):
                return Outcome(origin, "impossible", "it can not be edited, or is not open")
            examined = await bench.examine(origin, came._replace(value=value))
        if examined is None:
            return Outcome(origin, "gone", "there is no such dead letter")
        outlook = examined.outlook
        outcome = Outcome(origin, outlook.verdict, outlook.detail)
        if not (apply and outlook.sends):
            return outcome
        copy_at = await bench.replay(examined, whoever_this_is(), edited=value is not None)
        return outcome._replace(done=True, copy_at=copy_at)

    outcomes = _each("Replaying" if apply else "Looking", chosen, do, data_dir, quiet=as_json)
    _tell(outcomes, applied=apply, as_json=as_json, verb="replayed")
    if any(each.verdict in {"unread", "impossible", "gone"} for each in outcomes):
        raise typer.Exit(EXIT_FAILED)


@deadletters.command()
def discard(
    because: Annotated[str, typer.Option(help="Why, in one line.")],
    origins: Origins = None,
    reason: Reason = "",
    service: KeptBy = "",
    text: About = "",
    every: All = False,
    apply: Apply = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say that letters are to lead to nothing; without --apply, say of which that would be said.

    They stay in Kafka. The exit code is 1 where one is not open, or is not there.
    """
    try:
        TypeAdapter(Text).validate_python(because)
    except ValidationError:
        raise typer.BadParameter("--because: has to be 1 to 200 characters in one line.") from None
    chosen = _chosen(origins, Wanted(reason, service, "open", text), every=every)

    async def do(bench: Workbench, origin: str) -> Outcome:
        examined = await bench.examine(origin)
        if examined is None:
            return Outcome(origin, "gone", "there is no such dead letter")
        if not is_open(examined):
            return Outcome(origin, "closed", f"it was {examined.view.handled[-1].what}")
        if apply:
            await bench.discard(examined, because, whoever_this_is())
        return Outcome(origin, "discarded", because, done=apply)

    outcomes = _each("Discarding" if apply else "Looking", chosen, do, data_dir, quiet=as_json)
    _tell(outcomes, applied=apply, as_json=as_json, verb="discarded")
    if any(each.verdict != "discarded" for each in outcomes):
        raise typer.Exit(EXIT_FAILED)


def _chosen(
    origins: Sequence[str] | None, wanted: Wanted, *, every: bool
) -> Sequence[str] | Wanted:
    filtered = any((wanted.reason, wanted.service, wanted.text))
    if sum((bool(origins), filtered, every)) != 1:
        raise typer.BadParameter(
            "Give ORIGINs, or --reason, --service and --text, or --all: one of these."
        )
    return wanted if origins is None or not origins else _checked(origins)


def _checked(origins: Sequence[str]) -> Sequence[str]:
    for origin in origins:
        try:
            TypeAdapter(Place).validate_python(origin)
        except ValidationError:
            raise typer.BadParameter(
                f"ORIGIN {printable(origin)}: has to be topic:partition:offset."
            ) from None
    return origins


def _content(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(MAX_EDIT_BYTES + 1)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise typer.BadParameter(f"--edited {file}: has to be UTF-8.") from None


def _each(
    doing: str,
    chosen: Sequence[str] | Wanted,
    do: Callable[[Workbench, str], Any],
    data_dir: Path,
    *,
    quiet: bool,
) -> list[Outcome]:
    """Do something with each letter, one after the other."""

    async def done(found: Opened) -> list[Outcome]:
        bench, origins = bench_of(found.parts), chosen
        if isinstance(origins, Wanted):
            origins = [row.origin for row in find(found.parts.index, origins, MAX_LETTERS)]
        outcomes = []
        with counted(doing, len(origins), quiet=quiet) as one_more:
            for origin in origins:
                outcomes.append(await do(bench, origin))
                one_more()
        return outcomes

    return at_the_desk(data_dir, done, lists=isinstance(chosen, Wanted))


def _tell(outcomes: Sequence[Outcome], *, applied: bool, as_json: bool, verb: str) -> None:
    if as_json:
        echo_json({"applied": applied, "letters": [each._asdict() for each in outcomes]})
        return
    echo_table(
        ("origin", "outcome", "why", "copy"),
        (
            (
                each.origin,
                verb if each.done else VERDICTS.get(each.verdict, each.verdict),  # type: ignore[call-overload]
                each.detail,
                each.copy_at,
            )
            for each in outcomes
        ),
    )
    done = sum(each.done for each in outcomes)
    typer.echo(f"{verb} {done} of {len(outcomes)}" if applied else "Nothing was done: --apply does")


def _document(examined: Examined, *, raw: bool) -> dict[str, Any]:
    kept, outlook = examined.kept, examined.outlook
    document: dict[str, Any] = {
        "origin": kept.origin,
        "reason": kept.reason,
        "field": kept.field,
        "detail": kept.detail,
        "service": kept.service,
        "key": (kept.key or b"").decode(errors="backslashreplace"),
        "bytes": len(kept.value or b""),
        "replay_of": replay_of(kept),
        "handled": [_handled(each) for each in examined.view.handled],
        "replay": f"{VERDICTS[outlook.verdict]}: {outlook.detail}",
    }
    if raw:
        value = kept.value or b""
        document["headers"] = [
            f"{name.encode(errors='backslashreplace').decode()}: "
            + (v or b"").decode(errors="backslashreplace")
            for name, v in kept.headers
        ]
        document["text"] = value.decode(errors="backslashreplace")
        document["json"] = _as_json(value)
        document["hex"] = hex_lines(value)
    return document


def _handled(each: Any) -> str:
    where = f", to {each.copy_at}" if each.copy_at else ""
    why = f": {each.reason}" if each.reason else ""
    return f"{instant_exactly(each.time_ms)} {each.what} by {person_of(each.source)}{where}{why}"


def _as_json(value: bytes) -> Any:
    try:
        return from_json(value)
    except ValueError:
        return None
