"""From the bytes of a record to an event, or to the reason why it is none (P6).

CloudEvents in structured and in binary mode. What is no event is never an exception: the verdict
says why and at which field, and the topic's owner keeps the record as a dead letter.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

import jiter
from aiokafka.partitioner import murmur2
from pydantic import ValidationError
from pydantic_core import to_json

from shared.clock import Timeline, from_ms, to_ms
from shared.events.envelope import (
    MAX_EVENT_BYTES,
    MAX_OUTSIDE_EVENT_BYTES,
    Event,
    Fact,
    Topic,
)
from shared.events.fields import MIN_INSTANT, TRACEPARENT

FUTURE_LIMIT = timedelta(minutes=5)
"""How far a producer's clock may be ahead, in business and in wall time."""
REROUTED_HEADER = "orderflow-rerouted"
"""Marks a record that its topic's owner has sent to its right partition once already; its value is
when the record first arrived, in wall ms."""
MAX_MS_DIGITS = 15
"""Digits of an instant in ms that are read: the year 33658 has no more."""
MAX_ARRIVAL = datetime(2190, 1, 1, tzinfo=UTC)
"""Ten years before the last instant that a fact may name: all that follows from an arrival fits."""
MAX_HEADERS_BYTES = 64_000
"""Of a record from outside, 8 more counted for each header; trace contexts take some hundreds."""
MAX_ERRORS_SHOWN = 3
"""Field errors named in one dead letter; the rest repeat the same mistake more often than not."""
MAX_NAME_SHOWN = 100
"""Bytes of a header's name in a dead letter's reason: enough to know it by."""

_BOUNDS = (
    f"the log's time of a record lies from {MIN_INSTANT:%Y} to {MAX_ARRIVAL:%Y}; where the broker"
    " sets it (message.timestamp.type=LogAppendTime) it does"
)
_TYPE = b'"type":"'
_TRACEPARENT = re.compile(TRACEPARENT.encode())
_FIRST_MS, _LAST_MS = to_ms(MIN_INSTANT), to_ms(MAX_ARRIVAL)
_HUGE_EXPONENT = re.compile(rb"[0-9][eE]\+?[0-9]{3}")


class Record(Protocol):
    """What is used of a consumer's record: `timestamp` is wall time in ms."""

    @property
    def topic(self) -> str: ...

    @property
    def partition(self) -> int: ...

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """A byte of a name that is no UTF-8 is a lone surrogate (PEP 383)."""


@dataclass(frozen=True)
class NotAnEvent:
    """Why a record is no event: a stable code, the field, and a sentence without its values."""

    reason: str
    detail: str
    field: str = ""


class Misrouted:
    """The record is a good event on the wrong partition: its producer partitions differently."""


MISROUTED = Misrouted()


@dataclass(frozen=True)
class Reading:
    """A topic that a service reads, and the facts on it that it handles.

    `every` stands for all other facts of ours on it, known or not yet: of those only what it names
    is read (of `ServiceFact`: subject, version and deadlines). `read` is for a topic that holds no
    events: it makes one of a record, or None.
    """

    topic: Topic
    facts: tuple[type[Fact], ...] = ()
    every: type[Fact] | None = None
    read: Callable[[Record], Event[Any] | None] | None = None


PARTITIONS_KEPT = 65_536
"""Subjects whose partition is remembered, some 10 MB: of the orders that are talked about now."""


@lru_cache(maxsize=PARTITIONS_KEPT)
def partition_of(subject: str, partitions: int) -> int:
    """The partition of a subject: Java's default partitioner, murmur2 over the key's bytes."""
    hashed: int = murmur2(subject.encode())
    return (hashed & 0x7FFFFFFF) % partitions


def arrived_ms(record: Record) -> int:
    """When a record reached the log, in wall ms; of one that was sent on, when it first did (R14).

    A header that names no instant before the record's own counts as none.
    """
    for name, value in record.headers:
        if name == REROUTED_HEADER and value and value[:MAX_MS_DIGITS].isdigit():
            return min(int(value[:MAX_MS_DIGITS]), record.timestamp)
    return record.timestamp


def arrived_at(record: Record, timeline: Timeline) -> datetime:
    """When a record reached the log, in business time; what no clock can have said is bounded."""
    return from_ms(min(max(_arrival_ms(record, timeline), _FIRST_MS), _LAST_MS))


def _arrival_ms(record: Record, timeline: Timeline) -> int:
    """In business ms; what has no date is as good as the first or the last that has one."""
    return timeline.business_ms(max(arrived_ms(record), 0))


class Decoder:
    """Decodes the records of one service."""

    def __init__(self, service: str, readings: Sequence[Reading], partitions: int) -> None:
        self._partitions = partitions
        self._topics = {r.topic.name: r.topic for r in readings}
        self._owned = {r.topic.name for r in readings if r.topic.owner in {None, service}}
        self._handled: dict[str, Mapping[str, type[Event[Any]]]] = {}
        self._every: dict[str, type[Event[Any]]] = {}
        self._read: dict[str, Callable[[Record], Event[Any] | None]] = {}
        for reading in readings:
            name = reading.topic.name
            models = reading.topic.models
            self._handled[name] = {fact.TYPE: models[fact.TYPE] for fact in reading.facts}
            if reading.every is not None:
                self._every[name] = Event[reading.every]  # type: ignore[name-defined]
            if reading.read is not None:
                self._read[name] = reading.read

    def owns(self, topic: str) -> bool:
        """Whether this service keeps what is no event on the topic: one from outside that it owns,
        or any of ours, where it should never lie.
        """
        return topic in self._owned

    def decode(
        self, record: Record, timeline: Timeline
    ) -> Event[Any] | NotAnEvent | Misrouted | None:
        """One record as an event; None is for others to handle.

        `timeline` translates the record's arrival to business time, for the limit on the future.
        """
        topic = self._topics[record.topic]
        if (read := self._read.get(topic.name)) is not None:
            return read(record)
        value = _value_of(topic, record)
        if isinstance(value, NotAnEvent):
            return value
        if topic.publisher is None and (large := _too_large(record, value)):
            return large
        type_ = _type_of(topic, value)
        if isinstance(type_, NotAnEvent):
            return type_
        model = self._handled[topic.name].get(type_)
        if model is None:
            if topic.publisher is None:
                return self._unhandled(topic, type_, value)
            model = self._every.get(topic.name)
            if model is None:
                return None
        try:
            event: Event[Any] = model.model_validate_json(value)
        except ValidationError as error:
            return _invalid(error)
        if topic.publisher is not None:
            return event
        return self._check_outside(event, record, timeline)

    def _unhandled(self, topic: Topic, type_: str, value: bytes) -> NotAnEvent | None:
        if topic.name not in self._owned:
            return None
        model = topic.models.get(type_)
        if model is None:
            known = ", ".join(sorted(topic.models))
            return NotAnEvent("unknown_type", f"allowed on {topic.name}: {known}", "type")
        try:
            model.model_validate_json(value)
        except ValidationError as error:
            return _invalid(error)
        return None

    def _check_outside(
        self, event: Event[Any], record: Record, timeline: Timeline
    ) -> Event[Any] | NotAnEvent | Misrouted:
        about = event.data.about()
        if about is not None and about.subject != event.subject:
            return NotAnEvent(
                "subject_is_not_the_datas", "has to be what the data names", "subject"
            )
        if record.key != event.subject.encode():
            return NotAnEvent("key_is_not_subject", "the record key has to be the subject", "key")
        if not _FIRST_MS <= _arrival_ms(record, timeline) < _LAST_MS:
            return NotAnEvent("arrival_out_of_bounds", _BOUNDS, "timestamp")
        claimed = {"time": event.time, **event.data.claimed_instants()}
        believed_ms = latest_believed_ms(timeline, arrived_ms(record))
        if future := [name for name, instant in claimed.items() if to_ms(instant) > believed_ms]:
            limit = f"at most {FUTURE_LIMIT} after its arrival"
            return NotAnEvent("time_in_future", limit, future[0])
        if partition_of(event.subject, self._partitions) != record.partition:
            if any(name == REROUTED_HEADER for name, _ in record.headers):
                return NotAnEvent("misrouted_twice", "partition is not murmur2(subject) % n", "key")
            return MISROUTED
        return event if event.traceparent else _traced(event, record)


def _value_of(topic: Topic, record: Record) -> bytes | NotAnEvent:
    """The event's JSON; facts of ours come in one mode, so their headers are not looked at."""
    value = record.value
    if topic.publisher is None or value is None or len(value) > MAX_EVENT_BYTES:
        return structured(record)
    return value


def _type_of(topic: Topic, value: bytes) -> str | NotAnEvent:
    """The type of an event; a fact of ours is not parsed for it, since most are skipped by it."""
    if topic.publisher is not None and (found := _our_type(value)):
        return found
    parsed = parsed_json(value)
    if isinstance(parsed, NotAnEvent):
        return parsed
    return type_in(parsed)


def type_in(parsed: Mapping[str, Any]) -> str | NotAnEvent:
    """The type of an event that is parsed."""
    type_ = parsed.get("type")
    if not isinstance(type_, str):
        return NotAnEvent("invalid_field", "type: has to be a string", "type")
    return type_


def _our_type(value: bytes) -> str:
    """In the head of an event as `shared.events.envelope.encode` writes it; else nothing."""
    at = value.find(_TYPE)
    if at < 0 or value.find(b"{", 1, at) > 0:
        return ""
    begin = at + len(_TYPE)
    return value[begin : value.find(b'"', begin)].decode(errors="replace")


def _traced(event: Event[Any], record: Record) -> Event[Any]:
    """An event with the context that its producer's client has put beside it (W3C Trace Context),
    where that is one.
    """
    for name, value in record.headers:
        if name == "traceparent" and value and _TRACEPARENT.fullmatch(value):
            return event.model_copy(update={"traceparent": value.decode()})
    return event


def latest_believed_ms(timeline: Timeline, arrival_ms: int) -> int:
    """The latest business time that an event may name that arrived at a wall time, in ms."""
    limit_ms = FUTURE_LIMIT // timedelta(milliseconds=1)
    return max(
        timeline.business_ms(arrival_ms) + limit_ms, timeline.business_ms(arrival_ms + limit_ms)
    )


def _too_large(record: Record, value: bytes) -> NotAnEvent | None:
    """What may be parked has to fit, with its headers, in a fact of ours."""
    if len(value) > MAX_OUTSIDE_EVENT_BYTES:
        return NotAnEvent("too_large", f"at most {MAX_OUTSIDE_EVENT_BYTES} bytes")
    if sum(8 + len(name) + len(text or b"") for name, text in record.headers) > MAX_HEADERS_BYTES:
        return NotAnEvent("too_large", f"at most {MAX_HEADERS_BYTES} bytes of headers", "headers")
    return None


def structured(record: Record) -> bytes | NotAnEvent:
    """The record as one structured JSON event, whichever mode it came in."""
    for name, _ in record.headers:
        if not name.isascii() and (odd := _odd_name(name)):
            return odd
    if record.value is None:
        return NotAnEvent("tombstone", "the record has no value")
    if len(record.value) > MAX_EVENT_BYTES:
        return NotAnEvent("too_large", f"at most {MAX_EVENT_BYTES} bytes")
    if not is_binary(record.headers):
        return record.value
    attributes = {n[3:]: v for n, v in record.headers if n.startswith("ce_")}
    if isinstance(data := parsed_json(record.value, anything=True), NotAnEvent):
        return data
    try:
        texts = {name: (value or b"").decode() for name, value in attributes.items()}
    except UnicodeDecodeError:
        return NotAnEvent("not_utf8", "ce_ headers have to be UTF-8", "headers")
    texts.pop("subjectversion", None)
    return to_json(texts)[:-1] + b',"data":' + record.value + b"}"


def _odd_name(name: str) -> NotAnEvent | None:
    """Kafka takes any bytes as a header's name; JSON and most clients take text."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        raw.decode()
    except UnicodeDecodeError:
        shown = raw[:MAX_NAME_SHOWN].decode("utf-8", "backslashreplace")
        return NotAnEvent("not_utf8", f"the name of a header has to be UTF-8: {shown}", "headers")
    return None


def is_binary(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    """Whether a record with these headers is an event in binary mode: they hold its attributes, and
    its content type does not say that the value holds them all the same.
    """
    if not any(name == "ce_specversion" for name, _ in headers):
        return False
    types = [value or b"" for name, value in headers if name == "content-type"]
    return not any(value.lower().startswith(b"application/cloudevents") for value in types)


def parsed_json(value: bytes, *, anything: bool = False) -> Any | NotAnEvent:
    """JSON as Python has it, as strictly as a record's is read: an object, or `anything`."""
    try:
        parsed = jiter.from_json(value, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        return NotAnEvent("not_json", str(error)[:200])
    if _HUGE_EXPONENT.search(value) and _holds_infinity(parsed):
        return NotAnEvent("not_json", "a number is too large for a double")
    if not anything and not isinstance(parsed, dict):
        return NotAnEvent("not_an_object", "an event is a JSON object")
    return parsed


def _holds_infinity(parsed: object) -> bool:
    match parsed:
        case float():
            return parsed in (float("inf"), float("-inf"))
        case list():
            return any(_holds_infinity(member) for member in parsed)
        case dict():
            return any(_holds_infinity(member) for member in parsed.values())
    return False


def _invalid(error: ValidationError) -> NotAnEvent:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [(".".join(map(str, e["loc"])) or "event", e["msg"]) for e in found]
    detail = "; ".join(f"{where}: {what}" for where, what in shown[:MAX_ERRORS_SHOWN])
    return NotAnEvent("invalid_field", detail[:1000], shown[0][0][:200])
