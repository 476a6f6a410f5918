"""Facts of the partition task itself, in every journal: of events that wait for their order (R25),
that failed, or whose facts all lie elsewhere. So a journal tells all that the task remembers.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from shared.events.envelope import Fact, ServiceFact, Source
from shared.events.fields import EventId, Identifier, Instant, Model, Version

PARKED = "parked"
"""The kind of the deadline that ends parking."""

Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class ParkedRecord(Model):
    """A record that waits, with all that deciding it later, or dead-lettering it, needs.

    `key`, `value` and header values are base64 of the bytes as they came; `timestamp_ms` is the
    record's own (wall time); `until` ends the waiting (business time). The event's id is one of its
    source.
    """

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    timestamp_ms: int
    key: Base64 | None = None
    value: Base64
    headers: tuple[tuple[str, Base64 | None], ...] = ()
    event_source: Source
    event_id: EventId
    until: Instant


class EventParked(ServiceFact):
    """An event came before what it is about; it waits until `record.until`."""

    TYPE: ClassVar[str] = "event.parked.v1"

    record: ParkedRecord


UnparkedOutcome = Literal["decided", "no_such_order", "failed"]


class EventUnparked(ServiceFact):
    """A parked event was decided, or is a dead letter: it waited in vain, or deciding it failed."""

    TYPE: ClassVar[str] = "event.unparked.v1"

    event_source: Source
    event_id: EventId
    outcome: UnparkedOutcome


class EventFailed(ServiceFact):
    """Deciding a fact of another service of ours failed: it is a dead letter, and news again when
    it is replayed, whatever was decided since. `publisher` and `version` are the fact's.
    """

    TYPE: ClassVar[str] = "event.failed.v1"

    publisher: Identifier
    version: Version


class EventDecided(Fact):
    """An event led to facts on other topics alone; its commit is published when this is.

    It has no version: nothing changed about its subject.
    """

    TYPE: ClassVar[str] = "event.decided.v1"


PARKING = (EventParked, EventUnparked, EventFailed)
"""What changes of a document beside its state."""
TASK = (*PARKING, EventDecided)
