"""What a history would have come to under several policies, in several processes.

An order is decided without a look at any other, unless both want the same stock.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import forkserver, get_context
from typing import NamedTuple
from zlib import crc32

from services.simulator.history import Mapped, PastOrder
from services.simulator.result import Result
from services.simulator.retold import sku_of
from shared.policy import Policy

ORDERS_PER_PART = 250
"""Orders that are decided together: of twenty times as many each takes a tenth longer, and of four
times as many one process is left alone with the last part for a second.
"""

OnHand = Mapping[tuple[str, str], int]
"""The stock at the beginning, by seller and SKU."""


class NamedPolicy(NamedTuple):
    """A policy under the name that its results have."""

    name: str
    policy: Policy


def prepare() -> None:
    """Begin to load what decides, which takes a second, while somebody reads a history.

    That goes on in a process beside this one, and those of `compare` begin as copies of it.
    """
    forkserver.set_forkserver_preload(["services.simulator.whatif"])
    forkserver.ensure_running()


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
    with ProcessPoolExecutor(jobs, get_context("forkserver")) as pool:
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
    from services.simulator.whatif import run  # noqa: PLC0415 - who only waits need not load it

    named, part = of
    return run(named.name, named.policy, part, mapped, on_hand)


def _wholes(found: Iterator[Result], parts: int) -> Iterator[Result]:
    """One result of so many parts each."""
    for whole in found:
        for part in islice(found, parts - 1):
            whole.add(part)
        yield whole
