"""What is made of measurements: spreads of runs, percentiles, and the schedule of an open loop."""

import math
from collections.abc import Sequence
from random import Random
from typing import Any

QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def spread(runs: Sequence[float]) -> dict[str, Any]:
    """Median, least and most of a figure's runs, and the runs in their order."""
    ordered = sorted(runs)
    upper = len(ordered) // 2
    median = (ordered[upper] + ordered[-1 - upper]) / 2
    return {"median": median, "min": ordered[0], "max": ordered[-1], "runs": list(runs)}


def spreads(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The spread of each figure that all runs have, under its name."""
    return {name: spread([run[name] for run in runs]) for name in runs[0]}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p99, p99.9 by nearest rank (a value that occurred), least, most and how many."""
    ordered = sorted(values)
    found = {name: ordered[math.ceil(q * len(ordered)) - 1] for name, q in QUANTILES.items()}
    return {**found, "min": ordered[0], "max": ordered[-1], "n": len(ordered)}


def arrivals_s(rate_per_s: float, count: int, seed: int) -> list[float]:
    """When each of `count` arrivals is due, in seconds from the start: independent of each other
    (a Poisson process) and of how quickly they are served.
    """
    lots, at_s = Random(seed), 0.0
    found = []
    for _ in range(count):
        at_s += lots.expovariate(rate_per_s)
        found.append(at_s)
    return found
