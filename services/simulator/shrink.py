"""From a run that fails to the shortest one that still does: fewer orders, fewer faults."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from services.simulator.run import Outcome, Plan, run

MOST_RUNS = 250
"""Runs spent on one story: a minute or so."""


def shrink(failed: Outcome) -> Outcome:
    """The outcome of the smallest plan found that still breaks a promise.

    What is left out changes what chance does next, so a smaller plan may fail in another way: each
    is a failure of its own.
    """
    best, runs = failed, 0
    smaller = True
    while smaller and runs < MOST_RUNS:
        smaller = False
        for plan in _smaller(best):
            runs += 1
            outcome = run(plan)
            if outcome.violations:
                best, smaller = outcome, True
                break
            if runs == MOST_RUNS:
                break
    return best


def _smaller(outcome: Outcome) -> Iterator[Plan]:
    """Plans with less in them, the smallest first."""
    plan, faults = outcome.plan, [fault.number for fault in outcome.faults]
    for some in _parts(outcome.orders):
        if some:
            yield replace(plan, orders=some)
    for numbers in _parts(faults):
        yield replace(plan, allowed=replace(plan.allowed, numbers=numbers))


def _parts(whole: Collection[int]) -> Iterator[list[int]]:
    """A half of it, a quarter more, and so on, to all but one."""
    rest = list(whole)
    size = len(rest)
    while size:
        for at in range(0, len(rest), size):
            yield rest[:at] + rest[at + size :]
        size //= 2
