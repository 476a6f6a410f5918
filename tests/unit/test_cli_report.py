"""`orderflow report` around the rows: options, files, limits. The orders are told, not read."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from errno import ENOSPC
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import report
from services.cli.app import app
from shared.events.fulfillment import Order
from shared.settings import Settings
from tests.support.orders import SELLER, pending, unshipped

cli = CliRunner(env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"})

NOW = datetime(2026, 3, 12, 14, 8, 51, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kettle order that is to be shipped, and one that is Pending."""

    async def orders(servers: str) -> AsyncIterator[Order]:
        for order in (unshipped(order_id="902-1"), pending(order_id="902-2")):
            yield order

    async def now(settings: Settings) -> datetime:
        return NOW

    monkeypatch.setattr(report, "latest_orders", orders)
    monkeypatch.setattr(report, "business_now", now)


@pytest.mark.parametrize("command", ["order", "unshipped"])
def test_r21_the_rows_are_the_output_and_their_number_is_told_beside_it(command: str) -> None:
    said = cli.invoke(app, ["report", command])

    assert said.exit_code == 0
    header, kettles, tea = said.stdout.splitlines()
    assert header.startswith("order-id\torder-item-id\tpurchase-date\t")
    assert kettles.startswith("902-1\titem-kettle\t2026-03-11T09:41:07+00:00\t")
    assert tea.startswith("902-1\titem-tea\t")
    assert said.stderr == f"{command} report: 2 rows of 1 order\n"


def test_r21_a_file_has_its_name_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "to-ship.json"
    out.write_text("yesterday's")

    said = cli.invoke(app, ["report", "unshipped", "--format", "json", "--out", str(out)])

    assert (said.exit_code, said.stdout) == (0, "")
    assert [row["sku"] for row in json.loads(out.read_text())] == [
        "KETTLE-1.7L-CRIMSON",
        "TEA-EARL-250G",
    ]
    assert list(tmp_path.iterdir()) == [out]


def test_r21_a_file_that_is_not_completed_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(*_: object) -> Iterator[str]:
        yield "order-id\n"
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(report, "table_lines", lines)
    out = tmp_path / "to-ship.txt"
    out.write_text("yesterday's")

    said = cli.invoke(app, ["report", "unshipped", "--out", str(out)])

    assert (said.exit_code, "No space left on device" in said.stderr) == (2, True)
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(out, "yesterday's")]


def test_r21_a_csv_file_ends_its_lines_as_rfc_4180_says(tmp_path: Path) -> None:
    out = tmp_path / "orders.csv"

    cli.invoke(app, ["report", "order", "--format", "csv", "--out", str(out)])

    assert out.read_bytes().count(b"\r\n") == out.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["--from", "2026-03-11"], 2),
        (["--from", "2026-03-12"], 0),
        (["--to", "2026-03-11"], 2),
        (["--to", "2026-03-11T11:11:07.123+01:00"], 0),
        (["--to", "2026-03-11T11:11:07.124+01:00"], 2),
        (["--seller", SELLER], 2),
        (["--seller", "A9RIVAL"], 0),
        (["--marketplace", "A1PA6795UKMFR9"], 2),
        (["--marketplace", "ATVPDKIKX0DER"], 0),
    ],
)
def test_r21_what_is_asked_for_is_what_is_written(arguments: list[str], rows: int) -> None:
    said = cli.invoke(app, ["report", "order", *arguments])

    assert (said.exit_code, len(said.stdout.splitlines())) == (0, 1 + rows)


def test_a_marketplace_that_has_neither_policy_nor_order_is_named_with_those_that_have() -> None:
    said = cli.invoke(app, ["report", "order", "--marketplace", "A1PA6795UKMFR8"])

    assert said.exit_code == 2
    told = " ".join(said.stderr.replace("│", "").split())
    assert "--marketplace A1PA6795UKMFR8: has to be one of " in told
    assert "A1PA6795UKMFR9" in told


def test_r20_columns_are_added_and_sources_kept_together() -> None:
    said = cli.invoke(
        app, ["report", "unshipped", "--with", "sales-channel", "--by", "traffic-source"]
    )

    assert said.stdout.splitlines()[0].endswith("\tis-prime\tsales-channel\ttraffic-source")
    assert said.stdout.splitlines()[1].endswith("\tfalse\t\torganic on_site")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["order", "--from", "yesterday"], "--from: has to be a day such as 2026-03-11, or a time"),
        (["order", "--to", "2026-03-11T09:30"], "--to: has to be a day such as 2026-03-11"),
        (["order", "--with", "tax\x1b[2J"], "--with tax [2J: has to be one of sales-channel, "),
        (["unshipped", "--with", "order-status"], "--with order-status: has to be one of sales"),
        (["unshipped", "--by", "seller"], "'seller' is not"),
        (["unshipped", "--out", "/no/such/directory/to-ship.txt"], "No such file or directory"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(arguments: list[str], message: str) -> None:
    said = cli.invoke(app, ["report", *arguments])

    assert said.exit_code == 2
    assert message in " ".join(said.stderr.replace("│", "").split())


@pytest.mark.parametrize(
    ("since", "until", "reversed_"),
    [
        ("2026-03-12", "2026-03-11", True),
        ("2026-03-11", "2026-03-11", False),
        ("2026-03-11T09:30:00Z", "2026-03-11T10:30:00+01:00", True),
        ("2026-03-11T09:30:00Z", "2026-03-11T10:30:01+01:00", False),
        ("2026-03-13", "2026-03-11T23:59:59Z", True),
        ("2026-03-12", "2026-03-11T10:00:01Z", False),  # is begun in Kiritimati
        ("2026-03-13T00:00:00Z", "2026-03-11", True),
        ("2026-03-12T11:59:59Z", "2026-03-11", False),  # is not over on Baker Island
    ],
)
def test_a_time_that_ends_before_it_begins_is_refused_by_both_options(
    since: str, until: str, reversed_: bool
) -> None:
    said = cli.invoke(app, ["report", "order", "--from", since, "--to", until])

    assert said.exit_code == (2 if reversed_ else 0)
    assert (f"--from {since} and --to {until}" in " ".join(said.stderr.split())) is reversed_


def test_a_report_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_ROWS", 2)
    assert cli.invoke(app, ["report", "unshipped"]).exit_code == 0

    monkeypatch.setattr(report, "MAX_ROWS", 1)
    said = cli.invoke(app, ["report", "unshipped"])

    assert said.exit_code == 3
    assert "The report has more than 1 rows. Ask for less: --seller" in said.stderr
