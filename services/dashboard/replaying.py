"""What replaying a dead letter would send, and what would come of it: pure.

The record goes to the topic and partition that it came from, as it came, with a header that names
its origin; so an event keeps its id, and whoever has decided it knows it again. An edited copy is
another event: its id is derived of what was edited, so the same copy sent twice is one event, too.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import jiter
from pydantic_core import to_json

from services.dashboard.decisions import SHORT_ID
from services.dashboard.state import View
from shared.batch import StoredRecord
from shared.clock import Timeline
from shared.dead_letters import Kept
from shared.decode import Decoder, NotAnEvent, Reading, is_binary, partition_of
from shared.events.envelope import OURS, Event, derived_id
from shared.events.parking import PARKING
from shared.events.topics import TOPICS
from shared.marks import MARKS

REPLAY_HEADER = "orderflow-replay-of"
"""On what was sent again: where the record came from that was a dead letter."""
REPLAY_EXTENSION = "replayof"
"""The same, as an attribute of an edited event."""
MAX_EDIT_BYTES = 100_000
"""Of a value that is edited on a page: an order of 100 items has half of it."""
MAX_KEY_BYTES = 128
"""Of a key that is typed: a subject has no more."""

NOWHERE = -1
"""The offset of what is not sent yet."""
NO_ORDER = "no_such_order"
"""Why a letter was kept that waited for its order in vain (R25)."""

Verdict = Literal["decided", "waits", "repeat", "unread", "impossible"]
"""What a replay would come to: it is decided; it waits for an order that is not there; it is known,
and changes nothing; it would be the same dead letter again; it can not be sent."""


class Outlook(NamedTuple):
    """What a replay would come to, and why; `copy` is what would be sent."""

    verdict: Verdict
    detail: str
    field: str = ""
    copy: StoredRecord | None = None

    @property
    def sends(self) -> bool:
        """Whether it is worth sending: what would change nothing, or be a letter again, is not."""
        return self.verdict in {"decided", "waits"}


class Typed(NamedTuple):
    """A copy as a person has edited it: `headers` are lines of `name: value`."""

    key: str
    value: str
    headers: str


class Examined(NamedTuple):
    """A dead letter that was looked at before anything is done with it."""

    kept: Kept
    view: View
    outlook: Outlook

    @property
    def origin(self) -> str:
        return self.kept.origin


def replay_of(kept: Kept) -> str:
    """Which dead letter a letter is a replay of, that is one again; empty for most."""
    return next((_text(v) for name, v in kept.headers if name == REPLAY_HEADER), "")


def as_it_came(kept: Kept, partitions: int, wall_ms: int) -> StoredRecord:
    """What replaying a letter sends: the record, to where it came from; from outside, to its key's
    partition, which is another where it was misrouted.

    The marks of a task's commit are left out: it is no part of that commit any more.
    """
    topic, partition = _TOPICS.get(kept.topic), kept.partition
    if topic is not None and topic.publisher is None and kept.key is not None:
        partition = partition_of(_text(kept.key), partitions)
    headers = (each for each in kept.headers if each[0] not in {*MARKS, REPLAY_HEADER})
    marked = (*headers, (REPLAY_HEADER, kept.origin.encode()))
    return StoredRecord(kept.topic, partition, NOWHERE, wall_ms, kept.key, kept.value, marked)


def as_text(kept: Kept) -> Typed | None:
    """A letter to be edited; None for what is no text, is cut, or was said by a service of ours."""
    topic = _TOPICS.get(kept.topic)
    if topic is None or topic.publisher is not None or kept.truncated:
        return None
    if len(kept.value or b"") > MAX_EDIT_BYTES or len(kept.key or b"") > MAX_KEY_BYTES:
        return None
    headers = [(name, value) for name, value in kept.headers if name != REPLAY_HEADER]
    try:
        texts = [f"{name}: {(value or b'').decode()}" for name, value in headers]
        "".join(texts).encode()  # a name that is no UTF-8 has lone surrogates
        typed = Typed((kept.key or b"").decode(), (kept.value or b"").decode(), "\n".join(texts))
    except UnicodeError:
        return None
    as_read = [(name, (value or b"").strip()) for name, value in headers]
    return typed if _headers_in(typed.headers) == as_read else None


def _headers_in(lines: str) -> list[tuple[str, bytes | None]] | None:
    """The headers that lines of `name: value` name; None where one of them names none."""
    headers: list[tuple[str, bytes | None]] = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, colon, text = line.partition(":")
        if not colon or not name.strip():
            return None
        headers.append((name.strip(), text.strip().encode()))
    return headers


def as_edited(kept: Kept, typed: Typed, partitions: int, wall_ms: int) -> StoredRecord | NotAnEvent:
    """What an edited copy sends, to its key's partition; what is wrong with it where it is none."""
    came = as_text(kept)
    if came is None:
        return NotAnEvent("not_text", "it can not be edited here", "value")
    if typed == came._replace(value=came.value.replace("\r\n", "\n")):
        return NotAnEvent("unchanged", "nothing was changed: replay it as it came", "value")
    if len(typed.value.encode()) > MAX_EDIT_BYTES:
        return NotAnEvent("too_large", f"at most {MAX_EDIT_BYTES} bytes", "value")
    if not typed.key or len(typed.key.encode()) > MAX_KEY_BYTES:
        return NotAnEvent("invalid_field", f"1 to {MAX_KEY_BYTES} bytes", "key")
    headers = _headers_in(typed.headers)
    if headers is None:
        return NotAnEvent("invalid_field", "a header is a line: name: value", "headers")
    content = sha256(to_json(typed)).hexdigest()
    id_ = derived_id(f"{kept.origin} {content}", "dashboard", "edited", typed.key, 0)
    value = typed.value.encode()
    if is_binary(headers):
        own = ("ce_id", f"ce_{REPLAY_EXTENSION}")
        headers = [each for each in headers if each[0] not in own]
        headers += [("ce_id", id_.encode()), (f"ce_{REPLAY_EXTENSION}", kept.origin.encode())]
    else:
        try:
            event = jiter.from_json(value, allow_inf_nan=False, catch_duplicate_keys=True)
        except ValueError as error:
            return NotAnEvent("not_json", str(error)[:200], "value")
        if not isinstance(event, dict):
            return NotAnEvent("not_an_object", "an event is a JSON object", "value")
        value = to_json({**event, "id": id_, REPLAY_EXTENSION: kept.origin})
    return StoredRecord(
        topic=kept.topic,
        partition=partition_of(typed.key, partitions),
        offset=NOWHERE,
        timestamp=wall_ms,
        key=typed.key.encode(),
        value=value,
        headers=(*headers, (REPLAY_HEADER, kept.origin.encode())),
    )


def outlook_of(
    kept: Kept,
    copy: StoredRecord | NotAnEvent,
    views: Mapping[str, View | None],
    partitions: int,
    timeline: Timeline,
    handled: View,
) -> Outlook:
    """What sending a copy of a letter would come to now.

    `views` are of the subjects that `subject_of` names, `handled` is what was done with the letter.
    """
    if (hindrance := _hindrance(kept, handled)) is not None:
        return Outlook("impossible", hindrance)
    if isinstance(copy, NotAnEvent):
        return Outlook("unread", f"{copy.reason}: {copy.detail}", copy.field)
    found = _decoder(_TOPICS[kept.topic].owner or kept.service, partitions).decode(copy, timeline)
    if isinstance(found, NotAnEvent):
        return Outlook("unread", f"{found.reason}: {found.detail}", found.field)
    if not isinstance(found, Event):
        return Outlook("unread", "nobody handles it")
    view = views.get(found.subject)
    if view is not None and _was_decided(view, kept.service, found):
        return Outlook("repeat", f"{kept.service} has decided {found.id}", copy=copy)
    if kept.reason == NO_ORDER and (view is None or view.order is None):
        return Outlook("waits", f"there is still no order {found.subject}", copy=copy)
    return Outlook("decided", f"{found.type} about {found.subject}", copy=copy)


def subject_of(copy: StoredRecord | NotAnEvent) -> str:
    """What a copy would be about: its key."""
    return "" if isinstance(copy, NotAnEvent) else _text(copy.key)


def _hindrance(kept: Kept, handled: View) -> str | None:
    """Why a letter can not be replayed, whatever it holds."""
    if kept.topic not in _TOPICS:
        return f"{kept.topic} is no topic of this system"
    if kept.truncated:
        return "only a part of it was kept: its producer has to send it again"
    last = handled.handled[-1] if handled.handled else None
    if last is not None and last.what == "discarded":
        return f"it was discarded: {last.reason}"
    if last is not None and last.what == "edited":
        return f"an edited copy was sent, to {last.copy_at}"
    return None


def _was_decided(view: View, service: str, event: Event[Any]) -> bool:
    """Whether facts of the service that kept it name the event as their cause."""
    ours = event.source.startswith(OURS)
    cause = event.id[:SHORT_ID] if ours else event.id
    source = "" if ours else event.source
    told = {
        (entry.cause, entry.cause_source)
        for entry in view.timeline
        if entry.topic == f"{service}.events" and entry.type not in _UNDECIDED
    }
    told |= (
        {(each.cause, each.cause_source) for each in view.level.changes} if view.level else set()
    )
    return (cause, source) in told


@lru_cache
def _decoder(service: str, partitions: int) -> Decoder:
    """Reads each of the topics with all facts that may lie there, as the owner of one does."""
    return Decoder(service, [Reading(topic, topic.facts) for topic in TOPICS], partitions)


_UNDECIDED = frozenset(fact.TYPE for fact in PARKING)
"""What is told of an event that is not decided."""


_TOPICS = {topic.name: topic for topic in TOPICS}


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")
