"""What the books say: per promise what was counted, and every violation as a sentence."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_VIOLATIONS = 100
"""Of one promise that are kept whole; a broken system breaks a promise for every order alike."""


class Violation(NamedTuple):
    """A promise that does not hold: about what, and what was found instead."""

    promise: str
    subject: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.promise} {self.subject}: {self.sentence}"


class Amount(NamedTuple):
    """Money that was looked at: all of a currency that moved like that."""

    how: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, kw_only=True)
class Page:
    """One promise in the books.

    `counts` say what was looked at; those that `must` names are not 0 in a check worth its name.
    `amounts` are in the order of how they moved, and of their currencies. Of `violated`
    violations the first are kept.
    """

    promise: str
    claim: str
    counts: Mapping[str, int]
    must: tuple[str, ...]
    amounts: tuple[Amount, ...] = ()
    violations: tuple[Violation, ...]
    violated: int

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The counts that are 0 although the check would have to have looked at some."""
        return tuple(name for name in self.must if not self.counts.get(name))

    @property
    def holds(self) -> bool:
        return not self.violated and not self.unchecked


@dataclass(frozen=True)
class Books:
    """All promises of one audit."""

    pages: tuple[Page, ...]

    @property
    def balanced(self) -> bool:
        """Every promise was looked at, and holds."""
        return all(page.holds for page in self.pages)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The violations that were kept, of all promises."""
        return tuple(violation for page in self.pages for violation in page.violations)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What a check did not see at all: a check that looked at nothing is no check."""
        return tuple(f"{page.promise}: no {name}" for page in self.pages for name in page.unchecked)

    def page(self, promise: str) -> Page:
        """The page of a promise, by its name ("P1")."""
        return next(page for page in self.pages if page.promise == promise)

    def as_dict(self) -> dict[str, Any]:
        """The books for JSON."""
        return {
            "balanced": self.balanced,
            "unchecked": list(self.unchecked),
            "promises": [
                {
                    "promise": page.promise,
                    "claim": page.claim,
                    "holds": page.holds,
                    "counts": dict(page.counts),
                    "amounts": [amount._asdict() for amount in page.amounts],
                    "violated": page.violated,
                    "violations": [violation._asdict() for violation in page.violations],
                }
                for page in self.pages
            ],
        }


@dataclass
class Draft:
    """A page while the audit writes it."""

    promise: str
    claim: str
    must: tuple[str, ...]
    counts: Counter[str] = field(default_factory=Counter)
    amounts: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    violated: int = 0

    def count(self, name: str, n: int = 1) -> None:
        """Add to what was looked at."""
        self.counts[name] += n

    def add(self, how: str, currency: str, amount_minor: int) -> None:
        """Add to the money that was looked at."""
        self.amounts[how, currency] += amount_minor

    def violate(self, subject: str, sentence: str) -> None:
        """Note that the promise does not hold."""
        self.violated += 1
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(Violation(self.promise, subject, sentence))

    def page(self) -> Page:
        """The page, written out."""
        return Page(
            promise=self.promise,
            claim=self.claim,
            counts=dict.fromkeys(self.must, 0) | dict(self.counts),
            must=self.must,
            amounts=tuple(Amount(*of, minor) for of, minor in sorted(self.amounts.items())),
            violations=tuple(self.violations),
            violated=self.violated,
        )
