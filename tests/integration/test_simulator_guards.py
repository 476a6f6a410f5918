"""Each guard of the partition task is needed: without it the simulator finds a broken promise.

With it the very same run breaks none.
"""

import pytest

from services.simulator.run import run
from tests.support.guards import GUARDS, broken, first_failure, only

SEEDS = 100
"""Each guard is missed within twenty runs."""


@pytest.mark.parametrize("name", GUARDS)
def test_without_this_guard_a_promise_breaks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = GUARDS[name]
    only(monkeypatch, guard.faults)
    with pytest.MonkeyPatch.context() as patch:
        guard.take_out(patch)
        missed = first_failure(range(SEEDS))

    assert missed is not None
    assert not broken(run(missed.plan))
