"""Reads topics from where they begin to where they end now, without a group or a trace in Kafka."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.decode import Record
from shared.errors import TransientError
from shared.kafka import ASK_TIMEOUT_S, Servers, asking, reader_of

Offsets: TypeAlias = Mapping[tuple[str, int], int]
"""An offset per topic and partition."""

POLL_MS = 200
"""Longest wait for the next records; the position is looked at after each."""


class LogReader:
    """Offsets and records of topics that all have `partitions` partitions; see `open_reader`.

    Every method raises TransientError while Kafka is away.
    """

    def __init__(self, consumer: AIOKafkaConsumer, partitions: int) -> None:
        self.partitions = partitions
        self._consumer = consumer

    async def begins(self, topics: Sequence[str]) -> Offsets:
        """The offset of the first record that is still there, of every partition."""
        async with asking():
            found = await self._consumer.beginning_offsets(self._all(topics))
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def ends(self, topics: Sequence[str]) -> Offsets:
        """The offset behind the last record, of every partition: one question per broker."""
        async with asking():
            found = await self._consumer.end_offsets(self._all(topics))
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def records(
        self, topics: Sequence[str], partition: int, ends: Offsets
    ) -> AsyncIterator[Record]:
        """All records of one partition of the topics before `ends`, each topic's in order."""
        left = {TopicPartition(t, partition) for t in topics if ends[t, partition]}
        if not left:
            return
        self._consumer.assign(list(left))
        await self._consumer.seek_to_beginning()
        heard_at_s = time.monotonic()
        while left:
            batch = await self._consumer.getmany(*left, timeout_ms=POLL_MS)
            for tp, records in batch.items():
                for record in records:
                    if record.offset < ends[tp.topic, tp.partition]:
                        yield record
            async with asking():
                # Not the last record's offset: behind it may be a transaction's control record.
                at = {tp: await self._consumer.position(tp) for tp in left}
            left -= {tp for tp in left if at[tp] >= ends[tp.topic, tp.partition]}
            if batch:
                heard_at_s = time.monotonic()
            elif left and time.monotonic() - heard_at_s > ASK_TIMEOUT_S:
                raise TransientError(f"Kafka has gone silent before the end of {sorted(left)}")
        self._consumer.unsubscribe()

    def _all(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for topic in topics for p in range(self.partitions)]


@asynccontextmanager
async def open_reader(servers: Servers, partitions: int) -> AsyncIterator[LogReader]:
    """A reader of the Kafka at these servers; closed at the end."""
    consumer = reader_of(servers)
    try:
        async with asking():
            await consumer.start()
        yield LogReader(consumer, partitions)
    finally:
        await consumer.stop()
