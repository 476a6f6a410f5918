"""The services in virtual time and without faults, as fast as they decide.

Their own `decide` and `evolve` at their own desks; of the rest there is only what decides nothing:
an event goes from hand to hand as it is, neither encoded nor decoded, a commit is an entry in a
dictionary, and the next deadline is the next instant. Everything comes once, in its order, and a
deadline before an event of the same millisecond: what is due then is over.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple, Protocol, cast

from pydantic_core import from_json

from services.deadlines.decisions import Due
from services.deadlines.state import Armed, Deadlines
from services.simulator.stock import MemoryStock
from services.simulator.tallies import MemoryTallies
from shared.batch import Decided, Desk, Input, Turn, restored
from shared.clock import from_ms, to_ms
from shared.documents import Document
from shared.errors import OrderflowError
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import About, Event, Fact, ServiceFact, Topic, encode
from shared.events.parking import EventDecided, ParkedRecord
from shared.policy import Policies
from shared.service import Question, Received, Service

DEADLINES = "deadlines"
LEDGER = "ledger"
"""No topic: where what is due is found."""


class Failed(OrderflowError):
    """A decision failed: a bug."""


class Said(NamedTuple):
    """An event as it goes from hand to hand: what an `Event` has, without checks.

    `topic` is the name of where it would lie, `publisher` the service of ours whose fact it is.
    """

    id: str
    type: str
    subject: str
    time: datetime
    data: Fact
    topic: str
    publisher: str | None = None
    subjectversion: int | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None

    @property
    def source(self) -> str:
        return self.publisher or "outside"

    @property
    def unique_id(self) -> str:
        return f"{self.source} {self.id}"


class Watch(Protocol):
    """Who looks on: told of each event that was decided, with the facts that came of it."""

    def __call__(self, service: str, state: Any, facts: Sequence[Said]) -> None: ...


@dataclass(frozen=True)
class Lying:
    """The record of an event, as parking wants to keep it; it is encoded only then."""

    said: Said
    offset: int
    partition: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def topic(self) -> str:
        return self.said.topic

    @property
    def timestamp(self) -> int:
        return to_ms(self.said.time)

    @property
    def key(self) -> bytes:
        return self.said.subject.encode()

    @property
    def value(self) -> bytes:
        said = self.said
        return encode(
            said.data,
            id_=said.id,
            source=said.source,
            subject=said.subject,
            time=said.time,
            version=said.subjectversion,
        )


class _HandingOn(Turn[Any]):
    """A turn whose facts go out as events, with a number for an id."""

    numbers = count()

    def _send(self, cause: Event[Any], fact: Fact, topic: Topic, time: datetime, nth: int) -> None:  # noqa: ARG002
        document, service = self._document, self._service
        version = None if isinstance(fact, EventDecided) else document.version or None
        about = fact.about() or About(document.subject, version)
        said = Said(
            id=str(next(self.numbers)),
            type=fact.TYPE,
            subject=about.subject,
            time=time,
            data=fact,
            topic=topic.name,
            publisher=service.name,
            subjectversion=about.version,
            causationid=cause.id,
        )
        self._outgoing.append(cast("Any", said))


@dataclass
class _Worker:
    """A service with its documents."""

    service: Service[Any]
    desk: Desk[Any]
    documents: dict[str, Document[Any]] = field(default_factory=dict)


class Engine:
    """The services given, on a stock in memory; `watch` is told of every decision.

    `dead` counts dead letters by their reason: what waited in vain. Raises Failed where a decision
    fails.
    """

    def __init__(
        self,
        services: Sequence[Service[Any]],
        policies: Policies,
        stock: MemoryStock,
        watch: Watch,
    ) -> None:
        self.decided = 0
        self.dead: Counter[str] = Counter()
        self._stock = stock
        self._tallies = MemoryTallies()
        self._watch = watch
        self._workers = {
            service.name: _Worker(service, Desk(service, policies, 0, 1, _HandingOn))
            for service in services
        }
        self._readers: dict[tuple[str, type[Fact]], list[_Worker]] = {}
        self._topics = {r.topic.name: r.topic for s in services for r in s.reads}
        self._waiting: deque[Said] = deque()
        self._ledger: list[tuple[datetime, int, str, Armed]] = []
        self._offsets = count()

    def run(self, events: Iterator[Said], more: Callable[[], Sequence[Said]]) -> None:
        """Let it all happen, until no event is left and nothing is waited for.

        `events` are in the order of their times. After each instant `more` says what else will be
        said because of it, at that instant or later.
        """
        future: list[tuple[datetime, int, Said]] = []
        order = count()
        upcoming = next(events, None)
        while upcoming or future or self._ledger:
            said = upcoming
            if future and (said is None or future[0][0] < said.time):
                said = future[0][2]
            if self._ledger and (said is None or self._ledger[0][0] <= said.time):
                self._reach()
            elif said is upcoming:
                self._say(cast("Said", said))
                upcoming = next(events, None)
            else:
                self._say(heapq.heappop(future)[2])
            for later in more():
                heapq.heappush(future, (later.time, next(order), later))

    def _say(self, said: Said) -> None:
        """An event happens, and all that follows from it at once."""
        self._waiting.append(said)
        self._settle(said.time)

    def _reach(self) -> None:
        """The next deadline comes. One that is armed no more is in no ledger."""
        due, number, subject, armed = heapq.heappop(self._ledger)
        worker = self._workers[DEADLINES]
        state: Deadlines | None = worker.documents[subject].state
        if state is None or armed not in state.armed():
            return
        data = Due(publisher=armed.publisher, kind=armed.kind, due=due)
        event = Said(f"due-{number}", Due.TYPE, subject, due, data, LEDGER)
        self._decide(worker, Input(Received(cast("Any", event), due)))
        self._settle(due)

    def _settle(self, now: datetime) -> None:
        while self._waiting:
            said = self._waiting.popleft()
            for worker in self._readers_of(said):
                record = None if said.publisher else Lying(said, next(self._offsets))
                received = Received(cast("Any", said), now, publisher=said.publisher)
                self._decide(worker, Input(received, record))

    def _readers_of(self, said: Said) -> Sequence[_Worker]:
        if isinstance(said.data, DeadlineReached):
            return [self._workers[said.data.publisher]]
        key = (said.topic, type(said.data))
        if key not in self._readers:
            self._readers[key] = [
                worker
                for worker in self._workers.values()
                for reading in worker.service.reads
                if reading.topic.name == said.topic
                and (type(said.data) in reading.facts or ServiceFact in reading.facts)
            ]
        return self._readers[key]

    def _decide(self, worker: _Worker, item: Input) -> None:
        event, service = item.received.event, worker.service
        if service.asks:
            asked = [ask(event, worker.desk.policies) for ask in service.asks]
            answers = tuple(question and self._answer(question) for question in asked)
            item = item._replace(received=item.received._replace(answers=answers))
        known = worker.documents.get(event.subject) or Document(event.subject)
        decided = worker.desk.decide([item], {event.subject: known}, self._reread)
        self.decided += 1
        for letter in decided.dead:
            if letter.reason == "decision_failed":
                raise Failed(f"{event.type} of {event.subject}: {letter.detail}")
            self.dead[letter.reason] += 1
        self._commit(worker, event.subject, known, decided)

    def _answer(self, question: Question) -> Any:
        of_stock = question.keys[0].startswith("{stock:")
        return (self._stock if of_stock else self._tallies).answer(question)

    def _commit(
        self, worker: _Worker, subject: str, known: Document[Any], decided: Decided[Any]
    ) -> None:
        after = decided.after.get(subject)
        if after is not None:
            worker.documents[subject] = after
            if worker.service.name == DEADLINES:
                self._arm(subject, known.state, after.state)
        facts = cast("list[Said]", decided.outgoing)
        self._waiting.extend(facts)
        self._watch(worker.service.name, after.state if after else known.state, facts)

    def _arm(self, subject: str, before: Deadlines | None, after: Deadlines | None) -> None:
        known = set(before.armed()) if before else ()
        for armed in after.armed() if after else ():
            if armed not in known:
                heapq.heappush(self._ledger, (armed.due, next(self._offsets), subject, armed))

    def _reread(self, parked: ParkedRecord) -> Input:
        """A parked event as it was when it came."""
        record = restored(parked)
        topic = self._topics[record.topic]
        value = record.value or b""
        event = topic.models[from_json(value)["type"]].model_validate_json(value)
        received = Received(event, from_ms(record.timestamp), publisher=topic.publisher)
        return Input(received, record)
