"""How the payment provider deals with an order: its conduct, drawn once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.payment.provider import Operation

Answer = Literal[
    "holds",
    "holds too little",
    "takes",
    "declines",
    "suspects",
    "hesitates",
    "can not tell",
    "says later",
    "is silent",
]
"""What comes of a request for an authorisation."""
Movement = Literal["capture", "void", "refund"]
"""A request about money that it has."""
Deed = Literal[
    "captures",
    "refunds",
    "refunds a part",
    "lapses",
    "charges back",
    "charges all back",
    "reverses a part",
    "takes another payment",
    "tells again",
]
"""What it does by itself, as far as there is money for it."""
How = Literal["authorized", "captured", "voided", "refunded", "lapsed", "reversed"]
"""How money moves."""


@dataclass(frozen=True)
class Conduct:
    """How the provider deals with an order, drawn once.

    `authorizes` is what comes of its first, second … authorisation, the last of all further ones;
    `by_itself` what it does some time after money moved in a way. To operations that it `refuses`
    it says no for good, of those that it `delays` it says later what came of them, and those that
    it `ignores` it never answers.
    """

    authorizes: Sequence[Answer] = ("holds",)
    by_itself: Mapping[How, Sequence[Deed]] = field(default_factory=dict)
    refuses: Collection[Operation] = ()
    delays: Collection[Operation] = ()
    ignores: Collection[Operation] = ()

    @property
    def honest(self) -> bool:
        """Whether all money goes where it is asked to go, so that no request can be too much."""
        return not (self.by_itself or self.refuses)


CONDUCTS: Sequence[Conduct] = (
    *[Conduct()] * 12,
    *[Conduct(("takes",))] * 3,
    *[Conduct(("hesitates",))] * 2,
    Conduct(("holds too little",)),
    Conduct(("declines",)),
    Conduct(("suspects",)),
    Conduct(("can not tell",)),
    Conduct(("is silent",)),
    Conduct(("says later",)),
    *[Conduct(by_itself={"authorized": ["lapses"]})] * 3,
    Conduct(("holds", "takes"), {"authorized": ["lapses"]}),
    Conduct(("holds", "declines"), {"authorized": ["lapses"]}),
    Conduct(("holds", "is silent"), {"authorized": ["lapses"]}),
    Conduct(("says later",), {"authorized": ["lapses"]}),
    Conduct(by_itself={"authorized": ["captures"]}),
    Conduct(by_itself={"authorized": ["captures", "lapses"]}),
    Conduct(by_itself={"authorized": ["takes another payment"]}),
    Conduct(by_itself={"authorized": ["tells again"], "captured": ["tells again"]}),
    Conduct(by_itself={"captured": ["charges back"]}),
    Conduct(("takes",), {"captured": ["charges all back"]}),
    Conduct(("takes",), {"captured": ["refunds"]}),
    Conduct(by_itself={"captured": ["refunds a part", "tells again"]}),
    Conduct(by_itself={"captured": ["reverses a part"], "refunded": ["tells again"]}),
    Conduct(refuses=["capture"]),
    Conduct(refuses=["void", "refund"]),
    Conduct(delays=["capture", "refund"]),
    Conduct(delays=["void"]),
    Conduct(ignores=["capture"]),
    Conduct(ignores=["void", "refund"]),
)
