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
from typing import Any, NamedTuple, cast

from pydantic_core import from_json

from services.deadlines.decisions import Due
from services.deadlines.state import Armed, Deadlines
from services.simulator.stock import MemoryStock
from services.simulator.tallies import MemoryTallies
from shared.batch import Desk, Input, Turn, restored
from shared.clock import from_ms, to_ms
from shared.documents import Document
from shared.errors import OrderflowError
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Event, Fact, Topic, encode
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


Watch = Callable[[Sequence[Said]], None]
"""Who looks on: told of each decision's facts."""


class Lying(NamedTuple):
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


_ids = map(str, count())


class _HandingOn(Turn[Any]):
    """A turn whose facts go out as events, with a number for an id."""

    def _send(self, cause: Event[Any], fact: Fact, topic: Topic, time: datetime, nth: int) -> None:  # noqa: ARG002
        document = self._document
        version = None if isinstance(fact, EventDecided) else document.version or None
        subject, version = fact.about() or (document.subject, version)
        said = Said(
            id=next(_ids),
            type=fact.TYPE,
            subject=subject,
            time=time,
            data=fact,
            topic=topic.name,
            publisher=self._service.name,
            subjectversion=version,
            causationid=cause.id,
        )
        self._outgoing.append(cast("Any", said))


@dataclass
class _Worker:
    """A service with its documents."""

    service: Service[Any]
    desk: Desk[Any]
    documents: dict[str, Document[Any]] = field(default_factory=dict)


class _Remembering:
    """The deadlines service with its ledger.

    It needs no desk: what comes once, in its order, is news, and nothing has to come before it.
    """

    def __init__(self, service: Service[Any], policies: Policies) -> None:
        self.service = service
        self._policies = policies
        self._states: dict[str, Deadlines | None] = {}
        self._armed: dict[str, tuple[Armed, ...]] = {}
        self._ledger: list[tuple[int, int, str, Armed]] = []
        self._numbers = count()

    @property
    def next_due(self) -> datetime | None:
        return from_ms(self._ledger[0][0]) if self._ledger else None

    def reach(self) -> Said | None:
        """What is due next; nothing where that is armed no more."""
        due_ms, number, subject, armed = heapq.heappop(self._ledger)
        if armed not in self._armed[subject]:
            return None
        due = from_ms(due_ms)
        data = Due(publisher=armed.publisher, kind=armed.kind, due=due)
        return Said(f"due-{number}", Due.TYPE, subject, due, data, LEDGER)

    def decide(self, said: Said, now: datetime) -> list[Said]:
        subject, service, told = said.subject, self.service, []
        state = self._states.get(subject)
        received = Received(cast("Any", said), now, publisher=said.publisher)
        for fact in cast("Sequence[Fact]", service.decide(state, received, self._policies)):
            state = service.evolve(state, fact, now)
            if topic := service.topic_of.get(type(fact)):
                told.append(
                    Said(next(_ids), fact.TYPE, subject, now, fact, topic.name, service.name)
                )
        if state is not None:
            self._arm(subject, state)
        self._states[subject] = state
        return told

    def _arm(self, subject: str, state: Deadlines) -> None:
        known, armed = self._armed.get(subject, ()), tuple(state.armed())
        self._armed[subject] = armed
        for each in armed:
            if each not in known:
                heapq.heappush(self._ledger, (each.due_ms, next(self._numbers), subject, each))


class Engine:
    """The services given, on a stock in memory; `watch` is told of all facts.

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
            if service.name != DEADLINES
        }
        (remembering,) = [service for service in services if service.name == DEADLINES]
        self._deadlines = _Remembering(remembering, policies)
        self._readers: dict[tuple[str, type[Fact]], list[_Worker | _Remembering]] = {}
        self._topics = {r.topic.name: r.topic for s in services for r in s.reads}
        self._waiting: deque[Said] = deque()
        self._offsets = count()

    def run(self, events: Iterator[Said], more: Callable[[], Sequence[Said]]) -> None:
        """Let it all happen, until no event is left and nothing is waited for.

        `events` are in the order of their times. After each instant `more` says what else will be
        said because of it, at that instant or later.
        """
        future: list[tuple[datetime, int, Said]] = []
        order = count()
        upcoming = next(events, None)
        while upcoming or future or self._deadlines.next_due:
            said, due = upcoming, self._deadlines.next_due
            if future and (said is None or future[0][0] < said.time):
                said = future[0][2]
            if due and (said is None or due <= said.time):
                self._reach(due)
            elif said is upcoming:
                self._say(cast("Said", said))
                upcoming = next(events, None)
            else:
                self._say(heapq.heappop(future)[2])
            for later in more():
                heapq.heappush(future, (later.time, next(order), later))

    def state(self, service: str, subject: str) -> Any:
        """What a service knows of a subject, None where it knows nothing."""
        document = self._workers[service].documents.get(subject)
        return document and document.state

    def _say(self, said: Said) -> None:
        """An event happens, and all that follows from it at once."""
        self._waiting.append(said)
        self._settle(said.time)

    def _reach(self, due: datetime) -> None:
        """The next deadline comes. One that is armed no more is in no ledger."""
        if said := self._deadlines.reach():
            self._tell(self._deadlines.decide(said, due))
            self._settle(due)

    def _settle(self, now: datetime) -> None:
        while self._waiting:
            said = self._waiting.popleft()
            for reader in self._readers_of(said):
                if isinstance(reader, _Remembering):
                    self._tell(reader.decide(said, now))
                else:
                    self._decide(reader, said, now)

    def _tell(self, facts: Sequence[Said]) -> None:
        """What a decision comes to."""
        self.decided += 1
        self._waiting.extend(facts)
        self._watch(facts)

    def _readers_of(self, said: Said) -> Sequence[_Worker | _Remembering]:
        if isinstance(said.data, DeadlineReached):
            return [self._workers[said.data.publisher]]
        key = (said.topic, type(said.data))
        if key not in self._readers:
            all_: list[_Worker | _Remembering] = [*self._workers.values(), self._deadlines]
            self._readers[key] = [
                reader
                for reader in all_
                for reading in reader.service.reads
                if reading.topic.name == said.topic
                and (reading.every is not None or type(said.data) in reading.facts)
            ]
        return self._readers[key]

    def _decide(self, worker: _Worker, said: Said, now: datetime) -> None:
        event, desk, subject = cast("Any", said), worker.desk, said.subject
        record = None if said.publisher else Lying(said, next(self._offsets))
        asked = [ask(event, desk.policies) for ask in worker.service.asks]
        answers = tuple([question and self._answer(question) for question in asked])
        item = Input(Received(event, now, answers, said.publisher), record)
        known = worker.documents.get(subject) or Document(subject)
        decided = desk.decide([item], {subject: known}, self._reread)
        for letter in decided.dead:
            if letter.reason == "decision_failed":
                raise Failed(f"{said.type} of {subject}: {letter.detail}")
            self.dead[letter.reason] += 1
        if subject in decided.after:
            worker.documents[subject] = decided.after[subject]
        self._tell(cast("list[Said]", decided.outgoing))

    def _answer(self, question: Question) -> Any:
        of_stock = question.keys[0].startswith("{stock:")
        return (self._stock if of_stock else self._tallies).answer(question)

    def _reread(self, parked: ParkedRecord) -> Input:
        """A parked event as it was when it came."""
        record = restored(parked)
        topic = self._topics[record.topic]
        value = record.value or b""
        event = topic.models[from_json(value)["type"]].model_validate_json(value)
        received = Received(event, from_ms(record.timestamp), publisher=topic.publisher)
        return Input(received, record)
