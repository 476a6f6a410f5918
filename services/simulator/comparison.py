"""What a history would have come to under several policies, in several processes.

An order is decided without a look at any other, unless both want the same stock.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import NamedTuple
from zlib import crc32

from services.simulator.history import Mapped, PastOrder
from services.simulator.retold import sku_of
from services.simulator.whatif import Result, run
from shared.policy import Policy

ORDERS_PER_PART = 500
"""Orders that are decided together: of ten times as many each takes a tenth longer."""

OnHand = Mapping[tuple[str, str], int]
"""The stock at the beginning, by seller and SKU."""


class NamedPolicy(NamedTuple):
    """A policy under the name that its results have."""

    name: str
    policy: Policy


def compare(
    policies: Sequence[NamedPolicy],
    history: Sequence[PastOrder],
    mapped: Mapped,
    on_hand: OnHand | None = None,
    *,
    jobs: int,
) -> Iterator[Result]:
    """The result of each policy, in their order, as they come; so many processes at a time."""
    parts = split(history, len(history) // ORDERS_PER_PART, by_sku=on_hand is not None)
    decide = partial(_run, mapped, on_hand)
    runs = [(named, part) for named in policies for part in parts]
    if jobs == 1 or len(parts) == 1:
        yield from _wholes(map(decide, runs), len(parts))
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from _wholes(pool.map(decide, runs), len(parts))


def split(
    history: Sequence[PastOrder], parts: int, *, by_sku: bool
) -> Sequence[Sequence[PastOrder]]:
    """A history in so many parts, at least one: what becomes of an order is up to its own part.

    Each order has a buyer and a card of its own (`retold.py`). Where stock is short, orders of a
    SKU meet as well, and stay together.
    """
    found: list[list[PastOrder]] = [[] for _ in range(max(parts, 1))]
    for order in history:
        meets = sku_of(order) if by_sku else order.order_id
        found[crc32(meets.encode()) % len(found)].append(order)
    return found


def _run(
    mapped: Mapped, on_hand: OnHand | None, of: tuple[NamedPolicy, Sequence[PastOrder]]
) -> Result:
    named, part = of
    return run(named.name, named.policy, part, mapped, on_hand)


def _wholes(found: Iterator[Result], parts: int) -> Iterator[Result]:
    """One result of so many parts each."""
    for whole in found:
        for part in islice(found, parts - 1):
            whole.add(part)
        yield whole
