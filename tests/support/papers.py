"""What lies on the topics of a running system, read from the beginning as anybody could."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.dead_letters import Kept, read_letter
from shared.decode import Record
from shared.events.envelope import Event, Fact, Topic
from shared.events.fulfillment import FULFILLMENT_EVENTS, Order, OrderSnapshot
from shared.events.inventory import StockLevelChanged
from shared.events.topics import PUBLISHED, TOPICS
from shared.events.warehouse import stock_subject
from shared.kafka import DEAD_LETTERS, reader_of
from shared.log_reader import LogReader

POLL_MS = 200

ALL = (*(topic.name for topic in PUBLISHED), DEAD_LETTERS)
_MODELS = {topic.name: topic.models for topic in TOPICS}
_SNAPSHOT = Event[OrderSnapshot]


class Said(NamedTuple):
    """A fact of a service, and the order after it where fulfillment says it."""

    topic: str
    event: Event[Any]
    order: Order | None

    @property
    def fact(self) -> Fact:
        fact: Fact = self.event.data
        return fact


@dataclass
class Papers:
    """The facts, each once, by subject in the order of its topic; dead letters as they came.

    `doubled` are ids under which two different things were said: there must be none (P3).
    """

    said: defaultdict[str, list[Said]] = field(default_factory=lambda: defaultdict(list))
    letters: list[Kept] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    _seen: dict[str, bytes] = field(default_factory=dict)

    def take(self, record: Record) -> Said | None:
        """Take in a record; None where it says nothing new."""
        if record.topic == DEAD_LETTERS:
            self.letters.append(read_letter(record))
            return None
        value = record.value or b""
        said = _said(record.topic, value)
        known = self._seen.setdefault(said.event.id, value)
        if known is not value:
            self.doubled += [] if known == value else [said.event.id]
            return None
        self.said[said.event.subject].append(said)
        return said

    @property
    def facts(self) -> int:
        """How many there are."""
        return len(self._seen)

    def of(self, subject: str, topic: Topic) -> list[Said]:
        """What a topic says about a subject."""
        return [said for said in self.said[subject] if said.topic == topic.name]

    def order(self, order_id: str) -> Order | None:
        """An order as it is now."""
        found = [said.order for said in self.of(order_id, FULFILLMENT_EVENTS) if said.order]
        return found[-1] if found else None

    def level(self, seller_id: str, sku: str) -> StockLevelChanged:
        """A SKU's level now; the highest version wins, whatever partition it came from (P1)."""
        facts = (said.fact for said in self.said[stock_subject(seller_id, sku)])
        levels = (fact for fact in facts if isinstance(fact, StockLevelChanged))
        return max(levels, key=lambda level: level.level_version)


class Ears:
    """Reads on, up to where the topics end, whenever it is asked."""

    def __init__(self, consumer: AIOKafkaConsumer, reader: LogReader) -> None:
        self.papers = Papers()
        self._consumer = consumer
        self._reader = reader
        self._all = [TopicPartition(topic, p) for topic in ALL for p in range(reader.partitions)]
        self._new: list[Said] = []
        consumer.assign(self._all)

    async def read(self) -> list[Said]:
        """What is new; raises TransientError while Kafka is away, and forgets nothing by it."""
        ends = await self._reader.ends(ALL)
        while behind := [
            tp
            for tp in self._all
            if await self._consumer.position(tp) < ends[tp.topic, tp.partition]
        ]:
            for records in (await self._consumer.getmany(*behind, timeout_ms=POLL_MS)).values():
                self._new += [said for record in records if (said := self.papers.take(record))]
        new, self._new = self._new, []
        return new


@asynccontextmanager
async def listen(servers: str, reader: LogReader) -> AsyncIterator[Ears]:
    """Ears at the Kafka of these servers; closed at the end."""
    consumer = reader_of(servers)
    try:
        await consumer.start()
        yield Ears(consumer, reader)
    finally:
        await consumer.stop()


def _said(topic: str, value: bytes) -> Said:
    model = _MODELS[topic][Event[Fact].model_validate_json(value).type]
    order = None
    if topic == FULFILLMENT_EVENTS.name:
        order = _SNAPSHOT.model_validate_json(value).data.order
    return Said(topic, model.model_validate_json(value), order)
