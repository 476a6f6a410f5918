"""Which events a request holds, and what becomes of each: a record on its partition, or a refusal.

An event is read by the decoder that the topics' owners read by, so what is wrong with it has here
the reason and the field that its dead letter would have. Beside these there are only `not_allowed`
(a source or topic that is not the token's), `unsupported_media_type` and `too_many_events`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from pydantic_core import to_json

from services.ingest.state import Token
from shared.batch import StoredRecord
from shared.clock import Timeline
from shared.decode import (
    Decoder,
    NotAnEvent,
    Reading,
    parsed_json,
    partition_of,
    structured,
    type_in,
)
from shared.events.envelope import CONTENT_TYPE, Event, Topic
from shared.events.fields import TRACEPARENT

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY = "application/json"
MAX_EVENTS = 500
"""Of a batch: as many as a worker decides at a time."""
MAX_SUBJECT = 128
"""Characters of a subject that can be one."""
MAX_BODY_BYTES = 4 * 2**20
"""Of a request: 500 orders of some lines. An event alone has a limit of its own."""

Headers = Sequence[tuple[str, str]]
RecordHeaders = tuple[tuple[str, bytes | None], ...]


class Said(NamedTuple):
    """An event as it came, as the value and the headers of a record."""

    value: bytes
    headers: RecordHeaders


class Accepted(NamedTuple):
    """A record to write, and the id of its event."""

    id: str
    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: RecordHeaders


def kind_of(headers: Headers) -> str:
    """The content type of a request, without its parameters; of several the last."""
    return dict(headers).get("content-type", "").partition(";")[0].strip().lower()


def said_in(headers: Headers, body: bytes) -> Sequence[Said] | NotAnEvent:
    """The events of a request, in their order: one, or a batch of them.

    `headers` have names in small letters, and values as ASGI has them, in Latin-1.
    """
    told, kind = dict(headers), kind_of(headers)
    trace = _trace(told)
    if kind == STRUCTURED:
        return [Said(body, (("content-type", CONTENT_TYPE.encode()), *trace))]
    if kind == BATCH:
        return _batch(body, trace)
    if kind == BINARY and "ce-specversion" in told:
        attributes = [
            ("ce_" + name[3:], unquote_to_bytes(value.encode("latin-1")))
            for name, value in told.items()
            if name.startswith("ce-")
        ]
        return [Said(body, (*attributes, ("content-type", BINARY.encode()), *trace))]
    allowed = f"{STRUCTURED}, {BATCH}, or {BINARY} with ce- headers"
    return NotAnEvent("unsupported_media_type", f"allowed: {allowed}", "content-type")


def _batch(body: bytes, trace: RecordHeaders) -> Sequence[Said] | NotAnEvent:
    events = parsed_json(body, anything=True)
    if isinstance(events, NotAnEvent):
        return events
    if not isinstance(events, list):
        return NotAnEvent("not_an_array", "a batch is a JSON array of events")
    if len(events) > MAX_EVENTS:
        return NotAnEvent("too_many_events", f"at most {MAX_EVENTS} in a batch")
    headers = (("content-type", CONTENT_TYPE.encode()), *trace)
    return [Said(to_json(event), headers) for event in events]


def _trace(told: Mapping[str, str]) -> RecordHeaders:
    """The context of who asks, where it is one (W3C Trace Context): it goes with the record."""
    context = told.get("traceparent", "")
    return (("traceparent", context.encode()),) if re.fullmatch(TRACEPARENT, context) else ()


class Intake:
    """Reads events for the topics that they belong on, of so many partitions each."""

    def __init__(self, topics: Sequence[Topic], partitions: int) -> None:
        self._partitions = partitions
        self._topic_of = {type_: topic.name for topic in topics for type_ in topic.models}
        self._decoder = Decoder("ingest", [Reading(t, t.facts) for t in topics], partitions)

    def read(
        self, said: Said, token: Token, arrival_ms: int, timeline: Timeline
    ) -> Accepted | NotAnEvent:
        """The record of an event that arrives at a wall time, or why it may not be one."""
        value = structured(_record("", 0, b"", said, arrival_ms))
        parsed = value if isinstance(value, NotAnEvent) else parsed_json(value)
        if isinstance(parsed, NotAnEvent):
            return parsed
        topic = self._allowed_topic(parsed, token)
        if isinstance(topic, NotAnEvent):
            return topic
        subject = parsed.get("subject")
        # One that is too long is refused by its model: its partition, which is remembered, is not.
        key = subject if isinstance(subject, str) and len(subject) <= MAX_SUBJECT else ""
        partition = partition_of(key, self._partitions)
        record = _record(topic, partition, key.encode(), said, arrival_ms)
        found = self._decoder.decode(record, timeline)
        if isinstance(found, NotAnEvent):
            return found
        assert isinstance(found, Event), "all types of these topics are read, where they belong"
        if found.source not in token.sources:
            allowed = ", ".join(token.sources)
            return NotAnEvent("not_allowed", f"the token may say: {allowed}", "source")
        return Accepted(found.id, topic, partition, key.encode(), said.value, said.headers)

    def _allowed_topic(self, parsed: Mapping[str, Any], token: Token) -> str | NotAnEvent:
        type_ = type_in(parsed)
        if isinstance(type_, NotAnEvent):
            return type_
        topic = self._topic_of.get(type_)
        if topic is None:
            known = ", ".join(sorted(self._topic_of))
            return NotAnEvent("unknown_type", f"allowed: {known}", "type")
        if topic not in token.topics:
            allowed = ", ".join(token.topics)
            return NotAnEvent("not_allowed", f"the token may write: {allowed}", "type")
        return topic


def _record(topic: str, partition: int, key: bytes, said: Said, arrival_ms: int) -> StoredRecord:
    """The event as its topic's owner will see it, but for its offset."""
    return StoredRecord(topic, partition, 0, arrival_ms, key, said.value, said.headers)
