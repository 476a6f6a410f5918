"""Tables as the files that people open in a spreadsheet: tab-separated, CSV; and as JSON.

What a buyer or a seller typed may begin like a formula (`=HYPERLINK(…)` as a name), and would run
where the file is opened. In TSV and CSV such a text gets an apostrophe, which spreadsheets read as
"this is text" (R21); JSON, which nobody runs, has it as it is. Numbers are cells of their own
types and stay numbers, negative ones too. A control character is a blank in all of them: it would
act on a terminal, or break a row.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from io import StringIO
from typing import TypeAlias

Cell: TypeAlias = str | int | Decimal | datetime | None
"""bool is an int here, and `true` or `false` in a file; None is an empty cell."""

Row: TypeAlias = Sequence[Cell]

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""ASCII's and Latin-1's, further line ends, and what turns the direction of reading."""

_STARTS_FORMULA = re.compile(r"""^[\s"]*[=+\-@＝＋－＠]""")  # noqa: RUF001 - full-width runs, too
_NEXT_STARTS_FORMULA = re.compile(r"""(;["\s]*)(?=[=+\-@＝＋－＠])""")  # noqa: RUF001
"""Where a comma is the decimal sign, spreadsheets split a CSV file at semicolons."""


class TableFormat(StrEnum):
    """The forms that a table is written in."""

    TSV = "tsv"
    CSV = "csv"
    JSON = "json"


def table_lines(format_: TableFormat, columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """A table as lines with their ends, the columns' names first; JSON is a list of objects.

    Tab-separated lines have no quotes, as Amazon's have none; CSV is RFC 4180's. Instants are
    ISO 8601 in whole seconds, with their offset.
    """
    return _WRITERS[format_](columns, rows)


def defused(text: str) -> str:
    """A text that no spreadsheet runs as a formula, whatever it splits the file at."""
    text = _NEXT_STARTS_FORMULA.sub(r"\1'", printable(text))
    return f"'{text}" if _STARTS_FORMULA.match(text) else text


def printable(text: str) -> str:
    """A text without what acts on a terminal: blanks in its place."""
    return _CONTROLS.sub(" ", text)


def _tsv(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    yield "\t".join(columns) + "\n"
    for row in rows:
        yield "\t".join(_without_quote(_text(cell)) for cell in row) + "\n"


def _without_quote(text: str) -> str:
    """A quote that begins a cell would swallow what follows up to the next one."""
    return f"'{text}" if text.startswith('"') else text


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    for row in (columns, *rows):
        line = StringIO()
        csv.writer(line).writerow([_text(cell) for cell in row])
        yield line.getvalue()


def _json(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    before = "["
    for row in rows:
        named = dict(zip(columns, map(_json_value, row), strict=True))
        yield f"{before}\n{json.dumps(named, ensure_ascii=False)}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case str():
            return defused(cell)
        case datetime():
            return cell.isoformat(timespec="seconds")
        case Decimal():
            return f"{cell:f}"
    return str(cell)


def _json_value(cell: Cell) -> str | int | float | None:
    match cell:
        case str():
            return printable(cell)
        case datetime():
            return cell.isoformat(timespec="seconds")
        case Decimal():
            return float(cell) if cell.as_tuple().exponent else int(cell)
    return cell


_WRITERS: Mapping[TableFormat, Callable[[Sequence[str], Iterable[Row]], Iterator[str]]] = {
    TableFormat.TSV: _tsv,
    TableFormat.CSV: _csv,
    TableFormat.JSON: _json,
}
