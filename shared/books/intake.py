"""Takes the records of one partition, of all topics, to the stories of its subjects.

Everything about a subject lies in one partition, the same one of every topic, so the books are
balanced partition by partition, and only sums go from one to the next.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shared.books.documents import fold
from shared.books.result import Draft
from shared.books.story import Json, Story, entry_of, parsed
from shared.dead_letters import Kept, read_letter
from shared.decode import REROUTED_HEADER, NotAnEvent, Record, partition_of, structured
from shared.events.envelope import Topic
from shared.events.parking import EventDecided
from shared.events.topics import TOPICS
from shared.service import Service

FAILED = frozenset({"decision_failed", "date_out_of_range", "too_many_payments"})
"""Reasons of dead letters for what could not be decided: a bug, or a PermanentError's own."""
AFTER_DECODING = FAILED | {"no_such_order", "too_many_parked", "too_large_to_park"}
"""Reasons of dead letters for what is an event; all others are about what is none."""

_TOPICS: Mapping[str, Topic] = {topic.name: topic for topic in TOPICS}
_REQUIRED: Mapping[tuple[str, str], frozenset[str]] = {
    (topic.name, fact.TYPE): frozenset(
        name for name, field in fact.model_fields.items() if field.is_required()
    )
    for topic in TOPICS
    for fact in topic.facts
}
"""What an event's data have to hold, by topic and type. Checking all of a model would cost more
than all the rest of the audit."""


class Place(NamedTuple):
    """An event from outside, as its producer knows it."""

    topic: str
    subject: str
    id: str


@dataclass(frozen=True)
class Arrived:
    """Events from outside over all partitions: where producers that partition differently sent
    them, which of those were sent on, and which were kept as no events.
    """

    misrouted: set[Place] = field(default_factory=set)
    rerouted: set[Place] = field(default_factory=set)
    kept: set[Place] = field(default_factory=set)


class Intake:
    """One partition while it is read: first its dead letters, then every other topic in order."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        services: Iterable[Service[Any]],
        arrived: Arrived,
        ids: Draft,
        inputs: Draft,
    ) -> None:
        self.stories: dict[str, Story] = {}
        self.outside: set[Place] = set()
        self.partition = partition
        self._partitions = partitions
        self._services = {service.journal.name: service for service in services}
        self._arrived = arrived
        self._ids = ids
        self._inputs = inputs
        self._letters: defaultdict[tuple[str, int], list[Kept]] = defaultdict(list)
        self._origins: set[tuple[str, int]] = set()
        self._contents: dict[str, int] = {}

    def take_letter(self, record: Record) -> None:
        """Take a record of the dead-letter topic."""
        try:
            letter = read_letter(record)
        except ValueError as error:
            self._inputs.violate(_place(record), f"is no dead letter of ours: {error}")
            return
        if letter.topic not in _TOPICS or letter.partition != self.partition:
            self._inputs.violate(_place(record), f"can not have the origin {letter.origin}")
            return
        same_origin = self._letters[letter.topic, letter.offset]
        if letter not in same_origin:  # a crash before the commit that passes it repeats it
            same_origin.append(letter)
            self._inputs.count("dead letters")

    def take(self, record: Record) -> None:
        """Take a record of any other topic."""
        at = (record.topic, record.offset)
        letters = self._letters.get(at, [])
        for letter in letters:
            self._compare(letter, record)
            self._origins.add(at)
        if _TOPICS[record.topic].publisher is None:
            self._take_input(record, letters)
        else:
            self._take_fact(record, letters)

    def close(self) -> None:
        """All is read: a dead letter whose origin was not there was made up."""
        for at in self._letters.keys() - self._origins:
            for letter in self._letters[at]:
                self._inputs.violate(letter.origin, "has a dead letter, and does not exist")

    def _compare(self, letter: Kept, record: Record) -> None:
        """P6: what is kept is kept byte for byte, be it a part that says that it is one."""
        kept = (letter.key, letter.value, letter.timestamp_ms, letter.headers)
        key, value, headers = record.key, record.value, tuple(record.headers)
        if letter.truncated:
            key = key and key[: len(letter.key or b"")]
            value = value and value[: len(letter.value or b"")]
            headers = headers[: len(letter.headers)]
        came = (key, value, record.timestamp, headers)
        for name, one, other in zip(("key", "value", "time", "headers"), kept, came, strict=True):
            if one != other:
                self._inputs.violate(letter.origin, f"its dead letter has another {name}")

    def _take_input(self, record: Record, letters: list[Kept]) -> None:
        """P6: what is no event is kept; what lies on the wrong partition is sent on."""
        self._inputs.count("records from outside")
        value = structured(record)
        event = None if isinstance(value, NotAnEvent) else _whole(record.topic, parsed(value))
        place = Place(record.topic, event["subject"], event["id"]) if event else None
        if any(letter.reason not in AFTER_DECODING for letter in letters):
            self._inputs.count("no events, kept")
            self._arrived.kept.update([place] if place else ())
        elif event is None or place is None:
            self._inputs.violate(_place(record), "is no event, and was not kept")
        elif partition_of(place.subject, self._partitions) != self.partition:
            self._inputs.count("misrouted")
            self._arrived.misrouted.add(place)
        else:
            if any(name == REROUTED_HEADER for name, _ in record.headers):
                self._arrived.rerouted.add(place)
            repeated = place in self.outside
            self._inputs.count("repeats", n=repeated)
            self.outside.add(place)
            self._add(record, event, letters, repeated=repeated)

    def _take_fact(self, record: Record, letters: list[Kept]) -> None:
        """P3: a fact comes again only as what it was, and lies where its subject does."""
        self._ids.count("records")
        event = _whole(record.topic, parsed(record.value))
        content = hash((record.topic, record.value))
        if event is None:
            self._ids.violate(_place(record), "is no fact of this topic")
            return
        id_, known = event["id"], self._contents.get(event["id"])
        if known == content:
            self._ids.count("repeats")
            return
        if known is not None:
            self._ids.violate(event["subject"], f"{event['type']} {id_} was something else before")
            return
        if partition_of(event["subject"], self._partitions) != self.partition:
            self._ids.violate(event["subject"], f"{event['type']} {id_} is on a wrong partition")
        self._contents[id_] = content
        if event["type"] == EventDecided.TYPE:
            return  # it only marks its commit in the journal: nothing changed about its subject
        story = self._add(record, event, letters)
        if service := self._services.get(record.topic):
            fold(service, story, record.value or b"", event)

    def _add(
        self, record: Record, event: Json, letters: list[Kept], *, repeated: bool = False
    ) -> Story:
        subject = event["subject"]
        story = self.stories.get(subject)
        if story is None:
            story = self.stories[subject] = Story(subject)
        if not repeated:
            story.entries.setdefault(record.topic, []).append(entry_of(record, event))
        if letters:
            story.kept.add(event["id"])
            story.failed |= any(letter.reason in FAILED for letter in letters)
        return story


def _whole(topic: str, event: Json | None) -> Json | None:
    """The event, if its data are what its type demands."""
    required = _REQUIRED.get((topic, event["type"])) if event else None
    return event if event and required is not None and required <= event["data"].keys() else None


def _place(record: Record) -> str:
    return f"{record.topic}:{record.partition}:{record.offset}"
