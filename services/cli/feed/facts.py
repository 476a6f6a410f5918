"""What a replay learns from facts: open deadlines, who is Unshipped since when, how all ended."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

import jiter
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.clock import to_ms
from shared.events.fulfillment import FULFILLMENT_EVENTS, OrderUnshipped
from shared.events.payment import PAYMENT_EVENTS, RefundRequested
from shared.kafka import Servers, asking, reader_of
from shared.log_reader import LogReader

TOPICS = (FULFILLMENT_EVENTS, PAYMENT_EVENTS)
POLL_MS = 200
"""The longest wait for records that are there: Kafka answers in a few ms, a busy machine later."""


@dataclass
class Outcome:
    """How an order stands: its status, and of a canceled one the reason."""

    status: str = "unknown"
    reason: str = ""
    late_notices: int = 0
    delivered: bool = False

    @property
    def label(self) -> str:
        return f"{self.status}: {self.reason}" if self.reason else self.status


@dataclass(frozen=True)
class Watched:
    """What somebody answers: the seller an order that became Unshipped, the gateway a refund."""

    order_id: str
    answer: Literal["carrier", "refunded"]
    since: datetime


@dataclass
class _Order:
    outcome: Outcome = field(default_factory=Outcome)
    due_ms: dict[str, list[int]] = field(default_factory=dict)
    """By publisher, the open deadlines of its latest fact."""


class Facts:
    """Follows the facts about orders, from the beginning, whenever it is asked to."""

    def __init__(self, consumer: AIOKafkaConsumer, reader: LogReader) -> None:
        self._consumer = consumer
        self._reader = reader
        self._orders: dict[str, _Order] = {}
        names = [topic.name for topic in TOPICS]
        self._all = [TopicPartition(n, p) for n in names for p in range(reader.partitions)]
        consumer.assign(self._all)

    @classmethod
    @asynccontextmanager
    async def following(cls, servers: Servers, reader: LogReader) -> AsyncIterator[Self]:
        """Facts of the Kafka at these servers; closed at the end."""
        consumer = reader_of(servers)
        try:
            async with asking():
                await consumer.start()
            yield cls(consumer, reader)
        finally:
            await consumer.stop()

    async def read(self) -> list[Watched]:
        """Read up to the ends of now; what is to be answered on the way."""
        ends = await self._reader.ends([topic.name for topic in TOPICS])
        found: list[Watched] = []
        async with asking():
            behind = {tp for tp in self._all if await self._consumer.position(tp) < ends[tp]}
            while behind:
                for tp, records in (
                    await self._consumer.getmany(*behind, timeout_ms=POLL_MS)
                ).items():
                    for record in records:
                        found += self._take(tp.topic, jiter.from_json(record.value or b""))
                behind = {tp for tp in behind if await self._consumer.position(tp) < ends[tp]}
        return found

    def due_ms(self, order_id: str) -> Iterator[int]:
        """When the open deadlines of an order are due, in business ms."""
        order = self._orders.get(order_id)
        for due_ms in order.due_ms.values() if order else ():
            yield from due_ms

    def next_due_ms(self) -> int | None:
        """When the next of all open deadlines is due."""
        dues = (
            due for order in self._orders.values() for dues in order.due_ms.values() for due in dues
        )
        return min(dues, default=None)

    def outcome(self, order_id: str) -> Outcome:
        """How an order stands by what was read."""
        order = self._orders.get(order_id)
        return order.outcome if order else Outcome()

    def _take(self, topic: str, event: dict[str, Any]) -> Iterator[Watched]:
        order = self._orders.setdefault(event["subject"], _Order())
        data = event["data"]
        order.due_ms[topic] = [
            to_ms(datetime.fromisoformat(deadline["due"])) for deadline in data["deadlines"]
        ]
        snapshot = data.get("order")
        if snapshot and "archived_at" not in snapshot:  # a stub no longer tells how it ended
            order.outcome = _outcome(snapshot)
        if event["type"] == OrderUnshipped.TYPE:
            released_at = datetime.fromisoformat(snapshot["released_at"])
            yield Watched(event["subject"], "carrier", released_at)
        if event["type"] == RefundRequested.TYPE:
            yield Watched(event["subject"], "refunded", datetime.fromisoformat(event["time"]))


def _outcome(snapshot: dict[str, Any]) -> Outcome:
    canceled = snapshot.get("cancellation") or {}
    return Outcome(
        status=snapshot["status"],
        reason=canceled.get("reason", ""),
        late_notices=snapshot.get("late_notices", 0),
        delivered=any(package.get("delivered_at") for package in snapshot.get("packages", ())),
    )
