"""`orderflow deadletters`, `orders` and their like before they reach Kafka: what is typed wrong is
named, and nothing in data acts on a terminal.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.app import COMMANDS, app
from services.cli.desk import echo_table, json_text, whoever_this_is, without_people
from services.cli.orders import order_document
from shared.events.dashboard import person_of
from tests.support.orders import pending, unshipped

cli = CliRunner(env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"})

ONE_OF_THESE = "Give ORIGINs, or --reason, --service and --text, or --all: one of these."
ACTS_ON_A_TERMINAL = "a\x1b[2Jb\x07\x9b31mc\x7f\u202ed"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["deadletters", "list", "--state", "lost"], "--state: has to be one of open, replayed"),
        (["deadletters", "show", "orders:1"], "ORIGIN orders:1: has to be topic:partition:offset"),
        (["deadletters", "show", "\x1b[2J"], "ORIGIN [2J: has to be"),
        (["deadletters", "replay"], ONE_OF_THESE),
        (["deadletters", "replay", "orders:1:17", "--all"], ONE_OF_THESE),
        (["deadletters", "replay", "--all", "--reason", "not_json"], ONE_OF_THESE),
        (["deadletters", "replay", "--all", "--edited", __file__], "--edited: has to be with one"),
        (["deadletters", "discard", "orders:1:17"], "--because"),
        (
            ["deadletters", "discard", "orders:1:17", "--because", "a\nb"],
            "--because: has to be 1 to 200 characters in one line.",
        ),
        (["orders", "list", "--status", "Lost"], "--status: has to be one of Pending, Unshipped"),
        (["orders", "list", "--from", "May"], "--from: has to be one of a day such as 2026-03-11"),
        (["orders", "follow", "X", "--until", "Lost"], "--until: has to be one of"),
        (
            ["orders", "ship", "X", "--carrier", "DHL", "--tracking", "1", "--units", "3"],
            "--units 3: has to be ITEM=N.",
        ),
        (["orders", "cancel", "X", "NoInventory", "--id", "a b"], "--id: has to be an id"),
        (["orders", "cancel", "X", "Whim"], "REASON: has to be one of NoInventory, "),
        (["orders", "address", "X", "--city", "Werder"], "Missing option '--reason'"),
        (["orders", "resend-notice", "X", "hello"], "KIND: has to be one of estimated_delivery, "),
        (["orders", "resend-notice", "X", "cancel_warning", "--occurrence", "0"], "x>=1"),
        (["deadlines", "--kind", "lunch"], "--kind: has to be one of hold, ship_by"),
        (["stock", "list", "--show", "some"], "--show: has to be one of all, none, wrong"),
        (["export", "facts", "--topic", "toys"], "--topic 'toys': has to be one of orders"),
    ],
)
def test_what_is_typed_wrong_is_named_and_nothing_is_asked(
    arguments: list[str], named: str
) -> None:
    shown = cli.invoke(app, arguments, env={"COLUMNS": "200"})

    assert shown.exit_code == 2
    assert named in " ".join(shown.stderr.split())
    assert "\x1b[2J" not in shown.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["deadletters", "list"],
        ["orders", "show", "X"],
        ["stock", "list"],
        ["deadlines"],
        ["lag"],
        ["export", "orders"],
    ],
)
def test_who_is_away_is_named(arguments: list[str]) -> None:
    shown = cli.invoke(app, arguments)

    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "Kafka at 127.0.0.1:1 is not available" in shown.stderr


def test_health_tells_all_that_is_away_and_ends_with_1() -> None:
    shown = cli.invoke(app, ["health", "--json"])

    assert shown.exit_code == 1
    assert {each["what"]: each["well"] for each in json.loads(shown.stdout)} == {
        "topics": False,
        "redis": False,
        "clock": False,
    }


def test_nothing_in_data_acts_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table(("name",), [(ACTS_ON_A_TERMINAL,), ("[red]text[/red]",)])
    table = capsys.readouterr().out

    written = table + json_text({"name": ACTS_ON_A_TERMINAL}, indent=2)
    assert not [c for c in written if c != "\n" and not c.isprintable()]
    assert "[red]text[/red]" in table
    assert json.loads(json_text(ACTS_ON_A_TERMINAL)) == ACTS_ON_A_TERMINAL


def test_an_exported_fact_names_nobody_unless_asked() -> None:
    person = {"buyer_id": "B-1", "name": "Mirabel", "email": "mirabel@example.org"}
    where = {"name": "Mirabel", "address_line_1": "Kastanienallee", "city": "Potsdam"}
    parked = {"topic": "orders", "offset": 3, "value": "TWlyYWJlbA==", "headers": []}
    fact = {
        "id": "1",
        "data": {
            "order": {"buyer": person, "ship_address": where},
            "record": parked,
            "n": [person],
        },
    }

    left = without_people({**fact, "data": {**fact["data"], "placed": {"buyer": person}}})  # type: ignore[dict-item]

    assert left["data"]["order"] == {
        "buyer": {"buyer_id": "B-1"},
        "ship_address": {"city": "Potsdam"},
    }
    assert left["data"]["record"] == {"topic": "orders", "offset": 3}
    assert left["data"]["placed"] == {"buyer": {"buyer_id": "B-1"}}


def test_r3_an_order_as_json_hides_what_is_not_the_sellers() -> None:
    for personal in (False, True):
        hidden = json.dumps(order_document(pending(), personal=personal))
        assert not [text for text in ("Mirabel", "Kasta", "amount_minor") if text in hidden]
    shown = json.dumps(order_document(unshipped(), personal=False))
    assert "amount_minor" in shown
    assert "Mirabel" not in shown
    assert "Mirabel" in json.dumps(order_document(unshipped(), personal=True))


def test_who_says_it_is_who_is_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert person_of(whoever_this_is())
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    assert whoever_this_is() == "orderflow-cli/987654"


def test_a_shell_completes_the_commands() -> None:
    env = {
        **os.environ,
        "_ORDERFLOW_COMPLETE": "complete_bash",
        "COMP_WORDS": "orderflow ",
        "COMP_CWORD": "1",
    }
    orderflow = Path(sys.executable).with_name("orderflow")

    shown = subprocess.run([orderflow], env=env, capture_output=True, text=True, check=False)

    assert set(shown.stdout.split()) == set(COMMANDS), shown.stderr
