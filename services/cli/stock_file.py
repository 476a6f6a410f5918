"""A file of what a warehouse has: `seller,sku,quantity`, a row per SKU."""

import csv
from pathlib import Path

import typer
from pydantic import ValidationError

from services.cli import allowed
from shared.events.warehouse import StockAdjusted, StockSet

MAX_ROWS = 100_000
"""Of one file: it is held in memory, with what was acknowledged, below 2 KB each."""

FIELDS = {"seller": "seller_id", "sku": "sku", "quantity": "on_hand"}
"""The columns of a file, and the event's fields that they are."""

_COLUMNS = {field: column for column, field in FIELDS.items()}

_ALLOWED = {
    "seller_id": allowed.SELLER_ID,
    "sku": allowed.SKU,
    "on_hand": allowed.ON_HAND,
    "units": allowed.UNITS,
    "change": allowed.CHANGE,
    "reason": allowed.TEXT,
    "id": allowed.EVENT_ID,
}


def read_counts(file: Path) -> tuple[list[StockSet], dict[int, str]]:
    """The good rows as facts, and by line what is wrong with the others."""
    facts: list[StockSet] = []
    reasons: dict[int, str] = {}
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as text:
        rows = csv.DictReader(text)
        try:
            if missing := [name for name in FIELDS if name not in (rows.fieldnames or ())]:
                raise typer.BadParameter(f"{file} has no column {', '.join(missing)}.")
            for row in rows:
                if len(facts) + len(reasons) == MAX_ROWS:
                    raise typer.BadParameter(f"{file} has more than {MAX_ROWS} rows: split it.")
                if None in row:  # a comma in a name moves what follows it to the next column
                    reasons[rows.line_num] = "more columns than the first line names"
                    continue
                given = {
                    field: row[name] for name, field in FIELDS.items() if row[name] is not None
                }
                try:
                    facts.append(StockSet.model_validate_strings(given))
                except ValidationError as error:
                    reasons[rows.line_num] = reason_of(error)
        except csv.Error as error:
            raise typer.BadParameter(f"{file}:{rows.line_num}: {error}.") from error
    return facts, reasons


def reason_of(error: ValidationError) -> str:
    """Each field that does not fit, by the name that the user knows, and what is allowed there."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    wrong = {str(e["loc"][0]) if e["loc"] else "id": e["type"] == "missing" for e in found}
    return "; ".join(
        f"{_COLUMNS.get(name, name)}: "
        + ("is missing" if missing else f"has to be {_allowed(error.title, name)}")
        for name, missing in wrong.items()
    )


def _allowed(fact: str, field: str) -> str:
    if field == "reason" and fact == StockAdjusted.__name__:
        return allowed.OPTIONAL_TEXT
    return _ALLOWED[field]
