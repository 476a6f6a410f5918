"""CloudEvents 1.0 as Orderflow speaks it, and what a fact and a topic are.

A fact is a frozen pydantic model with a `TYPE`; on the wire it is the `data` of a CloudEvent in
structured mode. Facts of our own services carry three things more: the extension attribute
`subjectversion` (1, 2, 3 … per subject; a consumer ignores what it has passed); in the data, the
subject's open deadlines; and what their publisher remembers of the event that led to them, so that
its memory can be rebuilt from them: `causationsource`, the event's source, and, of a fact of ours,
`causationversion`, its version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha1
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

from pydantic import Field, StringConstraints
from pydantic_core import to_json

from shared.events.fields import (
    EventId,
    Identifier,
    Instant,
    Model,
    Traceparent,
    Version,
)

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
MAX_EVENT_BYTES = 900_000
"""Of a fact of ours: below Kafka's default `message.max.bytes` of 1 048 588, with room."""
MAX_OUTSIDE_EVENT_BYTES = 400_000
"""Of an event from outside: parked, it lies in a fact of ours as base64, and has to fit there."""

_NAMESPACE = UUID("6f2a5d0e-3c39-5b0a-9d5b-0d1d6b6f7a11").bytes
"""Of derived ids. Changing it would give old facts new ids: never."""


class OpenDeadline(Model):
    """A deadline that a subject waits for: `due` in business time."""

    kind: Identifier
    due: Instant


class About(NamedTuple):
    """The subject that a fact names itself, and its version where it counts its own."""

    subject: str
    version: int | None = None


class Fact(Model):
    """Something that happened, as the `data` of an event."""

    TYPE: ClassVar[str]

    def about(self) -> About | None:
        """What the fact says itself that it is about; an event's subject has to be the same."""
        return None

    def claimed_instants(self) -> Mapping[str, datetime]:
        """When what it tells of happened, by field, where it says so beside the event's time.

        Like that, it may not lie in the future.
        """
        return {}


class ServiceFact(Fact):
    """A fact of one of our services: it lists the deadlines that its subject has open after it."""

    deadlines: Annotated[tuple[OpenDeadline, ...], Field(max_length=16)] = ()


MAX_SOURCE = 256
"""Characters of a CloudEvent's source."""
Source = Annotated[str, StringConstraints(min_length=1, max_length=MAX_SOURCE)]
OURS = "orderflow/"
"""The source of a fact of ours is this and the name of the service."""

D_co = TypeVar("D_co", bound=Fact, covariant=True)


class Event(Model, Generic[D_co]):
    """A CloudEvent with its fact."""

    specversion: Literal["1.0"] = "1.0"
    id: EventId
    source: Source
    type: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    subject: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e][\x20-\x7e]{0,127}$")]
    time: Instant
    correlationid: EventId | None = None
    causationid: EventId | None = None
    causationsource: Source | None = None
    causationversion: Version | None = None
    traceparent: Traceparent | None = None
    subjectversion: Version | None = None
    data: D_co

    @property
    def unique_id(self) -> str:
        """What no other event has: producers number their events each for itself (CloudEvents)."""
        return f"{self.source} {self.id}"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic of events, the facts that may lie on it, and who answers for it.

    `publisher` is the service of ours that writes it, None for a topic from outside; `owner` is the
    service that dead-letters what is no event on a topic from outside, one owner each. Where the
    facts are not `counted`, several have the same version: they are told apart by their ids.
    """

    name: str
    facts: tuple[type[Fact], ...]
    publisher: str | None = None
    owner: str | None = None
    counted: bool = True
    models: Mapping[str, type[Event[Any]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        models = {fact.TYPE: Event[fact] for fact in self.facts}  # type: ignore[valid-type]
        object.__setattr__(self, "models", models)


def derived_id(cause_id: str, service: str, type_: str, subject: str, nth: int) -> str:
    """The id of the n-th fact of a type that a service derives from one cause: deciding again gives
    the same id, in the next release too (P3).
    """
    name = f"{cause_id}\n{service}\n{type_}\n{subject}\n{nth}"
    hashed = sha1(_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    # uuid.uuid5 in a third of its time: one of these is made for each fact.
    variant = "89ab"[int(hashed[16], 16) % 4]
    first = f"{hashed[:8]}-{hashed[8:12]}-5{hashed[13:16]}"
    return f"{first}-{variant}{hashed[17:20]}-{hashed[20:32]}"


def encode(
    fact: Fact,
    *,
    id_: str,
    source: str,
    subject: str,
    time: datetime,
    version: int | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    causation_source: str | None = None,
    causation_version: int | None = None,
    traceparent: str | None = None,
    extra: bytes = b"",
) -> bytes:
    """A fact as one structured CloudEvent: compact JSON, UTF-8.

    `extra` are further members of the data, already JSON (`,"order":{…}`): a snapshot is
    serialised once, for the store and for the wire.
    """
    head: dict[str, object] = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": fact.TYPE,
        "subject": subject,
        "time": time,
    }
    optional = {
        "correlationid": correlation_id,
        "causationid": causation_id,
        "causationsource": causation_source,
        "causationversion": causation_version,
        "traceparent": traceparent,
        "subjectversion": version,
    }
    head |= {name: value for name, value in optional.items() if value is not None}
    data = fact.__pydantic_serializer__.to_json(fact, exclude_none=True)
    if extra:
        data = data[:-1] + (extra if len(data) > len(b"{}") else extra[1:]) + b"}"
    return to_json(head)[:-1] + b',"data":' + data + b"}"
