"""Tables as files: no cell runs as a formula, numbers stay numbers, nothing reaches a terminal."""

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest

from shared.spreadsheet import Cell, TableFormat, defused, printable, table_lines

DANGEROUS = [
    ("=1+1", "'=1+1"),
    ("+49 331 555", "'+49 331 555"),
    ("-3", "'-3"),
    ("@SUM(1)", "'@SUM(1)"),
    ("\t=1", "' =1"),
    ("\r=1", "' =1"),
    ("\n=1", "' =1"),
    ("  =1", "'  =1"),
    ("\u00a0=1", "'\u00a0=1"),
    ('"=1"', '\'"=1"'),
    ('" "" =1', '\'" "" =1'),
    ("＝1", "'＝1"),  # noqa: RUF001 - full-width, as Japanese keyboards have it
    ("＠SUM(1)", "'＠SUM(1)"),  # noqa: RUF001
    ('=HYPERLINK("http://x";"y")', '\'=HYPERLINK("http://x";"y")'),
    ("red;=1+1", "red;'=1+1"),
    ('red";"=1+1', 'red";"\'=1+1'),
    ("red;;  -1", "red;;  '-1"),
    ("\0=1", "' =1"),
]
HARMLESS = [
    "",
    "Mirabel",
    "1.7 l",
    "a=b",
    "12-14",
    "a@example.org",
    "'=1",
    "5, -2",
    "a; b",
    '5" red',
]


@pytest.mark.parametrize(("text", "written"), DANGEROUS)
def test_r21_a_cell_that_could_run_as_a_formula_is_defused(text: str, written: str) -> None:
    assert defused(text) == written
    assert defused(written) == written


@pytest.mark.parametrize("text", HARMLESS)
def test_r21_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert defused(text) == text


@pytest.mark.parametrize("text", [text for text, _ in DANGEROUS] + HARMLESS)
@pytest.mark.parametrize("split_at", [",", ";", "\t"])
def test_r21_no_spreadsheet_reads_a_formula_from_csv_whatever_it_splits_at(
    text: str, split_at: str
) -> None:
    lines = table_lines(TableFormat.CSV, ["a", "b"], [[text, "ok"], ["ok", text]])

    for row in list(csv.reader(StringIO("".join(lines)), delimiter=split_at))[1:]:
        assert [cell for cell in row if cell.strip()[:1] in {*"=+-@＝＠"}] == []  # noqa: RUF001


@pytest.mark.parametrize("text", ['"', '"Pony" & Co', *(t for t, _ in DANGEROUS), *HARMLESS])
def test_r21_nor_from_tsv_with_quotes_or_without(text: str) -> None:
    _, line = table_lines(TableFormat.TSV, ["a", "b"], [[text, "ok"]])

    raw = line.removesuffix("\n").split("\t")
    quoted = next(csv.reader([line.removesuffix("\n")], delimiter="\t"))
    assert raw == quoted
    assert raw[0].strip()[:1] not in {*"=+-@＝＠"}  # noqa: RUF001
    assert raw[1:] == ["ok"]


NUMBERS: list[Cell] = [-3, 0, Decimal("119.70"), Decimal("-0.05"), True, False, None]


def test_r21_numbers_stay_numbers() -> None:
    columns = [f"c{n}" for n in range(len(NUMBERS))]

    def written(format_: TableFormat) -> str:
        return "".join(table_lines(format_, columns, [NUMBERS]))

    assert written(TableFormat.TSV).splitlines()[1] == "-3\t0\t119.70\t-0.05\ttrue\tfalse\t"
    assert written(TableFormat.CSV).splitlines()[1] == "-3,0,119.70,-0.05,true,false,"
    (row,) = json.loads(written(TableFormat.JSON))
    assert list(row.values()) == [-3, 0, 119.7, -0.05, True, False, None]


def test_an_instant_is_iso_8601_in_whole_seconds() -> None:
    at = datetime(2026, 3, 11, 9, 41, 7, 999000, UTC)

    assert list(table_lines(TableFormat.TSV, ["at"], [[at]]))[1] == "2026-03-11T09:41:07+00:00\n"


@pytest.mark.parametrize("format_", TableFormat)
def test_r21_a_control_character_is_a_blank_in_every_format(format_: TableFormat) -> None:
    evil = "a\x1b[2Jb\x07c\x7fd\x9be\u2028f\u202eg\u2066h\x85i\0j"

    written = "".join(table_lines(format_, ["name"], [[evil]]))

    assert "a [2Jb c d e f g h i j" in written
    assert [c for c in written if c not in {"\n", "\r"} and printable(c) != c] == []


def test_json_has_texts_as_they_are_and_an_empty_report_is_a_list() -> None:
    written = "".join(table_lines(TableFormat.JSON, ["name", "n"], [["=Müller", 1], ["B", 2]]))

    assert json.loads(written) == [{"name": "=Müller", "n": 1}, {"name": "B", "n": 2}]
    assert json.loads("".join(table_lines(TableFormat.JSON, ["name"], []))) == []


def test_a_csv_cell_may_hold_what_csv_is_made_of() -> None:
    cells = ["comma, quote\" and 'apostrophe'", "plain"]

    lines = table_lines(TableFormat.CSV, ["a", "b"], [cells])

    assert list(csv.reader(lines))[1] == cells
