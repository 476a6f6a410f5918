"""`orderflow upload` before it reaches Kafka: what is answered, and how a program reads it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.app import app

cli = CliRunner(env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"})

CONFIRM = (
    "order-id\torder-item-id\tquantity\tship-date\tcarrier-code\ttracking-number\n"
    "902-1\titem-kettle\t2\t2026-03-12\tDHL\tDHL-0007\n"
)
BAD = "902-1\titem-tea\t0\t2026-03-12\tDHL\tDHL-0008\n"
CANCEL = "order-id\tcancellation-reason-code\n902-1\tNoInventory\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "packed.txt"
    file.write_text(CONFIRM)
    return file


def uploaded(kind: str, file: Path, *more: str, seller: str = "A3LUMEN") -> Result:
    return cli.invoke(app, ["upload", kind, str(file), "--seller", seller, *more])


def test_a_dry_run_needs_no_system_and_says_what_would_be_accepted(file: Path) -> None:
    said = uploaded("ship-confirm", file, "--dry-run")

    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout == "would accept 1 of 1 rows, as events: 1\n"


def test_bad_rows_are_told_by_line_and_the_exit_code_says_that_there_are_some(file: Path) -> None:
    file.write_text(CONFIRM + BAD)

    said = uploaded("ship-confirm", file, "--dry-run")

    assert (said.exit_code, said.stdout) == (2, "would accept 1 of 2 rows, as events: 1\n")
    assert said.stderr == f"{file}:3: quantity: has to be a whole number from 1 to 10000\n"


def test_a_program_reads_the_same_as_json(file: Path) -> None:
    file.write_text(CONFIRM + BAD)

    said = uploaded("ship-confirm", file, "--dry-run", "--json", "--id", "monday")

    document = json.loads(said.stdout)
    (accepted,) = document.pop("accepted")
    assert (said.exit_code, said.stderr) == (2, "")
    assert document == {
        "file": str(file),
        "upload_id": "monday",
        "dry_run": True,
        "rows": 2,
        "refused": [
            {"line": 3, "field": "quantity", "reason": "has to be a whole number from 1 to 10000"}
        ],
    }
    assert (accepted["lines"], accepted["order_id"]) == ([2], "902-1")
    assert accepted["data"]["order_items"] == [{"order_item_id": "item-kettle", "quantity": 2}]
    again = json.loads(
        uploaded("ship-confirm", file, "--dry-run", "--json", "--id", "monday").stdout
    )
    assert again["accepted"] == [accepted]
    other = json.loads(uploaded("ship-confirm", file, "--dry-run", "--json").stdout)
    assert other["accepted"][0]["id"] != accepted["id"]


def test_a_ship_date_is_local_to_the_marketplace_that_is_named(file: Path) -> None:
    said = uploaded("ship-confirm", file, "--dry-run", "--json", "--marketplace", "A2Q3Y263D00KWC")

    (accepted,) = json.loads(said.stdout)["accepted"]
    assert accepted["data"]["ship_date"] == "2026-03-12T03:00:00Z"


@pytest.mark.parametrize("marketplace", ["NOPE", "a2q3y263d00kwc", "", "A\x1b[2J"])
def test_a_marketplace_without_a_policy_is_refused_with_those_that_have_one(
    file: Path, marketplace: str
) -> None:
    said = uploaded("ship-confirm", file, "--dry-run", "--marketplace", marketplace)

    shown = " ".join(said.stderr.split())
    assert (said.exit_code, said.stdout) == (2, "")
    assert f"--marketplace {marketplace.replace(chr(27), ' ')}: has to be one of" in shown
    assert "A1PA6795UKMFR9" in shown
    assert "deploy/policies" in shown
    assert "\x1b" not in said.stderr


def test_a_marketplace_without_a_file_of_its_own_is_named_by_the_default(file: Path) -> None:
    said = uploaded("ship-confirm", file, "--dry-run", "--json", "--marketplace", "default")

    (accepted,) = json.loads(said.stdout)["accepted"]
    assert accepted["data"]["ship_date"] == "2026-03-12T00:00:00Z"


def test_a_cancel_file_is_checked_alike(file: Path) -> None:
    file.write_text(CANCEL)

    said = uploaded("cancel", file, "--dry-run", "--json")

    (accepted,) = json.loads(said.stdout)["accepted"]
    assert accepted["data"] == {"reason_code": "NoInventory", "order_item_ids": []}


@pytest.mark.parametrize(
    ("more", "seller", "message"),
    [
        ((), "TWO WORDS", "--seller: has to be a seller's id: 1 to 64 letters"),
        (("--id", "two words"), "A3LUMEN", "--id: has to be an id: 1 to 128 printable ASCII"),
    ],
)
def test_a_wrong_option_is_named(
    file: Path, more: tuple[str, ...], seller: str, message: str
) -> None:
    said = uploaded("ship-confirm", file, *more, seller=seller)

    assert said.exit_code == 2
    assert message in " ".join(said.stderr.split())


def test_a_file_that_is_none_is_refused_as_a_whole(file: Path) -> None:
    said = uploaded("cancel", file)

    assert said.exit_code == 2
    assert "has no column cancellation-reason-code: the first line names them" in " ".join(
        said.stderr.split()
    )


def test_without_a_system_nothing_is_accepted(file: Path) -> None:
    said = uploaded("ship-confirm", file)

    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr.startswith("orderflow upload: Redis is not available")
