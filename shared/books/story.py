"""What the books remember of one subject: all that was said about it, condensed.

A record is parsed once and kept without its large members, so that a partition's history fits into
memory; of a snapshot only the last is kept, as it came.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from jiter import from_json
from pydantic_core import to_json

from shared.clock import to_ms
from shared.decode import Record
from shared.events.envelope import Topic
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.parking import EventParked, EventUnparked

Json: TypeAlias = Mapping[str, Any]

_SNAPSHOT = "order"
_BESIDES = frozenset({"deadlines", _SNAPSHOT})
"""What the partition task adds to a fact: not what the fact says."""


class Entry(NamedTuple):
    """One event: where it lies, its attributes, and its data without what is large.

    Its id, as that of its `cause`, is one of its source: two sources may use the same.

    `at_ms` is the record's Kafka timestamp (wall time); `content` tells the data from others;
    `status` is the order's after a fact of fulfillment, and `over` that it will not change again.
    """

    topic: str
    offset: int
    at_ms: int
    source: str
    id: str
    type: str
    time: str
    cause: str | None
    cause_source: str | None
    version: int | None
    data: Json
    content: int
    status: str = ""
    over: bool = False


@dataclass(slots=True)
class Story:
    """All that was said about one subject, per topic in the order of the log, repeats removed.

    `states` are what folding a service's journal comes to; `snapshot` is the last record of the
    journal that carries the whole order. `kept` are the ids of events that are dead letters,
    `failed` says that deciding one of them failed, and `broken`, by service, that its facts can not
    follow on each other.
    """

    subject: str
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    snapshot: bytes | None = None
    failed: bool = False
    kept: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)

    def of(self, topic: Topic, *types: str) -> list[Entry]:
        """What was said on a topic, all of it or of some types."""
        said = self.entries.get(topic.name, [])
        return [entry for entry in said if entry.type in types] if types else said

    def last(self, topic: Topic) -> Entry | None:
        """The last thing said on a topic."""
        said = self.entries.get(topic.name)
        return said[-1] if said else None

    def causes(self, *topics: Topic) -> set[str]:
        """The ids of the events that led to what was said on these topics."""
        return {entry.cause for topic in topics for entry in self.of(topic) if entry.cause}

    def order(self) -> Json | None:
        """The order as its last snapshot shows it."""
        if self.snapshot is None:
            return None
        found: Json | None = from_json(self.snapshot)["data"].get(_SNAPSHOT)
        return found

    def parked(self, journal: Topic) -> list[tuple[str, str]]:
        """The ids of the events that wait, by a journal, in the order in which they came."""
        waiting: dict[tuple[str, str], None] = {}
        for entry in self.of(journal, EventParked.TYPE, EventUnparked.TYPE):
            if entry.type == EventParked.TYPE:
                waiting[event_of(entry.data["record"])] = None
            else:
                waiting.pop(event_of(entry.data), None)
        return list(waiting)

    def deadlines(self, topic: Topic) -> Iterator[tuple[str, int]]:
        """The deadlines that a journal lists as open: kind, and due in business ms."""
        last = self.last(topic)
        for deadline in last.data.get("deadlines", ()) if last is not None else ():
            yield deadline["kind"], ms_of(deadline["due"])


def ms_of(instant: str) -> int:
    """An instant as facts write it, in ms."""
    return to_ms(datetime.fromisoformat(instant))


def parsed(value: bytes | None) -> Json | None:
    """The record's event, None where it has not an event's attributes."""
    try:
        event = from_json(value or b"")
    except ValueError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        return None
    texts = (event.get(name) for name in ("id", "type", "subject", "time"))
    return event if all(isinstance(text, str) for text in texts) else None


def entry_of(record: Record, event: Json) -> Entry:
    """An event as the books keep it."""
    data: dict[str, Any] = dict(event["data"])
    status, over = "", False
    said = to_json({name: value for name, value in data.items() if name not in _BESIDES})
    order = data.pop(_SNAPSHOT, None)
    if record.topic == FULFILLMENT_EVENTS.name and order is not None:
        status, over = order["status"], _is_over(order)
    return Entry(
        topic=record.topic,
        offset=record.offset,
        at_ms=record.timestamp,
        source=event.get("source", ""),
        id=event["id"],
        type=event["type"],
        time=event["time"],
        cause=event.get("causationid"),
        cause_source=event.get("causationsource"),
        version=event.get("subjectversion"),
        data=_condensed(data),
        content=hash(said),
        status=status,
        over=over,
    )


def _is_over(order: Json) -> bool:
    """P2: Canceled, or Shipped with every package's delivery known, or that it is brought back."""
    known = all(p.get("delivered_at") or p.get("returned_at") for p in order.get("packages", ()))
    return order["status"] == "Canceled" or (order["status"] == "Shipped" and known)


def _condensed(data: dict[str, Any]) -> Json:
    match data:
        case {"placed": {"order_id": _}}:
            return {name: value for name, value in data.items() if name != "placed"}
        case {"ship_address": dict(address)}:
            said = {name: value for name, value in data.items() if name != "items"}
            return {**said, "ship_address": _told_apart(address)}
        case {"record": record}:
            kept = ("event_source", "event_id", "topic", "offset")
            return {**data, "record": {name: record[name] for name in kept}}
    return data


def _told_apart(address: Json) -> int:
    """What tells an address from others; what is empty in one may not be there in another."""
    return hash(to_json(sorted((name, text) for name, text in address.items() if text)))


def event_of(parked: Json) -> tuple[str, str]:
    """The source and the id of the event that a parked record, or its end, is of."""
    return parked["event_source"], parked["event_id"]
