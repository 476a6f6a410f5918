"""No deadline overtakes an input that was in the log before it (P5).

Books do not see that: it takes the order in which records of different topics came.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from services.simulator.topics import MemoryRecord
from shared.books.story import parsed
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.topics import TOPICS
from shared.service import Service

_TOPICS = frozenset(topic.name for topic in TOPICS)


class Came(NamedTuple):
    """When an event came, as a count of records, and where."""

    nth: int
    topic: str
    type: str


def overtaken(services: Iterable[Service[Any]], appended: Sequence[MemoryRecord]) -> Iterator[str]:
    """What was decided only after a deadline, although it had come before that.

    `appended` are all records in the order in which they came. Of an event that came again it is
    the last time before its decision that counts: the first may have been no news then.
    """
    came: dict[tuple[int, str], Came] = {}
    causes: defaultdict[tuple[str, int, str], dict[str, Came]] = defaultdict(dict)
    for nth, record in enumerate(appended):
        event = parsed(record.value) if record.topic in _TOPICS else None
        if event is not None:
            cause = event.get("causationid", "")
            if (found := came.get((record.partition, cause))) is not None:
                causes[record.topic, record.partition, event["subject"]].setdefault(cause, found)
            came[record.partition, event["id"]] = Came(nth, record.topic, event["type"])
    for service in services:
        if DEADLINES_EVENTS.name in service.inputs:
            for (topic, _, subject), decided in causes.items():
                if topic == service.journal.name:
                    yield from _out_of_order(service, subject, decided.values())


def _out_of_order(service: Service[Any], subject: str, decided: Iterable[Came]) -> Iterator[str]:
    last: Came | None = None
    for cause in decided:
        if cause.topic == DEADLINES_EVENTS.name:
            last = cause
        elif last is not None and cause.nth < last.nth and cause.topic in service.inputs:
            yield f"P5 {subject}: a deadline overtook {cause.type} in {service.name}"
