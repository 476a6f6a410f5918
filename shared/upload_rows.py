"""The lines and cells of a file that somebody uploads, tab-separated, its columns named.

UTF-8 with or without its mark, and the UTF-16 that spreadsheets call Unicode text. What is neither
is refused where it stands: a guess at the encoding would reach people. Cells may be quoted, the
last ones of a line may be missing, and columns that nobody asked for are left alone.
"""

import csv
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from typing import Any, NamedTuple

from shared.errors import OrderflowError

MAX_FILE_BYTES = 16 * 2**20
"""Of a file: MAX_ROWS rows of 320 bytes each, twice what a full one has."""
MAX_ROWS = 50_000
"""Of one file: they are held in memory with what they say, some 3 KB each."""

_NOT_DECODED = re.compile(r"[\udc80-\udcff\ufffd]")
"""What stands for a byte that is no UTF-8, here or where somebody had saved it before."""


class RefusedFile(OrderflowError):
    """Nothing of the file can be used; the message says why, and what it has to be."""


class BadRow(NamedTuple):
    """What is wrong in a line of the file: the column, empty if it is the whole line, and what is
    allowed there.
    """

    line: int
    field: str
    reason: str


class Column(NamedTuple):
    """How a cell is read, what is allowed in it, and whether a file can do without the column."""

    read: Callable[[str], Any]
    allowed: str
    needed: bool = True


class Row(NamedTuple):
    """A line of the file: its cells as they are, and the values of those that are good."""

    line: int
    cells: Mapping[str, str]
    values: dict[str, Any]


class File(NamedTuple):
    """The rows of a file, good ones and bad ones, and what is wrong with the bad ones."""

    rows: Sequence[Row]
    bad: Sequence[BadRow]


def read_rows(content: bytes, columns: Mapping[str, Column]) -> File:
    """The rows below the first line, which names the columns; empty lines are none.

    Raises RefusedFile where there are too many, or a column is missing.
    """
    lines = ((n, text) for n, text in enumerate(_lines(content), 1) if text.strip())
    _, header = next(lines, (0, ""))
    names = _names(header, columns)
    rows: list[Row] = []
    bad: list[BadRow] = []
    for line, text in lines:
        if len(rows) == MAX_ROWS:
            raise RefusedFile(f"has more than {MAX_ROWS} rows: split it")
        found, wrong = _cells(text, names)
        row = Row(line, {name: found.get(name, "") for name in columns}, {})
        says = {name: _take(row, name, column) for name, column in columns.items()}
        if wrong:
            says = {"": wrong}
        bad += [BadRow(line, name, reason) for name, reason in says.items() if reason]
        rows.append(row)
    return File(rows, bad)


def _take(row: Row, name: str, column: Column) -> str:
    """Read the cell of a column; what is wrong with it."""
    cell = row.cells[name]
    if _NOT_DECODED.search(cell):
        return "is no UTF-8: save the file as UTF-8, or as Unicode text"
    try:
        row.values[name] = column.read(cell)
    except ValueError:
        return f"has to be {column.allowed}"
    return ""


def _lines(content: bytes) -> Iterable[str]:
    """The file's lines; a byte that is no UTF-8 is a surrogate in its place."""
    if len(content) > MAX_FILE_BYTES:
        raise RefusedFile(f"has more than {MAX_FILE_BYTES} bytes: split it")
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        text = content.decode("utf-16", errors="replace")
    else:
        text = content.decode("utf-8-sig", errors="surrogateescape")
    return StringIO(text, newline=None)


def _names(header: str, columns: Mapping[str, Column]) -> list[str]:
    try:
        names = [name.lower() for name in _split(header)]
    except csv.Error:
        raise RefusedFile("has a quote that does not end in its first line") from None
    if missing := [n for n, column in columns.items() if column.needed and n not in names]:
        raise RefusedFile(
            f"has no column {', '.join(missing)}: the first line names them, with tabs between"
        )
    if doubled := [name for name, n in Counter(names).items() if name in columns and n > 1]:
        raise RefusedFile(f"has the column {doubled[0]} twice")
    return names


def _cells(line: str, names: Sequence[str]) -> tuple[dict[str, str], str]:
    """The cells of a line by column, and what is wrong with the line as a whole."""
    try:
        found = _split(line)
    except csv.Error:
        return {}, "can not be split into cells: it has a quote that does not end"
    beyond = "has more cells than the first line names" if any(found[len(names) :]) else ""
    return dict(zip(names, found, strict=False)), beyond


def _split(line: str) -> list[str]:
    cells = next(csv.reader([line.rstrip("\n")], delimiter="\t", strict=True), [])
    return [cell.strip() for cell in cells]
