"""`orderflow stock` before it reaches Kafka: what fits no event is answered by field and line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import stock_file
from services.cli.app import app
from shared.events.fields import MAX_STOCK
from shared.events.warehouse import StockSet

cli = CliRunner(env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"})

SELLER = "has to be a seller's id: 1 to 64 letters, digits and . _ : -"
SKU = "has to be a SKU: 1 to 40 printable ASCII characters, no blank at the ends"
COUNTED = "has to be a whole number from 0 to 1000000000"
CHANGED = "has to be a whole number from -1000000000 to 1000000000"
MOVED = "has to be a whole number from 1 to 1000000000"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["set", "SELLER 11", "LAMP", "7"], [f"seller: {SELLER}"]),
        (["set", "SELLER-11", "LAMP ", "7"], [f"sku: {SKU}"]),
        (["set", "SELLER-11", "LAMP", "five"], ["quantity: has to be a whole number from 0 to 1"]),
        (["set", "SELLER-11", "LAMP", "1.5"], [f"quantity: {COUNTED}"]),
        (["set", "SELLER-11", "LAMP", "-1"], [f"quantity: {COUNTED}"]),
        (["set", "SELLER-11", "LAMP", f"{MAX_STOCK + 1}"], [f"quantity: {COUNTED}"]),
        (["set", "SELLER-11", "LAMP", "9" * 5_000], [f"quantity: {COUNTED}"]),
        (["set", "?", "LAMP ", "-1"], [f"seller: {SELLER}; sku: {SKU}; quantity: {COUNTED}"]),
        (["adjust", "SELLER-11", "LAMP", "1.5"], [f"change: {CHANGED}"]),
        (["adjust", "SELLER-11", "LAMP", f"{-MAX_STOCK - 1}"], [f"change: {CHANGED}"]),
        (
            ["adjust", "SELLER-11", "LAMP", "3", "--reason", "a\tb"],
            ["reason: has to be at most 200 characters in one line"],
        ),
        (["restock", "SELLER-11", "LAMP", "0"], [f"units: {MOVED}"]),
        (["restock", "SELLER-11", "LAMP", f"{MAX_STOCK + 1}"], [f"units: {MOVED}"]),
        (["damage", "SELLER-11", "LAMP", "0", "mice"], [f"units: {MOVED}"]),
        (
            ["damage", "SELLER-11", "LAMP", "2", ""],
            ["reason: has to be 1 to 200 characters in one line"],
        ),
        (
            ["set", "SELLER-11", "LAMP", "7", "--id", "two words"],
            ["id: has to be an id: 1 to 128 printable ASCII characters, no blank"],
        ),
    ],
)
def test_a_field_that_does_not_fit_is_named_as_the_user_knows_it_with_what_is_allowed(
    arguments: list[str], named: list[str]
) -> None:
    shown = cli.invoke(app, ["stock", *arguments])

    assert shown.exit_code == 2
    assert shown.stderr.startswith("orderflow stock: ")
    assert [text for text in named if text not in shown.stderr] == []
    assert "should" not in shown.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["set"],
        ["set", "SELLER-11", "LAMP"],
        ["set", "SELLER-11", "LAMP", "7", "--from-file", __file__],
        ["set", "--from-file", __file__, "--id", "once"],
        ["set", "--from-file", "/no/such/file.csv"],
        ["adjust", "SELLER-11", "LAMP"],
        ["restock", "SELLER-11", "LAMP"],
        ["restock", "SELLER-11", "LAMP", "-3"],
        ["damage", "SELLER-11", "LAMP", "3"],
    ],
)
def test_too_little_and_too_much_are_usage_errors(arguments: list[str]) -> None:
    shown = cli.invoke(app, ["stock", *arguments])

    assert shown.exit_code == 2
    assert shown.stderr.startswith("Usage: ")


def test_good_rows_become_facts_and_bad_ones_are_told_by_line_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "stock.csv"
    file.write_bytes(
        b"\xef\xbb\xbfquantity,note,sku,seller\n"  # a spreadsheet's mark; columns in any order
        b'7,,"LAMP/RED, 40W",SELLER-11\n'
        b"\n"
        b"x,,SHADE-7,SELLER-11\n"
        b"7,,SHADE\xff7,SELLER-11\n"
        b"8\n"
        b"9,,SHADE-7,SELLER-11,1\n"
        b'10,"two\nlines",SHADE-7,SELLER-11\n'
    )

    facts, reasons = stock_file.read_counts(file)

    assert facts == [
        StockSet(seller_id="SELLER-11", sku="LAMP/RED, 40W", on_hand=7),
        StockSet(seller_id="SELLER-11", sku="SHADE-7", on_hand=10),
    ]
    assert reasons == {
        4: f"quantity: {COUNTED}",
        5: f"sku: {SKU}",
        6: "seller: is missing; sku: is missing",
        7: "more columns than the first line names",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column seller, sku, quantity."),
        ("seller,sku,on_hand\nSELLER-11,LAMP,7\n", "has no column quantity."),
        (f"seller,sku,quantity\n{'x' * 140_000},LAMP,7\n", "field larger than field limit"),
    ],
)
def test_a_file_that_is_no_stock_file_is_refused_as_a_whole(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "stock.csv"
    file.write_text(text)

    shown = cli.invoke(app, ["stock", "set", "--from-file", str(file)])

    assert shown.exit_code == 2
    assert message in shown.stderr


def test_a_file_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_file, "MAX_ROWS", 2)
    file = tmp_path / "stock.csv"
    file.write_text("seller,sku,quantity\nSELLER-11,A,1\nSELLER-11,B,x\n")

    assert len(stock_file.read_counts(file)[0]) == 1
    file.write_text(file.read_text() + "SELLER-11,C,3\n")
    shown = cli.invoke(app, ["stock", "set", "--from-file", str(file)])

    assert (shown.exit_code, "more than 2 rows" in shown.stderr) == (2, True)
