"""What lies on the topics, as anybody who reads them sees it, and what the payment provider says
that it did: the demo knows nothing else.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import jiter

from services.cli.provider_server import Ledger, Move
from shared.decode import Record
from shared.events.envelope import Event, OpenDeadline, ServiceFact
from shared.events.fulfillment import ARCHIVE, FULFILLMENT_EVENTS, Order, OrderSnapshot
from shared.events.inventory import StockLevelChanged
from shared.events.notices import NoticeRequested
from shared.events.topics import TOPICS
from shared.kafka import DEAD_LETTERS

NOTICES_KEPT = 60
"""More than a screen has lines."""

_MODELS = {topic.name: topic.models for topic in TOPICS}
_SNAPSHOT = Event[OrderSnapshot]


@dataclass(frozen=True, slots=True)
class Told:
    """A fact as it was read; `order` is its subject after it, where fulfillment says so."""

    topic: str
    offset: int
    event: Event[Any]
    order: Order | None = None


class Waiting(NamedTuple):
    """A deadline that somebody waits for."""

    due: datetime
    kind: str
    subject: str


class Seen:
    """All facts read so far, each once however often it lies there; `ledger` is the provider's."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self.facts: dict[str, list[Told]] = {}
        self.orders: dict[str, Order] = {}
        self.levels: dict[str, StockLevelChanged] = {}
        self.notices: deque[Told] = deque(maxlen=NOTICES_KEPT)
        self.counts: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self._ids: set[str] = set()
        self._deadlines: dict[tuple[str, str], tuple[OpenDeadline, ...]] = {}

    @property
    def total(self) -> int:
        """How many facts there are."""
        return len(self._ids)

    def of(self, subject: str) -> list[Told]:
        """The facts about an order, in the order in which they were read."""
        return self.facts.get(subject, [])

    def moves(self, order_id: str) -> list[Move]:
        """How money of an order moved at the provider."""
        return [move for move in self.ledger.moves if move.order_id == order_id]

    def statuses(self) -> Counter[str]:
        """How many orders have each status now."""
        return Counter(order.status for order in self.orders.values())

    def waiting(self) -> list[Waiting]:
        """All open deadlines, the next one first, but for when what is over is archived."""
        return sorted(
            Waiting(deadline.due, deadline.kind, subject)
            for (_, subject), deadlines in self._deadlines.items()
            for deadline in deadlines
            if deadline.kind != ARCHIVE
        )

    def take(self, record: Record) -> Told | None:
        """Take in a record; None where it says nothing new."""
        if record.topic == DEAD_LETTERS:
            reasons = (value for name, value in record.headers if name == "deadletter-reason")
            self.dead_letters[(next(reasons, None) or b"").decode()] += 1
            return None
        told = _told(record)
        if told is None or told.event.id in self._ids:
            return None
        self._ids.add(told.event.id)
        self._count(told)
        return told

    def _count(self, told: Told) -> None:
        event, data = told.event, told.event.data
        self.facts.setdefault(event.subject, []).append(told)
        self.counts[told.topic] += 1
        if told.order is not None:
            self.orders[event.subject] = told.order
        if isinstance(data, ServiceFact):
            self._deadlines[told.topic, event.subject] = data.deadlines
        if isinstance(data, StockLevelChanged):
            self._level(event.subject, data)
        if isinstance(data, NoticeRequested):
            self.notices.append(told)

    def _level(self, subject: str, level: StockLevelChanged) -> None:
        """Levels come from several partitions, in any order: the highest version holds (P1).

        The one that changed last is the last.
        """
        known = self.levels.pop(subject, level)
        self.levels[subject] = max(known, level, key=lambda each: each.level_version)


def _told(record: Record) -> Told | None:
    models: Mapping[str, type[Event[Any]]] = _MODELS[record.topic]
    value = record.value or b""
    try:
        model = models.get(jiter.from_json(value)["type"])
    except ValueError:  # no event: a dead letter has it
        return None
    if model is None:
        return None
    order = None
    if record.topic == FULFILLMENT_EVENTS.name:
        order = _SNAPSHOT.model_validate_json(value).data.order
    return Told(record.topic, record.offset, model.model_validate_json(value), order)
