"""Whole marketplaces in virtual time: all promises hold, and one seed is one run."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from services.simulator.fate import ANY_FAULT, Allowed
from services.simulator.run import Outcome, Plan, run
from services.simulator.shrink import shrink
from tests.support.guards import first_failure, republish_nothing

SEEDS = 12
"""A look; `make simulate` runs a thousand."""
MENDED = {
    "a repeat that moved no stock of its order": Plan(263, (1, 2), Allowed(kinds=())),
    "a slow claim of a Redis that another has filled": Plan(
        379, allowed=Allowed(numbers=(*range(11), 12, 13, 16, 17, 18, 19, 20))
    ),
}
"""Runs that once broke a promise, down to what it took."""
TRACES = "from services.simulator.run import Plan, run; print([run(Plan(n)).trace for n in (3, 5)])"


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [run(Plan(seed)) for seed in range(SEEDS)]


def test_every_promise_holds_whatever_fails(outcomes: list[Outcome]) -> None:
    assert [outcome.violations for outcome in outcomes] == [[]] * SEEDS


@pytest.mark.parametrize("plan", MENDED.values(), ids=MENDED)
def test_what_once_broke_a_promise_breaks_none(plan: Plan) -> None:
    assert run(plan).violations == []


def test_every_kind_of_fault_strikes(outcomes: list[Outcome]) -> None:
    struck = Counter(fault.kind for outcome in outcomes for fault in outcome.faults)

    assert struck.keys() == set(ANY_FAULT.kinds)


def test_one_seed_is_one_run_in_any_process() -> None:
    traces = [
        subprocess.run(
            [sys.executable, "-c", TRACES],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "4711")
    ]

    assert traces[0] == traces[1] == f"{[run(Plan(n)).trace for n in (3, 5)]}\n"


def test_another_seed_is_another_run(outcomes: list[Outcome]) -> None:
    assert len({outcome.trace for outcome in outcomes}) == SEEDS


def test_without_faults_none_strikes_and_without_orders_none_is_placed() -> None:
    calm = run(Plan(3, allowed=Allowed(kinds=())))
    empty = run(Plan(3, orders=()))

    assert (calm.faults, calm.orders != []) == ([], True)
    assert empty.orders == []
    assert not any("order.placed" in line for line in empty.story)


def test_a_failing_seed_shrinks_to_a_story_that_fails_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    republish_nothing(monkeypatch)
    failed = first_failure(range(40))
    assert failed is not None

    shortest = shrink(failed)

    assert shortest.violations
    assert len(shortest.orders) <= len(failed.orders)
    assert len(shortest.faults) <= min(12, len(failed.faults)), "so few are read at a glance"
    assert run(shortest.plan).trace == shortest.trace
    assert any("fault" in line for line in shortest.story)
