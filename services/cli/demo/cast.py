"""The actors: a storefront, a payment gateway, sellers, a carrier and a warehouse, on Kafka.

They know business time and what the topics say. Everybody speaks at the planned instant, or as soon
after it as there is a way; `time` in the event is the planned one.
"""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from services.cli.demo.script import MINUTE, Act, Errand, Moment, Script, places
from services.cli.demo.seen import Told
from shared.clock import from_ms, to_ms
from shared.events.envelope import Event, Fact, Topic
from shared.events.fields import Money
from shared.events.gateway import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRefunded,
    PaymentVoided,
)
from shared.events.payment import CaptureRequested, RefundRequested, VoidRequested
from shared.events.topics import TOPIC_OF

TICK_S = 0.005
"""Between two looks at the business clock: a second of the first hour, seven minutes later on."""

MOVED: Mapping[str, type[PaymentAuthorized | PaymentCaptured | PaymentVoided | PaymentRefunded]] = {
    "authorized": PaymentAuthorized,
    "captured": PaymentCaptured,
    "voided": PaymentVoided,
    "refunded": PaymentRefunded,
}
"""The events on `payments`, by the status of the payment provider's answer."""

MOVING_MONEY = 2 * MINUTE
"""The gateway's time for a capture, a void or a refund."""

Request = CaptureRequested | VoidRequested | RefundRequested
_SAYS: Mapping[type[Request], type[PaymentCaptured | PaymentVoided | PaymentRefunded]] = {
    CaptureRequested: PaymentCaptured,
    VoidRequested: PaymentVoided,
    RefundRequested: PaymentRefunded,
}


class Cue(NamedTuple):
    """Something to say when its time has come; `nth` keeps the order of what is due together."""

    due: datetime
    nth: int
    subject: str
    fact: Fact
    id_: str | None


def as_event(answer: Mapping[str, Any]) -> Fact:
    """What the payment provider's answer says, as it is said on `payments`."""
    amount = Money.model_validate(answer["amount"])
    return MOVED[answer["status"]](payment_id=answer["payment_id"], amount=amount)


class Clock(Protocol):
    """Knows business time."""

    def now(self) -> datetime: ...


class Voice(Protocol):
    """Hands events to Kafka, as `Producer` does."""

    async def send(
        self, topic: Topic, fact: Fact, *, subject: str, time: datetime, id_: str | None
    ) -> object: ...


class Cast:
    """Plays scripts: says what is due, and listens for what further acts are counted from.

    `producers` are by topic; `said` counts what they were handed.
    """

    def __init__(
        self,
        scripts: Iterable[Script],
        errands: Iterable[Errand],
        opening: datetime,
        clock: Clock,
        producers: Mapping[str, Voice],
    ) -> None:
        self.said = 0
        self._scripts = {script.order_id: script for script in scripts}
        self._clock = clock
        self._producers = producers
        self._agenda: list[Cue] = []
        self._numbers = itertools.count()
        self._heard: Counter[tuple[str, type[Fact]]] = Counter()
        self._moved: Counter[tuple[str, type[Fact]]] = Counter()
        for script in self._scripts.values():
            at = opening + script.at
            self._plan(at, script.order_id, places(script, at))
        for errand in errands:
            self._plan(opening + errand.at, errand.subject, errand.fact, errand.id_)

    def hear(self, told: Told) -> None:
        """Plan what follows from a fact."""
        event = told.event
        script = self._scripts.get(event.subject)
        if script is None:
            return
        if isinstance(event.data, Request) and not script.provider:
            self._move_money(event)
        heard = event.subject, type(event.data)
        self._heard[heard] += 1
        moment = Moment(type(event.data), self._heard[heard])
        for act in script.acts:
            if act.since == moment:
                self._act(script, act, event.time)

    async def tell(self, order_id: str, answer: Mapping[str, Any]) -> None:
        """Have said what the payment provider answered to a request, once more."""
        self._plan(self._clock.now(), order_id, as_event(answer))

    async def play(self) -> None:
        """Say what is due, for ever."""
        while True:
            await self.speak()
            await asyncio.sleep(TICK_S)

    async def speak(self) -> None:
        """Say what is due now."""
        while not self.idle():
            await self._say(heapq.heappop(self._agenda))

    def next_due(self) -> datetime | None:
        """When there is something to say next, as far as that is known."""
        return self._agenda[0].due if self._agenda else None

    def idle(self) -> bool:
        """Whether nothing is due."""
        due = self.next_due()
        return due is None or due > self._clock.now()

    def _plan(self, due: datetime, subject: str, fact: Fact, id_: str | None = None) -> None:
        """Have something said at an instant of business time, which has whole milliseconds."""
        cue = Cue(from_ms(to_ms(due)), next(self._numbers), subject, fact, id_)
        heapq.heappush(self._agenda, cue)

    def _act(self, script: Script, act: Act, since: datetime) -> None:
        due = since + act.after
        self._plan(due, script.order_id, act.says(script, due))

    def _move_money(self, event: Event[Request]) -> None:
        """R7: the gateway does what it is asked to; it says the sum so far."""
        asked = event.data
        says = _SAYS[type(asked)]
        self._moved[asked.payment_id, says] += asked.amount.amount_minor
        amount = asked.amount.model_copy(
            update={"amount_minor": self._moved[asked.payment_id, says]}
        )
        fact = says(payment_id=asked.payment_id, amount=amount)
        self._plan(event.time + MOVING_MONEY, event.subject, fact)

    async def _say(self, cue: Cue) -> None:
        topic = TOPIC_OF[type(cue.fact)]
        producer = self._producers[topic.name]
        self.said += 1
        await producer.send(topic, cue.fact, subject=cue.subject, time=cue.due, id_=cue.id_)
