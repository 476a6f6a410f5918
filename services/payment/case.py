"""What a rule of payment looks at."""

from datetime import datetime, timedelta
from typing import Generic, Literal, NamedTuple, TypeVar

from services.payment.state import Verification
from shared.policy import Policies

D = TypeVar("D")

Tally = Literal["counted", "blocked", "velocity_exceeded", "spend_exceeded", "forgotten"]
"""What the tally of a buyer or a card says of an order; `forgotten`, that its cancel came first."""


class Case(NamedTuple, Generic[D]):
    """What a rule looks at: what is known of the order, what is said now, when and when it came,
    what the tallies of its buyer and its card say, the policies.
    """

    known: Verification
    said: D
    time: datetime
    at: datetime
    tallies: tuple[Tally | None, ...]
    policies: Policies

    @property
    def answer_due(self) -> datetime:
        """Until when the provider is to answer what is asked for now (R23): by the policy that the
        order was verified under (R24), today's where it keeps none.
        """
        if (hours := self.known.provider_answer_hours) is not None:
            return self.at + timedelta(hours=hours)
        return self.policies.of(self.known.marketplace_id).provider_answer_due(self.at)
