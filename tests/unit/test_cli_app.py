"""The command line at large: its commands, its exit codes, what a service's process loads."""

import subprocess
import sys
from importlib import import_module

import pytest
from typer.testing import CliRunner

from services.cli.app import COMMANDS, app
from shared.worker import EXIT_STUCK

NOBODY = "127.0.0.1:1"


@pytest.fixture
def cli() -> CliRunner:
    return CliRunner(env={"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "REDIS_URL": f"redis://{NOBODY}"})


def test_the_help_lists_every_command_and_the_exit_codes(cli: CliRunner) -> None:
    shown = cli.invoke(app, ["--help"])

    assert shown.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in shown.output] == []
    said = " ".join(shown.output.split())
    assert "Exit codes: 0 done; 1 failed while running; 2 wrong usage" in said
    assert f"{EXIT_STUCK} a service is stuck, start a new process." in said


@pytest.mark.parametrize("group", [[], ["policy"], ["report"], ["stock"], ["upload"]])
def test_the_help_says_in_whole_sentences_what_each_command_is_for(
    cli: CliRunner, group: list[str]
) -> None:
    shown = cli.invoke(app, [*group, "--help"], env={"COLUMNS": "80"}).output

    assert "..." not in shown.partition("Commands:")[2]
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_where_the_table_says_and_has_help(cli: CliRunner, command: str) -> None:
    module, _, name = COMMANDS[command].partition(":")

    assert callable(getattr(import_module(module), name))
    assert cli.invoke(app, [command, "--help"]).output.startswith(f"Usage: root {command}")


def test_an_unknown_command_is_a_usage_error(cli: CliRunner) -> None:
    shown = cli.invoke(app, ["feeed"])

    assert (shown.exit_code, "No such command 'feeed'" in shown.stderr) == (2, True)


def test_an_unknown_service_is_a_usage_error_that_names_those_there_are(cli: CliRunner) -> None:
    shown = cli.invoke(app, ["run", "shipping"])

    assert shown.exit_code == 2
    assert "'inventory', 'payment', 'fulfillment', 'deadlines'" in shown.stderr


def test_a_wrong_setting_refuses_the_start_by_name(cli: CliRunner) -> None:
    shown = cli.invoke(app, ["topics"], env={"PARTITIONS": "1025"})

    assert shown.exit_code == 3
    assert shown.stderr == (
        "orderflow topics: PARTITIONS is '1025'. "
        "Allowed: a whole number from 1 to 1024, the same for every topic\n"
    )


@pytest.mark.parametrize(
    ("arguments", "away"),
    [
        (["topics"], f"Kafka at {NOBODY} is not available"),
        (["topics", "--check"], f"Kafka at {NOBODY} is not available"),
        (["stock", "set", "SELLER-11", "LAMP", "7"], "Redis is not available"),
    ],
)
def test_who_is_away_is_named_with_what_to_do(
    cli: CliRunner, arguments: list[str], away: str
) -> None:
    shown = cli.invoke(app, arguments)

    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"orderflow {arguments[0]}: {away}")
    assert "Start it, as `orderflow up` does, or set KAFKA_BOOTSTRAP_SERVERS" in shown.stderr
    assert shown.stdout == ""


def test_a_services_process_loads_neither_other_services_nor_other_commands() -> None:
    code = (
        "import sys, services.deadlines.app as service, services.cli.app as cli;"
        "service.main = lambda: print(*sorted(m for m in sys.modules if 'services.' in m));"
        "sys.argv = ['orderflow', 'run', 'deadlines'];"
        "cli.main()"
    )

    shown = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)

    loaded = {name.rpartition("services.")[2] for name in shown.stdout.split()}
    assert {name for name in loaded if not name.startswith("deadlines")} == {
        "cli",
        "cli.app",
        "cli.exit_codes",
        "cli.run",
    }
