"""Records for the toy, and one partition's story told through decoder and desk, batch by batch."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from shared.batch import DeadLetter, Decided, Desk, Input, Outgoing, StoredRecord, restored
from shared.calls import answer_id
from shared.clock import Timeline, from_ms, to_ms
from shared.decode import Decoder, Record
from shared.documents import Document
from shared.events.deadlines import DEADLINES_EVENTS, DeadlineReached
from shared.events.envelope import Event, Fact, derived_id, encode
from shared.events.parking import ParkedRecord
from shared.policy import Policies
from shared.service import Received, Service
from tests.support import toy
from tests.support.toy import NOON, Sum

SUBJECT = "S-4711"


def record(
    fact: Fact,
    id_: str,
    subject: str = SUBJECT,
    *,
    time: datetime = NOON,
    arrival: datetime | None = None,
    topic: str = "toy-left",
    offset: int = 0,
    version: int | None = None,
) -> StoredRecord:
    """A record as a consumer hands it over, of partition 0; it arrives when it happened."""
    value = encode(fact, id_=id_, source="test", subject=subject, time=time, version=version)
    at = to_ms(arrival or time)
    return StoredRecord(topic, 0, offset, at, subject.encode(), value, ())


def odd(plain: StoredRecord) -> StoredRecord:
    """The same record with headers of the unpleasant kind."""
    headers = (("trace", b"\xff\x00"), ("trace", b"again"), ("empty", b""), ("null", None))
    return plain._replace(headers=headers)


def answer(call: str, fact: Fact, subject: str = SUBJECT, *, final: bool = True) -> Input:
    """What the outside answered to a call, as it is handed to the task."""
    event = Event[Any](
        id=answer_id(call, final=final),
        source="orderflow/toy/calls",
        type=fact.TYPE,
        subject=subject,
        time=NOON,
        data=fact,
    )
    return Input(Received(event, NOON), call=call, final=final)


def due(kind: str, at: datetime, subject: str = SUBJECT, publisher: str = "toy") -> StoredRecord:
    """The deadlines service says that a deadline came, under the id that it derives."""
    reached = DeadlineReached(publisher=publisher, kind=kind, due=at)
    id_ = derived_id(f"{publisher} {kind} {to_ms(at)}", "deadlines", reached.TYPE, subject, 0)
    topic = DEADLINES_EVENTS.name
    return record(reached, id_, subject, time=at, topic=topic, version=1)


@dataclass
class Story:
    """What one partition of a service is told, and what it makes of it."""

    service: Service[Sum] = field(default_factory=toy.service)
    documents: dict[str, Document[Sum]] = field(default_factory=dict)
    outgoing: list[Outgoing] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    timeline: Timeline = field(default_factory=Timeline)
    offset: int = 0
    last: Decided[Sum] = field(default_factory=Decided)

    def tell(self, *records: StoredRecord) -> "Story":
        """Hand over one batch, as one partition's next records."""
        placed = [record._replace(offset=self.offset + n) for n, record in enumerate(records)]
        self.offset += len(records)
        return self.decide([self._input(record) for record in placed])

    def copy(self) -> "Story":
        """The same story up to here, to be told on in another way."""
        return replace(
            self,
            documents={**self.documents},
            outgoing=[*self.outgoing],
            dead=[*self.dead],
            counts=self.counts.copy(),
        )

    def decide(self, inputs: Iterable[Input]) -> "Story":
        """Decide inputs that need not come from a record."""
        inputs = list(inputs)
        subjects = {item.received.event.subject for item in inputs}
        documents = {s: self.documents.get(s, Document(s)) for s in subjects}
        decided = Desk(self.service, Policies(), 0, 1).decide(inputs, documents, self._reread)
        self.last = decided
        self.documents |= self._through_redis(decided)
        self.outgoing += decided.outgoing
        self.dead += decided.dead
        self.counts += decided.counts
        return self

    def document(self, subject: str = SUBJECT) -> Document[Sum]:
        return self.documents.get(subject, Document(subject))

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What went out, as JSON."""
        return [from_json(out.value) for out in self.outgoing]

    def said(self, topic: str = "toy.events") -> list[str]:
        """The types of the facts on a topic, shortened: `added`."""
        values = [from_json(out.value) for out in self.outgoing if out.topic == topic]
        return [value["type"].split(".")[1] for value in values]

    def _through_redis(self, decided: Decided[Sum]) -> dict[str, Document[Sum]]:
        """The documents after, each written as it lies in Redis and read again."""
        documents = self.service.documents
        after = {}
        for subject, document in decided.after.items():
            (op,) = documents.write(
                0,
                decided.before[subject],
                document,
                lambda due_ms: due_ms,
                decided.states.get(subject),
            )
            stored = op.args[0]
            assert isinstance(stored, bytes)
            after[subject] = documents.read(subject, stored)
        return after

    def _input(self, item: Record) -> Input:
        decoder = Decoder(self.service.name, self.service.reads, partitions=1)
        event = decoder.decode(item, self.timeline)
        assert isinstance(event, Event), event
        publishers = {r.topic.name: r.topic.publisher for r in self.service.reads}
        at = from_ms(self.timeline.business_ms(item.timestamp))
        return Input(Received(event, at, publisher=publishers[item.topic]), item)

    def _reread(self, parked: ParkedRecord) -> Input:
        return self._input(restored(parked))


def in_batches(story: Story, records: Sequence[StoredRecord], sizes: Sequence[int]) -> Story:
    """Tell records in batches of these sizes, the rest in one."""
    rest = list(records)
    for size in sizes:
        story.tell(*rest[:size])
        del rest[:size]
    return story.tell(*rest)
