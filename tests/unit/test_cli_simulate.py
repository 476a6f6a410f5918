"""`orderflow simulate`: what it prints, its exit code, and the command that repeats a run."""

import json

import pytest
from typer.testing import CliRunner

from services.cli import simulate
from services.cli.app import app
from services.simulator import shrink
from services.simulator.fate import ANY_FAULT, Allowed
from services.simulator.run import Plan, run
from tests.support.guards import first_failure, republish_nothing

BAD_NUMBERS = ("x", "1,,2", "-1", "1;2")


def test_a_run_without_faults_says_so_and_ends_with_0() -> None:
    said = CliRunner().invoke(app, ["simulate", "--seed", "7", "--faults", "-", "--json"])

    found = json.loads(said.stdout)
    assert said.exit_code == 0
    assert (found["runs"], found["faults"], found["failed"]) == (1, {}, [])
    assert found["records_per_s"] > 0
    assert found["shortest"] is None


def test_what_fails_is_told_as_its_shortest_story_with_its_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shrink, "MOST_RUNS", 30)
    republish_nothing(monkeypatch)
    failed = first_failure(range(40))
    assert failed is not None

    said = CliRunner().invoke(app, ["simulate", "--seed", str(failed.plan.seed)])

    (command,) = [line for line in said.stdout.splitlines() if line.startswith("orderflow")]
    again = CliRunner().invoke(app, command.split()[1:])
    assert said.exit_code == again.exit_code == 1
    assert command in again.stdout


def test_faults_of_the_kinds_that_are_named_strike_and_no_others() -> None:
    chosen = ["simulate", "--seeds", "4", "--jobs", "1", "--json", "--faults"]

    said = CliRunner().invoke(app, [*chosen, "crash,reply-lost"])

    assert json.loads(said.stdout)["faults"].keys() == {"crash", "reply lost"}


@pytest.mark.parametrize(
    ("chosen", "allowed"),
    [
        ("crash,redis-rollback", Allowed(("crash", "redis rollback"))),
        ("crash,3,17", Allowed(("crash",), (3, 17))),
        ("3,17", Allowed(ANY_FAULT.kinds, (3, 17))),
        ("-", Allowed(ANY_FAULT.kinds, ())),
    ],
)
def test_a_run_of_chosen_faults_is_repeated_by_its_command(chosen: str, allowed: Allowed) -> None:
    command = simulate.command_of(run(Plan(7, (), allowed)))

    assert command == f"orderflow simulate --seed 7 --orders - --faults {chosen}"
    assert simulate.plan_of(7, "-", chosen).allowed == allowed


def test_a_fault_of_no_kind_is_a_wrong_usage_that_names_the_kinds() -> None:
    said = CliRunner().invoke(app, ["simulate", "--faults", "crash,earthquake"])

    assert said.exit_code == 2
    assert {"--faults", "redis-rollback"} <= {word.strip(",:│") for word in said.stderr.split()}


@pytest.mark.parametrize("numbers", BAD_NUMBERS)
def test_numbers_that_are_none_are_a_wrong_usage(numbers: str) -> None:
    said = CliRunner().invoke(app, ["simulate", f"--orders={numbers}"])

    assert said.exit_code == 2
    assert "--orders" in said.stderr


def test_many_seeds_are_run_and_counted() -> None:
    said = CliRunner().invoke(app, ["simulate", "--seeds", "2", "--jobs", "1"])

    assert said.exit_code == 0
    assert "2 runs" in said.stdout


def test_a_plain_run_is_repeated_by_its_seed() -> None:
    assert simulate.command_of(run(Plan(7))) == "orderflow simulate --seed 7"
    assert simulate.command_of(run(Plan(7, orders=()))).endswith("--seed 7 --orders -")
