"""`orderflow stock` before it reaches Kafka: what fits no event is answered by field and line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import stock
from services.cli.app import app
from shared.events.fields import MAX_STOCK
from shared.events.warehouse import StockSet

cli = CliRunner(env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["set", "SELLER 11", "LAMP", "7"], ["seller: String should match pattern"]),
        (["set", "SELLER-11", "LAMP ", "7"], ["sku: String should match pattern"]),
        (["set", "SELLER-11", "LAMP", "seven"], ["quantity: Input should be a valid integer"]),
        (["set", "SELLER-11", "LAMP", "-1"], ["quantity: Input should be greater than or equal"]),
        (["set", "SELLER-11", "LAMP", f"{MAX_STOCK + 1}"], ["quantity: Input should be less"]),
        (["set", "?", "LAMP ", "-1"], ["seller: ", "; sku: ", "; quantity: "]),
        (["adjust", "SELLER-11", "LAMP", "1.5"], ["change: Input should be a valid integer"]),
        (["adjust", "SELLER-11", "LAMP", f"{-MAX_STOCK - 1}"], ["change: Input should be greater"]),
        (["adjust", "SELLER-11", "LAMP", "3", "--reason", "a\tb"], ["reason: String should match"]),
        (["restock", "SELLER-11", "LAMP", "0"], ["units: Input should be greater"]),
        (["restock", "SELLER-11", "LAMP", f"{MAX_STOCK + 1}"], ["units: Input should be less"]),
        (["damage", "SELLER-11", "LAMP", "0", "mice"], ["units: Input should be greater"]),
        (["damage", "SELLER-11", "LAMP", "2", ""], ["reason: String should have at least 1"]),
        (["set", "SELLER-11", "LAMP", "7", "--id", "two words"], ["id: String should match"]),
    ],
)
def test_a_field_that_does_not_fit_is_named_as_the_user_knows_it(
    arguments: list[str], named: list[str]
) -> None:
    shown = cli.invoke(app, ["stock", *arguments])

    assert shown.exit_code == 2
    assert shown.stderr.startswith("orderflow stock: ")
    assert [text for text in named if text not in shown.stderr] == []


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

    facts, reasons = stock.read_counts(file)

    assert facts == [
        StockSet(seller_id="SELLER-11", sku="LAMP/RED, 40W", on_hand=7),
        StockSet(seller_id="SELLER-11", sku="SHADE-7", on_hand=10),
    ]
    assert {line: reason.partition(" ")[0] for line, reason in reasons.items()} == {
        4: "quantity:",
        5: "sku:",
        6: "seller:",
        7: "more",
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
    monkeypatch.setattr(stock, "MAX_ROWS", 2)
    file = tmp_path / "stock.csv"
    file.write_text("seller,sku,quantity\nSELLER-11,A,1\nSELLER-11,B,x\n")

    assert len(stock.read_counts(file)[0]) == 1
    file.write_text(file.read_text() + "SELLER-11,C,3\n")
    shown = cli.invoke(app, ["stock", "set", "--from-file", str(file)])

    assert (shown.exit_code, "more than 2 rows" in shown.stderr) == (2, True)
