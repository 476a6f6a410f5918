"""The demo's plays on the system in memory: in virtual time, so that nothing is late."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from services.cli.demo.cast import Cast, as_event
from services.cli.demo.script import OPENING, Errand, Script
from services.cli.demo.seen import Seen, Told
from services.cli.demo.stage import LAST_DAY
from services.cli.demo.stories import STORIES
from services.cli.demo.traffic import stocking
from services.cli.provider_server import Answer, Ledger
from services.cli.provider_server import Request as Asked
from shared.clock import from_ms
from shared.events.envelope import Event, Fact, Topic
from shared.events.gateway import VerificationUnavailable
from shared.events.payment import (
    CaptureRequested,
    RefundRequested,
    VerificationStarted,
    VoidRequested,
)
from shared.events.topics import FROM_OUTSIDE, TOPICS
from shared.kafka import DEAD_LETTERS
from shared.policy import Policies
from tests.support.world import MemoryRecord, World

SHELVES = tuple(stocking(story.seller_id, story.sku, story.on_hand) for story in STORIES)

POLICIES_DIR = Path(__file__).parents[2] / "deploy" / "policies"

OPERATIONS: Mapping[type[Fact], str] = {
    VerificationStarted: "authorize",
    CaptureRequested: "capture",
    VoidRequested: "void",
    RefundRequested: "refund",
}
"""What the facts of payment ask of its provider."""

TIMED_OUT = timedelta(minutes=48)
"""Business time in which a late answer is given up and asked for again: 16 s in the first hour."""

Records = tuple[MemoryRecord, ...]


@dataclass
class Stage:
    """A world and who acts in it: its clock, and its way to Kafka."""

    world: World

    def now(self) -> datetime:
        return from_ms(self.world.now_ms)

    async def send(
        self, topic: Topic, fact: Fact, *, subject: str, time: datetime, id_: str | None
    ) -> None:
        assert time == self.now(), "in virtual time everything is said when it was planned"
        self.world.say(topic, fact, subject, id_=id_ or "")


class Request(NamedTuple):
    """A request for money to carry out when its time has come."""

    due: datetime
    record: MemoryRecord
    event: Event[Any]


class Provider:
    """The payment provider that scripts name, without HTTP: it answers as it is planned to."""

    def __init__(self, world: World, cast: Cast, scripts: Iterable[Script]) -> None:
        self.ledger = Ledger()
        self._world = world
        self._cast = cast
        self._plans = {s.order_id: {o: [*a] for o, a in s.provider.items()} for s in scripts}
        self._requests: list[Request] = []

    def hear(self, record: MemoryRecord, told: Told) -> None:
        """Take a request; without a plan for its order, it is the gateway's."""
        event = told.event
        if type(event.data) in OPERATIONS and self._plans.get(event.subject):
            self._requests.append(Request(event.time, record, event))

    def next_due(self) -> datetime | None:
        """When there is something to answer next."""
        return min((request.due for request in self._requests), default=None)

    async def perform(self, now: datetime) -> None:
        """Answer what is due."""
        for request in [each for each in self._requests if each.due <= now]:
            self._requests.remove(request)
            await self._answer(request)

    async def _answer(self, request: Request) -> None:
        event, operation = request.event, OPERATIONS[type(request.event.data)]
        plan = self._plans[event.subject].get(operation)
        answer: Answer = plan.pop(0) if plan else "approves"
        payment_id = event.id if operation == "authorize" else event.data.payment_id
        asked = Asked(order_id=event.subject, payment_id=payment_id, amount=event.data.amount)
        self.ledger.asked[event.id] += 1
        said = self.ledger.do(event.id, operation, asked, answer)
        if answer == "late":
            unknown = VerificationUnavailable(payment_id=payment_id, reason="no answer")
            self._world.answer(request.record, unknown, final=False)
            self._requests.append(request._replace(due=request.due + TIMED_OUT))
            return
        if answer == "twice":
            await self._cast.tell(event.subject, said)
        self._world.answer(request.record, as_event(said))


def played(
    scripts: Iterable[Script], errands: Iterable[Errand] = SHELVES, until: timedelta = LAST_DAY
) -> World:
    """The world after these scripts."""
    return performed(scripts, errands, until)[0]


def performed(
    scripts: Iterable[Script], errands: Iterable[Errand] = SHELVES, until: timedelta = LAST_DAY
) -> tuple[World, Ledger]:
    """The world after these scripts, and the payment provider's ledger."""
    world = World(OPENING, Policies.load(POLICIES_DIR))
    ledger = asyncio.run(_play(world, tuple(scripts), errands, OPENING + until))
    return world, ledger


async def _play(
    world: World, scripts: tuple[Script, ...], errands: Iterable[Errand], until: datetime
) -> Ledger:
    stage, seen = Stage(world), Seen()
    producers = {topic.name: stage for topic in FROM_OUTSIDE}
    cast = Cast(scripts, errands, OPENING, stage, producers)
    provider = Provider(world, cast, scripts)
    read: Counter[tuple[str, int]] = Counter()
    while stage.now() < until:
        await cast.speak()
        for place, log in world.log.items():
            for record in log[read[place] :]:
                if told := seen.take(record):
                    cast.hear(told)
                    provider.hear(record, told)
            read[place] = len(log)
        await provider.perform(stage.now())
        if cast.idle() and all(read[place] == len(log) for place, log in world.log.items()):
            dues = (cast.next_due(), provider.next_due(), *(e.due for e in world.ledger()), until)
            world.pass_time(min(each for each in dues if each))
    return provider.ledger


def records_of(world: World) -> Records:
    """Everything that lies on the topics."""
    names = (*(topic.name for topic in TOPICS), DEAD_LETTERS)
    return tuple(record for name in names for record in world.records(name))


def seen_in(records: Iterable[MemoryRecord], ledger: Ledger | None = None) -> Seen:
    """What one sees who reads all of that, and the provider's ledger."""
    seen = Seen(ledger)
    for record in records:
        seen.take(record)
    return seen


def falsified(
    records: Records,
    subject: str,
    type_: type[Fact],
    change: Callable[[dict[str, Any]], object] | None = None,
) -> Records:
    """Records in which the facts of a type about a subject say something else, or are missing."""
    found = []
    for record in records:
        event = json.loads(record.value or b"")
        if (event["subject"], event["type"]) == (subject, type_.TYPE):
            if change is None:
                continue
            change(event)
        found.append(replace(record, value=json.dumps(event).encode()))
    assert tuple(found) != records, f"there is no {type_.TYPE} about {subject}"
    return tuple(found)
