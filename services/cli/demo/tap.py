"""The demo's ears: one consumer of every topic, of no group, from the beginning."""

from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.cli.demo.seen import Seen, Told
from shared.events.topics import TOPICS
from shared.kafka import DEAD_LETTERS, asking
from shared.log_reader import Offsets

ALL = (*(topic.name for topic in TOPICS), DEAD_LETTERS)

POLL_MS = 50
"""Longest wait for a record; what comes is handed over at once."""


class Tap:
    """Takes in all records, and hands each new fact to whoever listens."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        partitions: int,
        seen: Seen,
        listeners: Sequence[Callable[[Told], None]],
    ) -> None:
        self._consumer = consumer
        self._partitions = [TopicPartition(topic, p) for topic in ALL for p in range(partitions)]
        self._seen = seen
        self._listeners = listeners
        self._positions: dict[tuple[str, int], int] = {}

    async def listen(self) -> None:
        """Read on, for ever. Raises TransientError when Kafka is away."""
        self._consumer.assign(self._partitions)
        while True:
            async with asking():
                batches = await self._consumer.getmany(timeout_ms=POLL_MS)
            for tp, records in batches.items():
                for record in records:
                    if told := self._seen.take(record):
                        for hear in self._listeners:
                            hear(told)
                    self._positions[tp.topic, tp.partition] = record.offset + 1

    def reached(self, ends: Offsets) -> bool:
        """Whether everything before these ends was read."""
        return all(self._positions.get(where, 0) >= end for where, end in ends.items())
