"""How far a replay may jump: no deadline before an input of the same order that was earlier."""

from datetime import UTC, datetime, timedelta

import pytest

from services.cli.feed.replay import SLICE, next_stop_ms
from shared.clock import to_ms
from shared.policy import Policy

NOON = datetime(2017, 11, 14, 12, tzinfo=UTC)
NOW_MS = to_ms(NOON)
HOUR_MS = 3_600_000
SLICE_MS = SLICE // timedelta(milliseconds=1)


def test_r12_no_jump_holds_two_late_notices_of_an_order() -> None:
    """They would be told as one: ADR 5."""
    stop_ms = next_stop_ms(NOW_MS, [], NOW_MS, lambda _: ())

    assert stop_ms is not None
    next_ms = to_ms(Policy().next_late_notice(NOON))
    assert stop_ms == next_ms - 1


@pytest.mark.parametrize(
    ("inputs", "due", "stop"),
    [
        pytest.param({}, {}, None, id="nothing is left: the end"),
        pytest.param({"a": 2}, {}, 2 * HOUR_MS + SLICE_MS, id="a slice beyond the next input"),
        pytest.param({}, {"a": 5}, 5 * HOUR_MS + SLICE_MS, id="a slice beyond the next deadline"),
        pytest.param({"a": 2}, {"a": 3}, 3 * HOUR_MS - 1, id="not past a deadline after its input"),
        pytest.param({"a": 3}, {"a": 2}, 2 * HOUR_MS + SLICE_MS, id="a deadline before its input"),
        pytest.param({"a": 2}, {"a": 2}, 2 * HOUR_MS + SLICE_MS, id="at the same ms it is first"),
        pytest.param({"a": 2}, {"b": 3}, 2 * HOUR_MS + SLICE_MS, id="another order's deadline"),
        pytest.param({"a": 2}, {"a": 2 + 25}, 2 * HOUR_MS + SLICE_MS, id="a deadline after it all"),
    ],
)
def test_a_jump_ends_before_the_first_deadline_that_comes_after_an_input(
    inputs: dict[str, int], due: dict[str, int], stop: int | None
) -> None:
    moments = [(NOW_MS + hours * HOUR_MS, name) for name, hours in inputs.items()]
    dues = {name: [NOW_MS + hours * HOUR_MS] for name, hours in due.items()}
    next_due = min((at for ats in dues.values() for at in ats), default=None)

    found = next_stop_ms(NOW_MS, moments, next_due, lambda order_id: dues.get(order_id, ()))

    assert found == (None if stop is None else NOW_MS + stop)
