"""Each guard of the partition task is needed: without it the simulator finds a broken promise.

With it the very same run breaks none.
"""

import pytest

from services.simulator.run import run
from tests.support.guards import GUARDS, broken, first_failure

SEEDS = 400
"""Most guards are missed within ten runs; one that shows only in a long story within a hundred."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", GUARDS)
def test_without_this_guard_a_promise_breaks(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        GUARDS[name](patch)
        missed = first_failure(range(SEEDS))

    assert missed is not None
    assert not broken(run(missed.plan))
