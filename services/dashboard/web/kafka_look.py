"""What pages ask Kafka itself: a record where it lies, and how far the services are."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.dashboard.web.parts import Clock, Progress
from shared.decode import Record
from shared.errors import TransientError
from shared.events.topics import TOPICS
from shared.kafka import DEAD_LETTERS, Servers, asking, group_of, group_offsets, reader_of, started

READABLE = frozenset({*(topic.name for topic in TOPICS), DEAD_LETTERS})
"""The topics that services read, and of which a record is shown."""
LOOK_EVERY_S = 5.0
"""The services tell Kafka so often how far they are."""
RECORD_TIMEOUT_MS = 2_000
"""A record that is there comes within milliseconds."""

_log = structlog.get_logger()


class KafkaLook:
    """One consumer of no group, made when it is first asked; questions take turns."""

    def __init__(
        self,
        servers: Servers,
        partitions: int,
        names: Sequence[str],
        clock: Clock,
    ) -> None:
        self.services: Mapping[str, tuple[Progress, ...]] = {}
        self._servers = servers
        self._partitions = partitions
        self._names = names
        self._clock = clock
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Give the consumer back."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def record(self, topic: str, partition: int, offset: int) -> Record | None:
        """One record, None where it is not there any more, or on no topic of ours."""
        if topic not in READABLE:
            return None
        tp = TopicPartition(topic, partition)
        async with self._turn, asking():
            consumer = await self._opened()
            begins = await consumer.beginning_offsets([tp])
            ends = await consumer.end_offsets([tp])
            if not begins[tp] <= offset < ends[tp]:
                return None
            consumer.assign([tp])
            consumer.seek(tp, offset)
            found = await consumer.getmany(tp, timeout_ms=RECORD_TIMEOUT_MS, max_records=1)
            consumer.unsubscribe()
        records = found.get(tp, [])
        return records[0] if records and records[0].offset == offset else None

    async def run(self) -> None:
        """Know how far the services are, for ever; an outage is waited out."""
        while True:
            try:
                self.services = {name: await self.progress(name) for name in self._names}
            except (TransientError, KafkaError) as error:
                _log.warning("how far the services are is not known", error=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def progress(self, service: str) -> tuple[Progress, ...]:
        """By partition: how many records are behind, and since when it stands where it does."""
        at = await group_offsets(self._servers, group_of(service), READABLE, self._partitions)
        every = [TopicPartition(topic, partition) for topic, partition in at]
        async with self._turn, asking():
            ends = await (await self._opened()).end_offsets(every)
        before = {each.partition: each for each in self.services.get(service, ())}
        now_ms = self._clock.wall_ms()
        found = []
        for partition in sorted({tp.partition for tp in every}):
            behind = sum(
                max(ends[tp] - at[tp.topic, tp.partition], 0)
                for tp in every
                if tp.partition == partition
            )
            known = before.get(partition)
            still = known is not None and known.behind == behind
            moved_ms = known.moved_ms if known is not None and still and behind else now_ms
            found.append(Progress(partition, behind, moved_ms))
        return tuple(found)

    async def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = await started(reader_of(self._servers))
        return self._consumer
