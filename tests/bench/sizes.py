"""How much each bench measures: in about a minute together, or for what it is worth."""

from dataclasses import dataclass

PARTITIONS = 4
"""Of every topic, in all benches."""


@dataclass(frozen=True)
class Sizes:
    """Of one invocation. `live` are held orders, of which so many as `held` come as orders do and
    the rest as copies (copies.py), `pending` deadlines, `shares` of the rate that was measured; the
    rate and its floor are of so many `runs`, all other figures of `few`. `listed` are orders on the
    dashboard, each of whose pages is `asked` so often.
    """

    runs: int
    few: int
    orders: int
    warm_orders: int
    shares: tuple[float, ...]
    latency_s: float
    pending: int
    due_per_s: int
    due_s: int
    at_once: int
    live: tuple[int, ...]
    held: int
    workers: tuple[int, ...]
    listed: int
    asked: int


QUICK = Sizes(
    runs=3,
    few=2,
    orders=300,
    warm_orders=200,
    shares=(0.5,),
    latency_s=4.0,
    pending=5_000,
    due_per_s=500,
    due_s=3,
    at_once=2_000,
    live=(200, 500),
    held=200,
    workers=(1, 2),
    listed=5_000,
    asked=20,
)
FULL = Sizes(
    runs=5,
    few=3,
    orders=5_000,
    warm_orders=2_000,
    shares=(0.25, 0.5, 0.75),
    latency_s=20.0,
    pending=1_000_000,
    due_per_s=5_000,
    due_s=10,
    at_once=100_000,
    live=(1_000, 10_000, 100_000, 1_000_000),
    held=10_000,
    workers=(1, 2, 4),
    listed=100_000,
    asked=300,
)
