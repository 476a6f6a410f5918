"""`orderflow policy check FILE`: a policy in sentences, or all that is wrong with it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from services.cli.exit_codes import EXIT_USAGE
from services.cli.policy.example import FRIDAY, Step, worked_through
from shared.events.fields import ServiceLevel
from shared.policy import Policy, read_policy
from shared.policy_files import PolicyError
from shared.policy_sentences import sentences
from shared.spreadsheet import printable

COLUMNS = 100
"""Of the lines that are printed: beyond it, sentences are hard to read."""
YEARS = range(2000, 2200)
"""Of an example: the calendars reach some years beyond, for all that follows from it."""

policy = typer.Typer(help="Look at policies.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Policy files.")]
Placed = Annotated[str, typer.Option(help="When the example is placed, by the local clock.")]
Level = Annotated[ServiceLevel, typer.Option(help="The example's service level.")]
Skus = Annotated[list[str] | None, typer.Option("--sku", help="A SKU of the example's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@policy.callback()
def _about() -> None:
    """Look at policies."""


@policy.command()
def check(
    files: Files,
    placed: Placed = FRIDAY,
    level: Level = "Standard",
    sku: Skus = None,
    as_json: AsJson = False,
) -> None:
    """Explain policies in sentences, `*` where one differs from the default, and by an order that
    is worked through; or name every wrong field, and all that contradict each other.

    A file lies over the default.yaml beside it. The exit code is 2 if anything is wrong.
    """
    at = _local(placed)
    documents: list[dict[str, Any]] = []
    for file in files:
        try:
            found = read_policy(file)
        except PolicyError as wrong:
            documents.append(_refused(file, wrong))
        else:
            documents.append(_explained(file, found, worked_through(found, at, level, sku or ())))
    if as_json:
        typer.echo(json.dumps(documents, indent=2))
    else:
        _tell(documents)
    if any(document["findings"] for document in documents):
        raise typer.Exit(EXIT_USAGE)


def _local(text: str) -> datetime:
    with suppress(ValueError):
        placed = datetime.fromisoformat(text)
        if placed.tzinfo is None and placed.year in YEARS:
            return placed
    raise typer.BadParameter(
        f"--placed {printable(text)}: has to be a local time of the years {YEARS.start} to "
        f"{YEARS.stop - 1}, such as {FRIDAY}."
    )


def _refused(file: Path, wrong: PolicyError) -> dict[str, Any]:
    return {
        "file": str(file),
        "findings": [each._asdict() for each in wrong.findings],
        "more_may_follow": wrong.more_may_follow,
    }


def _explained(file: Path, found: Policy, example: Sequence[Step]) -> dict[str, Any]:
    zone = found.calendar.time_zone
    return {
        "file": str(file),
        "findings": [],
        "marketplace_id": found.marketplace_id,
        "time_zone": found.time_zone,
        "says": {heading: [each._asdict() for each in says] for heading, says in sentences(found)},
        "example": [
            {"what": step.what, "at": step.at.astimezone(zone).isoformat()} for step in example
        ],
    }


def _tell(documents: Sequence[dict[str, Any]]) -> None:
    for document in documents:
        for each in document["findings"]:
            where = ": ".join(filter(None, (each["file"], each["field"])))
            said = f"{where} is {each['value']}. Allowed: {each['allowed']}"
            typer.echo(printable(said), err=True)
        if document.get("more_may_follow"):
            typer.echo(
                f"{document['file']}: whether fields contradict each other is not looked at "
                "before each is right by itself.",
                err=True,
            )
        if not document["findings"]:
            typer.echo("\n".join(_lines(document)))


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"{document['file']}: agrees with itself. What differs from the default has a star."
    for heading, says in document["says"].items():
        yield f"\n{heading}"
        for each in says:
            mark = "*" if each["differs"] else " "
            said = printable(f"{each['text']} [{each['field']}]")
            yield from wrap(said, COLUMNS, initial_indent=f"{mark} ", subsequent_indent="    ")
    yield f"\nAn order, worked through (times of {document['time_zone']})"
    for step in document["example"]:
        at = datetime.fromisoformat(step["at"])
        yield f"  {at:%a %d %b %Y %H:%M}  {step['what']}"
    yield ""
