"""What benches make of their measurements; they claim no time."""

from itertools import pairwise

import pytest

from tests.bench.figures import arrivals_s, percentiles, spread
from tests.bench.plan import BUSY, HOLD_S, SERVICES, Costs, bounds, plan
from tests.bench.report import between, table, with_spread


def test_a_percentile_is_a_value_that_occurred() -> None:
    found = percentiles([*range(1, 1001)][::-1])

    assert found == {"p50": 500, "p99": 990, "p99.9": 999, "min": 1, "max": 1000, "n": 1000}
    assert percentiles([7.5])["p99.9"] == 7.5


def test_a_spread_has_its_runs_in_their_order_and_the_median_between_two() -> None:
    assert spread([9, 1, 4, 3]) == {"median": 3.5, "min": 1, "max": 9, "runs": [9, 1, 4, 3]}
    assert with_spread(spread([1234.5, 0.123, 40])) == "40 (0.123 – 1,234)"


def test_arrivals_come_at_their_rate_the_same_for_a_seed_and_never_go_back() -> None:
    found = arrivals_s(200.0, 10_000, seed=7)

    assert found == sorted(found) == arrivals_s(200.0, 10_000, seed=7)
    assert found != arrivals_s(200.0, 10_000, seed=8)
    assert found[-1] == pytest.approx(50, rel=0.05)
    gaps = [after - before for before, after in pairwise(found)]
    assert max(gaps) > 5 / 200  # at random, not in step


def test_a_report_replaces_what_is_between_its_markers_alone() -> None:
    text = "a\n<!-- bench: begin (how) -->\nold\n<!-- bench: end -->\nz\n"

    new = between(text, "bench", table(["", "n"], [["kettles", "3"]]))

    assert new == (
        "a\n<!-- bench: begin (how) -->\n|  | n |\n| --- | ---: |\n| kettles | 3 |\n"
        "<!-- bench: end -->\nz\n"
    )
    with pytest.raises(ValueError, match="substring"):
        between("no markers", "bench", "new")


def test_a_plan_is_what_an_order_costs_times_the_rate() -> None:
    cpu_s = dict.fromkeys(SERVICES, 0.0006) | {
        "fulfillment": 0.0012,
        "kafka": 0.0009,
        "redis": 3e-4,
    }
    costs = Costs(cpu_s, 1_000, 4_000, 2_000, 1_500)

    found = plan(costs, 100_000)

    assert found["workers of fulfillment, a core each"] == 200
    assert found["Redis shards, a core each"] == 50
    assert found["partitions of each topic"] == 512
    assert found["bytes of Redis for the orders in their hold"] == 1_500 * 100_000 * HOLD_S
    assert found["bytes between brokers a second"] == 2 * 1_000 * 100_000
    assert bounds(costs)[0] == ("one worker of fulfillment", BUSY / 0.0012)
