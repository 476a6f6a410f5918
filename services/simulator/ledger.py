"""The payment provider's ledger: what moved, and what it has of each payment."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from services.simulator.conducts import How
from shared.events.fields import Money


class Move(NamedTuple):
    """Money that moved for a key, or by itself."""

    key: str
    order_id: str
    payment_id: str
    how: str
    amount_minor: int
    currency: str
    at_ms: int


@dataclass
class Purse:
    """One payment at the provider: what moved of it, in minor units; `unasked_minor` is what was
    refunded that nobody had asked back.
    """

    order_id: str
    payment_id: str
    currency: str
    moved: Counter[str] = field(default_factory=Counter)
    unasked_minor: int = 0

    @property
    def kept_minor(self) -> int:
        """What was taken and did not go back."""
        return self.moved["captured"] - self.moved["refunded"] - self.moved["reversed"]

    @property
    def held_minor(self) -> int:
        """What is authorised still."""
        moved = self.moved
        gone_minor = moved["captured"] + moved["voided"] + moved["lapsed"]
        return max(0, moved["authorized"] - gone_minor)

    def money(self, how: How) -> Money:
        """All that moved like that."""
        return Money(amount_minor=self.moved[how], currency=self.currency)
