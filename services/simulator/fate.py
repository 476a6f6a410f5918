"""What chance decides in a run: all of it is drawn from the seed, and each fault has a number."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, TypeVar

T = TypeVar("T")

FAULTS: Mapping[str, float] = {
    "crash": 0.03,
    "stall": 0.03,
    "rebalance": 0.02,
    "zombie": 0.7,
    "request lost": 0.03,
    "reply lost": 0.03,
    "trip cut": 0.05,
    "slow": 0.1,
    "lag": 0.05,
    "redelivery": 0.05,
    "letters fail": 0.5,
    "redis away": 0.004,
    "kafka away": 0.004,
    "redis rollback": 0.01,
    "provider away": 0.01,
    "answer late": 0.3,
}
"""The kinds of faults, and how often each strikes at most where it could."""

OUTSIDE = ("provider away", "answer late")
"""Kinds that only runs with calls to the outside have. How often they come is drawn apart, so that
the runs without are what they were before there were any."""

OFF, SELDOM = 0.4, 0.2
"""In four runs of ten a kind of fault does not come at all: a fault that always comes hides what
only shows without it."""


class Fault(NamedTuple):
    """A fault that struck: its number in the run, when, its kind, and where."""

    number: int
    at_ms: int
    kind: str
    where: str


@dataclass(frozen=True)
class Allowed:
    """The faults that may come: those of some kinds, those of some numbers; None is all."""

    kinds: Collection[str] = tuple(FAULTS)
    numbers: Collection[int] | None = None


ANY_FAULT = Allowed()
"""What runs have by default."""


class Fate:
    """One run's chance; `faults` are those that struck."""

    def __init__(self, seed: int, allowed: Allowed) -> None:
        self.random = Random(f"orderflow {seed}")
        self.faults: list[Fault] = []
        self.safe = False
        self.now_ms: Callable[[], int] = lambda: 0
        self._allowed = allowed
        self._drawn = 0
        outside = Random(f"orderflow {seed} outside")
        self._chances = {
            kind: chance * _weight(outside if kind in OUTSIDE else self.random)
            for kind, chance in FAULTS.items()
        }

    def strikes(self, kind: str, where: str, times: float = 1.0) -> bool:
        """Whether a fault comes here and now, so many times as likely as elsewhere.

        Never once the run is to come to rest.
        """
        if self.safe or self.random.random() >= times * self._chances[kind]:
            return False
        number, self._drawn = self._drawn, self._drawn + 1
        allowed = self._allowed
        if kind not in allowed.kinds or not (allowed.numbers is None or number in allowed.numbers):
            return False
        self.faults.append(Fault(number, self.now_ms(), kind, where))
        return True

    def pick(self, *choices: T) -> T:
        """One of these, each as likely as the others."""
        return choices[self.random.randrange(len(choices))]

    def seconds(self, *scales: int) -> float:
        """A time in seconds: whole milliseconds, up to one of these scales."""
        return self.random.randint(0, self.pick(*scales)) / 1000


def _weight(random: Random) -> float:
    weight = random.random()
    return 0.0 if weight < OFF else weight if weight > 2 * SELDOM else SELDOM
