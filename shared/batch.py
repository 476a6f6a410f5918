"""The decisions of one batch of one partition, in memory: pure, so deciding again gives the same.

Event by event, in order: drop what is no news, decide, evolve, and encode the facts under ids that
are derived from their cause. The commit writes what this returns (`shared/partition.py`).
"""

import traceback
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Generic, NamedTuple

from shared.clock import Timeline
from shared.decode import Record, arrived_at, partition_of
from shared.documents import Document, S
from shared.errors import PermanentError
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import OURS, About, Event, Fact, Topic, derived_id, encode
from shared.events.parking import (
    PARKED,
    PARKING,
    EventDecided,
    EventFailed,
    EventParked,
    EventUnparked,
    ParkedRecord,
    UnparkedOutcome,
)
from shared.policy import Policies
from shared.service import Park, Received, Service

MAX_PARKED = 16
"""Events that wait for one subject: more than a story needs, so a flood for an id that never comes
stays small. The next is a dead letter."""
MAX_PARKED_BYTES = 500_000
"""Of a record that waits, with key and headers: it lies in a fact of ours as base64, beside the
snapshot of what it is about, which takes of the room."""
HEADER_BYTES = 16
"""What a header costs in JSON beside its name and value."""
MAX_TRACEBACK = 4_000
"""Characters of a traceback kept with a dead letter; its end says most."""


class Input(NamedTuple):
    """One event to decide, and the record it came in; None for what arises in the task itself.

    Of an answer from the outside, `call` is the id of the call; a `final` one ends it.
    """

    received: Received
    record: Record | None = None
    call: str = ""
    final: bool = False


def input_of(event: Event[Any], record: Record, timeline: Timeline, publisher: str | None) -> Input:
    """The event of a record, with when the record reached the log, in business time.

    The log's time of a fact of ours is that of a machine of ours: not before the fact.
    """
    at = arrived_at(record, timeline)
    at = max(at, event.time) if publisher else at
    origin = record.topic, record.offset
    return Input(Received(event, at, publisher=publisher, origin=origin), record)


class Outgoing(NamedTuple):
    """One fact on its way to Kafka, as the outbox holds it; `call` is its id if it is a call."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    call: str = ""


class DeadLetter(NamedTuple):
    """A record to keep as it came, and why."""

    record: Record
    reason: str
    detail: str
    field: str = ""


class _Failure(NamedTuple):
    """Why an event could not be decided, as its dead letter says it."""

    reason: str
    detail: str


class StoredRecord(NamedTuple):
    """A parked record, as a `Record` again."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(slots=True)
class Decided(Generic[S]):
    """What a batch came to: documents before and after, facts in order, dead letters, counts.

    `states` holds the JSON of a state where a snapshot needed it, so that it is made once.
    `answered` are calls whose final answer was decided, `failed` says of others why that failed;
    `repeated` are the identities of inputs that were no news.
    """

    before: dict[str, Document[S]] = field(default_factory=dict)
    after: dict[str, Document[S]] = field(default_factory=dict)
    states: dict[str, bytes] = field(default_factory=dict)
    outgoing: list[Outgoing] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


Reread = Callable[[ParkedRecord], Input]
"""Decodes a parked record again."""


@dataclass(frozen=True)
class Desk(Generic[S]):
    """Where one partition's events are decided: the service, its policies, the partition."""

    service: Service[S]
    policies: Policies
    partition: int
    partitions: int
    turn: "type[Turn[Any]]" = field(default_factory=lambda: Turn)
    """An event's turn; the simulator's hands facts on without encoding them."""

    def decide(
        self,
        inputs: Iterable[Input],
        documents: Mapping[str, Document[S]],
        reread: Reread,
    ) -> Decided[S]:
        """Decide `inputs` in order on `documents`, which has an entry for each of their subjects.

        `reread` decodes a parked record again when its turn comes.
        """
        decided: Decided[S] = Decided()
        for item in inputs:
            subject = item.received.event.subject
            turn = self.turn(self, decided.after.get(subject) or documents[subject], decided)
            turn.take(item)
            turn.retry_parked(reread)
            turn.close(documents[subject])
        return decided


class Turn(Generic[S]):
    """One event's turn on one document: what it changes, and what it sends out."""

    def __init__(self, desk: Desk[S], document: Document[S], decided: Decided[S]) -> None:
        self._desk = desk
        self._service = desk.service
        self._document = document
        self._decided = decided
        self._changed = False
        self._state: bytes | None = None
        self._outgoing: list[Outgoing] = []
        self._remembered: Mapping[str, Any] = {}

    def take(self, item: Input) -> None:
        """Decide one event, unless it is no news."""
        self._taken = item.received.event
        if not self._is_news(item):
            self._decided.counts["repeats"] += 1
            self._decided.repeated.add(id(item))
        elif failed := self._attempt(lambda: item):
            self._dead_letter(item.record, *failed)
            if item.call:
                self._decided.failed[item.call] = failed.detail
            return
        if item.final:
            self._decided.answered.append(item.call)

    def retry_parked(self, reread: Reread) -> None:
        """Decide what waits, in its order, as long as that changes anything."""
        progress = self._changed
        while progress:
            progress = False
            for parked in self._document.parked:
                failed = self._attempt(partial(reread, parked), parked)
                if failed:
                    self._dead_letter(restored(parked), *failed)
                if parked not in self._document.parked:
                    progress = True
                    break

    def close(self, stored: Document[S]) -> None:
        """Hand over what the event came to; what had no effect leaves no trace in the document."""
        decided, subject, journal = self._decided, self._document.subject, self._service.journal
        if self._outgoing and all(sent.topic != journal.name for sent in self._outgoing):
            self._send(self._taken, EventDecided(), journal, self._taken.time, 0)
        decided.outgoing += self._outgoing
        if not self._changed:
            return
        decided.before.setdefault(subject, stored)
        decided.after[subject] = self._document
        decided.states.pop(subject, None)
        if self._state is not None:
            decided.states[subject] = self._state

    def _is_news(self, item: Input) -> bool:
        event, document = item.received.event, self._document
        if item.received.publisher is None:
            return event.unique_id not in document.seen
        if isinstance(event.data, DeadlineReached):
            deadline = (event.data.kind, event.data.due)
            mine = event.data.publisher == self._service.name
            return mine and deadline in {(open_.kind, open_.due) for open_ in document.deadlines}
        publisher, version = item.received.publisher, event.subjectversion or 0
        failed_before = version in document.failed.get(publisher, ())
        return version > document.passed.get(publisher, 0) or failed_before

    def _attempt(
        self, read: Callable[[], Input], parked: ParkedRecord | None = None
    ) -> _Failure | None:
        """Decide and apply one event, whole or not at all; why not, where that failed.

        All of it is pure, so one try tells: a bug stops at its own event, the rest goes on.
        """
        kept = (self._document, self._changed, self._state, len(self._outgoing))
        item: Input | None = None
        self._remembered = {}
        try:
            item = read()
            self._decide(item, parked)
        except Exception as error:  # noqa: BLE001 - where a bug of a decision is met
            self._document, self._changed, self._state, sent = kept
            del self._outgoing[sent:]
            self._decided.counts["failed"] += 1
            self._remembered = {}
            if item is not None:
                self._note_failed(item)
            if parked is not None:
                # One that can not even be read again has no event: it is this turn's that tells.
                cause, first = (item.received.event, 0) if item else (self._taken, parked.offset)
                self._unpark(cause, [parked], "failed", first)
            if isinstance(error, PermanentError):
                return _Failure(error.reason, error.detail)
            return _Failure("decision_failed", traceback.format_exc()[-MAX_TRACEBACK:])
        return None

    def _decide(self, item: Input, parked: ParkedRecord | None) -> None:
        event = item.received.event
        if isinstance(event.data, DeadlineReached) and event.data.kind == PARKED:
            self._give_up_parked(item)
            return
        verdict = self._service.decide(self._document.state, item.received, self._desk.policies)
        if isinstance(verdict, Park):
            if parked is None:
                self._park(item, verdict)
        elif verdict or parked is not None:
            # What changed nothing is not remembered: no document would be written.
            self._mark(item)
            if parked is not None:
                self._unpark(event, [parked], "decided")
            self._apply(event, verdict)

    def _mark(self, item: Input) -> None:
        """Note that the event was decided: what comes again is no news."""
        event, document, publisher = item.received.event, self._document, item.received.publisher
        version = event.subjectversion
        if publisher is None and (item.record is not None or item.call):
            document = document.after_seeing(event.unique_id)
            self._remembered = {"causation_source": event.source}
        elif publisher and version and not isinstance(event.data, DeadlineReached):
            document = document.after_passing(publisher, version)
            source = f"{OURS}{publisher}"
            self._remembered = {"causation_source": source, "causation_version": version}
        if not document.correlation_id:
            document = document._replace(correlation_id=event.correlationid or event.id)
        self._document = document

    def _note_failed(self, item: Input) -> None:
        """A fact of ours that failed is news when it comes again, whatever was decided since."""
        event, publisher = item.received.event, item.received.publisher
        version = event.subjectversion
        if publisher is None or version is None or isinstance(event.data, DeadlineReached):
            return
        if version not in self._document.failed.get(publisher, ()):
            self._apply(event, [EventFailed(publisher=publisher, version=version)])

    def _apply(self, cause: Event[Any], facts: Iterable[Fact], first: int = 0) -> None:
        """Record and send what a cause led to; its facts of a type are counted from `first`."""
        time = max(cause.time, self._document.time or cause.time)
        nth: defaultdict[str, int] = defaultdict(lambda: first)
        for fact in facts:
            topic = self._service.topic_of.get(type(fact))
            sent = fact
            if topic is None or topic is self._service.journal:
                sent = self._evolve(fact, time, counted=topic is not None)
            if topic is not None:
                self._send(cause, sent, topic, time, nth[fact.TYPE])
                nth[fact.TYPE] += 1

    def _evolve(self, fact: Fact, time: datetime, *, counted: bool) -> Fact:
        document, state = self._document, self._document.state
        self._changed = True
        if isinstance(fact, EventFailed):
            document = document.after_failing(fact.publisher, fact.version)
        elif not isinstance(fact, PARKING):
            state = self._service.evolve(state, fact, time)
            self._state = None
        version = document.version + (1 if counted else 0)
        self._document = document = document._replace(state=state, version=version, time=time)
        if counted and document.deadlines:
            return fact.model_copy(update={"deadlines": document.deadlines})
        return fact

    def _send(self, cause: Event[Any], fact: Fact, topic: Topic, time: datetime, nth: int) -> None:
        document, service = self._document, self._service
        version = None if isinstance(fact, EventDecided) else document.version or None
        own = fact.about()
        if own is not None and own.version is not None:
            nth = own.version  # told once more after a loss, the subject may have gone on
        about = own or About(document.subject, version)
        at = self._desk.partition
        if about.subject != document.subject:
            # What is known of the document's own subject may be more when this is decided again.
            at, time = partition_of(about.subject, self._desk.partitions), cause.time
        id_ = derived_id(cause.unique_id, service.name, fact.TYPE, about.subject, nth)
        value = encode(
            fact,
            id_=id_,
            source=f"{OURS}{service.name}",
            subject=about.subject,
            time=time,
            version=about.version,
            correlation_id=document.correlation_id or cause.correlationid,
            causation_id=cause.id,
            **self._remembered,
            traceparent=cause.traceparent,
            extra=self._snapshot() if topic is service.journal else b"",
        )
        call = id_ if type(fact) in service.calls else ""
        self._outgoing.append(Outgoing(topic.name, at, about.subject.encode(), value, call))

    def _snapshot(self) -> bytes:
        if self._service.snapshot is None or self._document.state is None:
            return b""
        if self._state is None:
            self._state = self._service.documents.dump_state(self._document.state)
        return f',"{self._service.snapshot}":'.encode() + self._state

    def _park(self, item: Input, verdict: Park) -> None:
        record, event, waiting = item.record, item.received.event, self._document.parked
        if record is None:
            raise ValueError(f"{event.type} did not come from a topic: it can not be parked")
        if any((p.event_source, p.event_id) == (event.source, event.id) for p in waiting):
            self._decided.counts["repeats"] += 1
            return
        if len(waiting) >= MAX_PARKED:
            detail = f"at most {MAX_PARKED} events wait for one subject"
            self._dead_letter(record, "too_many_parked", detail)
            return
        room = MAX_PARKED_BYTES - len(self._snapshot()) * 3 // 4
        if _size(record) > room:
            detail = f"what waits for its order has at most {room} bytes here, with headers"
            self._dead_letter(record, "too_large_to_park", detail)
            return
        parked = _stored(record, event, verdict.until)
        self._document = self._document._replace(parked=(*waiting, parked))
        self._decided.counts["parked"] += 1
        # Parked again after its dead letter, from another record, the event makes a new fact (P3).
        self._apply(event, [EventParked(record=parked)], first=record.offset)

    def _give_up_parked(self, item: Input) -> None:
        """What precedes its order is parked for a time, then a dead letter (R25)."""
        event: Event[DeadlineReached] = item.received.event
        over = [parked for parked in self._document.parked if parked.until <= event.data.due]
        for parked in over:
            detail = f"nothing to apply it to came until {parked.until.isoformat()}"
            self._dead_letter(restored(parked), "no_such_order", detail)
        self._unpark(event, over, "no_such_order")

    def _unpark(
        self,
        cause: Event[Any],
        over: Sequence[ParkedRecord],
        outcome: UnparkedOutcome,
        first: int = 0,
    ) -> None:
        rest = tuple(parked for parked in self._document.parked if parked not in over)
        self._document = self._document._replace(parked=rest)
        given_up = [
            EventUnparked(event_source=p.event_source, event_id=p.event_id, outcome=outcome)
            for p in over
        ]
        self._apply(cause, given_up, first)

    def _dead_letter(self, record: Record | None, reason: str, detail: str) -> None:
        if record is not None:
            self._decided.dead.append(DeadLetter(record, reason, detail))


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value or b"") + HEADER_BYTES for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def _stored(record: Record, event: Event[Any], until: datetime) -> ParkedRecord:
    def text(value: bytes | None) -> str | None:
        return None if value is None else b64encode(value).decode()

    return ParkedRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=text(record.key),
        value=text(record.value) or "",
        headers=tuple((name, text(value)) for name, value in record.headers),
        event_source=event.source,
        event_id=event.id,
        until=until,
    )


def restored(parked: ParkedRecord) -> StoredRecord:
    """The record that was parked, as it came."""

    def raw(value: str | None) -> bytes | None:
        return None if value is None else b64decode(value)

    return StoredRecord(
        topic=parked.topic,
        partition=parked.partition,
        offset=parked.offset,
        timestamp=parked.timestamp_ms,
        key=raw(parked.key),
        value=raw(parked.value),
        headers=tuple((name, raw(value)) for name, value in parked.headers),
    )
