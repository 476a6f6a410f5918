"""Whole marketplaces in virtual time: all promises hold, and one seed is one run."""

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from services.simulator.fate import ANY_FAULT, Allowed
from services.simulator.provider import MemoryProvider
from services.simulator.run import Outcome, Plan, run
from services.simulator.shrink import shrink
from services.simulator.system import System
from shared.policy import Policies
from shared.service import Received, Service
from tests.support.guards import first_failure, forget_calls, republish_nothing

SEEDS = (11, *range(59, 71), 77)
"""A look, in which everything happens that can; `make simulate` runs a thousand."""
MENDED = {
    "a repeat that moved no stock of its order": Plan(263, (1, 2), Allowed(kinds=())),
    "a slow claim of a Redis that another has filled": Plan(
        379, allowed=Allowed(numbers=(*range(11), 12, 13, 16, 17, 18, 19, 20))
    ),
}
"""Runs that once broke a promise, down to what it took."""
ASKED = ("authorize", "capture", "void", "refund", "unknown", "given up")
TROUBLES = (
    "payment.authorization_lapsed",
    "payment.charged_back",
    "payment.lapsed",
    "payment.authorization_requested",
    "buyer.blocked",
    "card.blocked",
    "card.unblocked",
)
PUT_RIGHT = (
    "order.address_corrected.v1",
    "order.address_changed.v1",
    ", another_country",
    "order.resend_requested.v1",
    "order.notice_resent.v1",
    "notice.requested_again.v1",
    ", no_such_notice",
)
REPEATED = (3, 11)
"""One run with a gateway, and one with calls."""
TRACES = f"from services.simulator.run import *; print([run(Plan(n)).trace for n in {REPEATED}])"


@pytest.fixture
def _silence() -> Iterator[None]:
    """No log line is written, nor can any be captured."""
    known = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**known)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [run(Plan(seed)) for seed in SEEDS]


def test_every_promise_holds_whatever_fails(outcomes: list[Outcome]) -> None:
    assert [outcome.violations for outcome in outcomes] == [[]] * len(SEEDS)


@pytest.mark.parametrize("plan", MENDED.values(), ids=MENDED)
def test_what_once_broke_a_promise_breaks_none(plan: Plan) -> None:
    assert run(plan).violations == []


def test_every_kind_of_fault_strikes(outcomes: list[Outcome]) -> None:
    struck = Counter(fault.kind for outcome in outcomes for fault in outcome.faults)

    assert struck.keys() == set(ANY_FAULT.kinds)


def test_r5_r23_in_some_runs_a_provider_is_called_cannot_tell_and_is_given_up(
    outcomes: list[Outcome],
) -> None:
    calls = sum((Counter(outcome.calls) for outcome in outcomes), Counter[str]())

    assert min(calls[what] for what in ASKED) > 0, calls
    assert any(not outcome.calls for outcome in outcomes)


def test_r5_r7_in_some_runs_payments_lapse_or_are_charged_back_and_payers_are_blocked(
    outcomes: list[Outcome],
) -> None:
    told = "\n".join(line for outcome in outcomes for line in outcome.story)

    assert [type_ for type_ in TROUBLES if type_ not in told] == []


def test_p4_in_some_runs_addresses_are_corrected_and_notices_sent_again_and_some_are_refused(
    outcomes: list[Outcome],
) -> None:
    told = "\n".join(line for outcome in outcomes for line in outcome.story)

    assert [what for what in PUT_RIGHT if what not in told] == []


def test_r7_a_pending_call_that_is_forgotten_at_the_claim_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forget_calls(monkeypatch)

    failed = first_failure(SEEDS)

    assert failed is not None
    assert any("calls to answer" in violation for violation in failed.violations)


def test_r7_a_bug_in_performing_a_call_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("amount")

    monkeypatch.setattr(MemoryProvider, "_perform", broken)
    called = next(outcome for outcome in map(run, map(Plan, SEEDS)) if outcome.violations)

    assert any("KeyError" in violation for violation in called.violations)


@pytest.mark.usefixtures("_silence")
def test_r7_a_bug_in_deciding_an_answer_is_a_violation_whatever_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calling = System._calling

    def broken(system: System, service: Service[Any]) -> Service[Any]:
        def decide(state: Any, received: Received, policies: Policies) -> Any:
            if received.event.source.endswith("/calls"):
                raise KeyError("status")
            return service.decide(state, received, policies)

        return calling(system, replace(service, decide=decide))

    monkeypatch.setattr(System, "_calling", broken)
    called = run(Plan(REPEATED[1], allowed=Allowed(kinds=())))

    bugs = [said for said in called.violations if "answer to a call can not be decided" in said]
    assert bugs
    assert all("KeyError" in said for said in bugs)


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

    assert traces[0] == traces[1] == f"{[run(Plan(n)).trace for n in REPEATED]}\n"


def test_another_seed_is_another_run(outcomes: list[Outcome]) -> None:
    assert len({outcome.trace for outcome in outcomes}) == len(SEEDS)


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
