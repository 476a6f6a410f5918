"""A payment provider in memory, which payment calls over the same bad lines as Kafka and Redis.

It deals with each order as the order's conduct says: holds the money or takes it, says no, can not
tell, answers later or never; and does things by itself, which it tells on `payments`. Whatever
becomes of its answers, it does each piece of work once per key and gives its first answer again.
Its ledger (`moves`) says what it did.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from services.payment.provider import Asked, Operation, calls_of
from services.simulator.conducts import Conduct, Deed, How, Movement
from services.simulator.fate import Fate
from services.simulator.ledger import Move, Purse
from services.simulator.network import Server
from shared.errors import TransientError
from shared.events.envelope import Event, Fact
from shared.events.fields import Money
from shared.events.gateway import (
    AnswerPending,
    AuthorizationLapsed,
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentChargedBack,
    PaymentDeclined,
    PaymentFact,
    PaymentRefunded,
    PaymentReversed,
    PaymentVoided,
    RequestFailed,
)
from shared.retention import DAY_MS
from shared.service import Call

AWAY_S = (1, 600, 86_400, 10 * 86_400)
"""How long it may be away at most: beyond a verification window, too."""
LATE_MS = 60_000
"""How late an answer may be at most: mostly longer than a caller waits for it."""
SCALES_MS = (0, 6, 6, 6_100, 90_000, 2_400_000, 2 * DAY_MS, 11 * DAY_MS)
"""How long it takes at most until it does something by itself: before its answer is heard, while a
lost one is asked for again, while the order is held, and after it has shipped."""
MOST_LAPSES = 3
"""Of one order: what is asked for again each time would fill a run with nothing else."""
HESITATES = 3
"""Tries that are unknown before one that hesitates has made up its mind."""

DONE: Mapping[Operation, tuple[How, type[PaymentCaptured | PaymentVoided | PaymentRefunded]]] = {
    "capture": ("captured", PaymentCaptured),
    "void": ("voided", PaymentVoided),
    "refund": ("refunded", PaymentRefunded),
}


class MemoryProvider:
    """The provider; `lines` are the way to it. `counts` say how much it was asked, and what of.

    `given_up` are the keys whose answers nobody waited for any more, with their orders; `too_much`
    says, by order, which requests there was not enough money for.
    """

    def __init__(self, fate: Fate, now_ms: Callable[[], int], random: Random) -> None:
        self.lines = Server("the payment provider", fate, TransientError)
        self.counts: Counter[str] = Counter()
        self.moves: list[Move] = []
        self.purses: dict[str, Purse] = {}
        self.given_up: dict[str, str] = {}
        self.too_much: list[tuple[str, str]] = []
        self.conducts: dict[str, Conduct] = {}
        self.tell: Callable[[str, Fact], None] = lambda _order_id, _fact: None
        self._now_ms = now_ms
        self._random = random
        self._answers: dict[str, PaymentFact] = {}
        self._tries: Counter[str] = Counter()
        self._lapses: Counter[str] = Counter()
        self._authorizations: defaultdict[str, list[str]] = defaultdict(list)

    def calls(self) -> Mapping[type[Fact], Call]:
        """What payment asks of it; what is unknown or given up is noted."""
        return {
            fact: replace(
                call,
                unknown=call.unknown and partial(self._unknown, call.unknown),
                given_up=partial(self._give_up, call.given_up),
            )
            for fact, call in calls_of(self).items()
        }

    # -- what it is asked -------------------------------------------------------------------------

    async def authorize(self, asked: Asked) -> PaymentFact:
        return await self._ask("authorize", asked)

    async def capture(self, asked: Asked) -> PaymentFact:
        return await self._ask("capture", asked)

    async def void(self, asked: Asked) -> PaymentFact:
        return await self._ask("void", asked)

    async def refund(self, asked: Asked) -> PaymentFact:
        return await self._ask("refund", asked)

    async def _ask(self, operation: Operation, asked: Asked) -> PaymentFact:
        fate = self.lines.fate
        if fate.strikes("provider away", self.lines.name):
            self.lines.away = True
            back_s = fate.seconds(*(1000 * s for s in AWAY_S))
            asyncio.get_running_loop().call_later(back_s, self.lines.come_back)
        answer = await self.lines.ask(lambda _parts: self._perform(operation, asked))
        if answer is None:
            await asyncio.get_running_loop().create_future()
        if fate.strikes("answer late", self.lines.name):
            await asyncio.sleep(fate.seconds(LATE_MS))
        if isinstance(answer, TransientError):
            raise answer
        assert answer is not None
        return answer

    def _perform(self, operation: Operation, asked: Asked) -> PaymentFact | TransientError | None:
        """The first answer to a key; none from one that is silent."""
        self.counts[operation] += 1
        self._tries[asked.key] += 1
        conduct = self._conduct(asked.order_id)
        if asked.key in self._answers:
            self.counts["answered again"] += 1
            return self._answers[asked.key]
        if operation in conduct.ignores:
            return None
        answer: PaymentFact | TransientError | None
        if operation == "authorize":
            answer = self._authorize(asked, conduct)
        else:
            answer = self._move(operation, asked, conduct)
        if isinstance(answer, PaymentFact):
            self._answers[asked.key] = answer
        return answer

    def _authorize(self, asked: Asked, conduct: Conduct) -> PaymentFact | TransientError | None:
        keys = self._authorizations[asked.order_id]
        if asked.key not in keys:
            keys.append(asked.key)
        nth = min(keys.index(asked.key), len(conduct.authorizes) - 1)
        match conduct.authorizes[nth]:
            case "is silent":
                return None
            case "can not tell":
                return TransientError("the bank does not answer")
            case "hesitates" if self._tries[asked.key] <= HESITATES:
                return TransientError("the bank does not answer yet")
            case "declines":
                return PaymentDeclined(payment_id=asked.payment_id)
            case "suspects":
                return FraudSuspected(payment_id=asked.payment_id)
            case "says later":
                self._later(self._hold_later, asked)
                return AnswerPending(payment_id=asked.payment_id)
            case "takes":
                return self._take(asked.key, asked)
            case "holds too little":
                little = Money(amount_minor=1, currency=asked.amount.currency)
                return self._hold(asked.key, asked._replace(amount=little))
        return self._hold(asked.key, asked)

    def _move(self, operation: Movement, asked: Asked, conduct: Conduct) -> PaymentFact:
        if operation in conduct.delays:
            self._later(self._move_later, operation, asked)
            return AnswerPending(payment_id=asked.payment_id)
        if operation in conduct.refuses:
            return _no(asked, operation, "the account is closed")
        return self._do(operation, asked)

    def _do(self, operation: Movement, asked: Asked) -> PaymentFact:
        purse = self.purses.get(asked.payment_id)
        free = 0
        if purse is not None and purse.currency == asked.amount.currency:
            free = purse.kept_minor if operation == "refund" else purse.held_minor
        if purse is None or asked.amount.amount_minor > free:
            what = f"was asked to {operation} {asked.amount.amount_minor} of {free}"
            self.too_much.append((asked.order_id, what))
            return _no(asked, operation, f"there is {free}")
        how, fact = DONE[operation]
        self._book(asked.key, purse, how, asked.amount.amount_minor)
        return fact(payment_id=asked.payment_id, amount=purse.money(how))

    def _hold(self, key: str, asked: Asked) -> PaymentFact:
        purse = self._purse(asked)
        self._book(key, purse, "authorized", asked.amount.amount_minor)
        return PaymentAuthorized(payment_id=asked.payment_id, amount=purse.money("authorized"))

    def _take(self, key: str, asked: Asked) -> PaymentFact:
        purse = self._purse(asked)
        self._book(key, purse, "captured", asked.amount.amount_minor)
        return PaymentCaptured(payment_id=asked.payment_id, amount=purse.money("captured"))

    # -- what it does by itself -------------------------------------------------------------------

    def _hold_later(self, asked: Asked) -> None:
        self.tell(asked.order_id, self._hold(asked.key, asked))

    def _move_later(self, operation: Movement, asked: Asked) -> None:
        self.tell(asked.order_id, self._do(operation, asked))

    def _do_by_itself(self, deed: Deed, payment_id: str, how: How) -> None:
        purse = self.purses[payment_id]
        told = self._deed(deed, purse, how)
        if told is not None:
            self.counts[deed] += 1
            self.tell(purse.order_id, told)

    def _deed(self, deed: Deed, purse: Purse, how: How) -> PaymentFact | None:
        id_, held_minor, kept_minor = purse.payment_id, purse.held_minor, purse.kept_minor
        match deed:
            case "captures" if held_minor:
                self._by_itself(purse, "captured", held_minor)
                return PaymentCaptured(payment_id=id_, amount=purse.money("captured"))
            case "refunds" | "refunds a part" if kept_minor:
                back_minor = kept_minor if deed == "refunds" else 1
                self._by_itself(purse, "refunded", back_minor)
                purse.unasked_minor += back_minor
                return PaymentRefunded(payment_id=id_, amount=purse.money("refunded"))
            case "lapses" if held_minor and self._lapses[purse.order_id] < MOST_LAPSES:
                self._lapses[purse.order_id] += 1
                self._by_itself(purse, "lapsed", held_minor)
                return AuthorizationLapsed(payment_id=id_)
            case "charges back" if kept_minor:
                self._by_itself(purse, "reversed", kept_minor)
                return PaymentChargedBack(payment_id=id_, amount=purse.money("reversed"))
            case "charges all back" if kept_minor:
                self._by_itself(purse, "reversed", kept_minor)
                return PaymentChargedBack(payment_id=id_)
            case "reverses a part" if kept_minor:
                self._by_itself(purse, "reversed", 1)
                return PaymentReversed(payment_id=id_, amount=purse.money("reversed"))
            case "takes another payment":
                another = replace(purse, payment_id=f"{id_}-again", moved=Counter())
                self.purses[another.payment_id] = another
                self._by_itself(another, "authorized", purse.moved[how])
                return PaymentAuthorized(
                    payment_id=another.payment_id, amount=another.money("authorized")
                )
            case "tells again" if how in _TOLD:
                return _TOLD[how](payment_id=id_, amount=purse.money(how))
        return None

    def _by_itself(self, purse: Purse, how: How, amount_minor: int) -> None:
        self._book(f"by itself {len(self.moves)}", purse, how, amount_minor, again=False)

    # -- its ledger -------------------------------------------------------------------------------

    def _purse(self, asked: Asked) -> Purse:
        new = Purse(asked.order_id, asked.payment_id, asked.amount.currency)
        return self.purses.setdefault(asked.payment_id, new)

    def _book(
        self, key: str, purse: Purse, how: How, amount_minor: int, *, again: bool = True
    ) -> None:
        """Money moves; `again` says that something may come of it."""
        purse.moved[how] += amount_minor
        at = (purse.order_id, purse.payment_id, how, amount_minor, purse.currency)
        self.moves.append(Move(key, *at, self._now_ms()))
        if again:
            for deed in self._conduct(purse.order_id).by_itself.get(how, ()):
                self._later(self._do_by_itself, deed, purse.payment_id, how)

    def _conduct(self, order_id: str) -> Conduct:
        return self.conducts.get(order_id, Conduct())

    def _later(self, do: Callable[..., None], *args: Any) -> None:
        after_s = self._random.randint(0, self._random.choice(SCALES_MS)) / 1000
        asyncio.get_running_loop().call_later(after_s, do, *args)

    def _unknown(
        self, tell: Callable[[Event[Any], str], Fact], event: Event[Any], why: str
    ) -> Fact:
        self.counts["unknown"] += 1
        return tell(event, why)

    def _give_up(
        self, tell: Callable[[Event[Any], str], Fact], event: Event[Any], why: str
    ) -> Fact:
        self.counts["given up"] += 1
        self.given_up[event.id] = event.subject
        return tell(event, why)


_TOLD: Mapping[How, Callable[..., PaymentFact]] = {
    "authorized": PaymentAuthorized,
    "captured": PaymentCaptured,
    "voided": PaymentVoided,
    "refunded": PaymentRefunded,
}


def _no(asked: Asked, operation: Movement, reason: str) -> RequestFailed:
    return RequestFailed(payment_id=asked.payment_id, request=operation, reason=reason)
