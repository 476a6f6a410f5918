"""Measurements of speed, run by hand: `python -m tests.bench.run --help`. No test claims a time."""
