"""Kafka in memory: topics of records, and the log that a worker's tasks have of them."""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple

from services.simulator.network import Server
from shared.batch import DeadLetter, Outgoing
from shared.dead_letters import letter_headers
from shared.decode import REROUTED_HEADER, Record, partition_of
from shared.errors import TransientError
from shared.events.envelope import CONTENT_TYPE, Topic
from shared.kafka import DEAD_LETTERS
from shared.log import Bounds
from shared.log_reader import Offsets
from shared.marks import Mark, commit_number, mark_headers, part_headers

Headers = tuple[tuple[str, bytes | None], ...]
STRUCTURED: Headers = (("content-type", CONTENT_TYPE.encode()),)
_OFFSET = attrgetter("offset")


class MemoryRecord(NamedTuple):
    """A record of a topic; `timestamp` is when it was appended."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Topics:
    """All topics, each with `partitions` partitions; what is appended has the time of `now_ms`.

    `appended` are all records in the order in which they came, of which `heard` are told.
    """

    def __init__(self, partitions: int, now_ms: Callable[[], int]) -> None:
        self.partitions = partitions
        self.consumers: list[Consumer] = []
        self.heard: list[Callable[[MemoryRecord], None]] = []
        self.appended: list[MemoryRecord] = []
        self.logs: defaultdict[tuple[str, int], list[MemoryRecord]] = defaultdict(list)
        self._begins: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._ends: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._now_ms = now_ms

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = STRUCTURED,
    ) -> MemoryRecord:
        """Put a record at the end of a partition."""
        at = (topic, partition)
        record = MemoryRecord(*at, self._ends[at], self._now_ms(), key, value, headers)
        self._ends[at] += 1
        self.logs[at].append(record)
        self.appended.append(record)
        for consumer in self.consumers:
            if consumer.partition == partition:
                consumer.woken.set()
        for hear in self.heard:
            hear(record)
        return record

    def append_control_record(self, topic: str, partition: int) -> None:
        """Put at its end what a transactional producer leaves, and no consumer hands out."""
        self._ends[topic, partition] += 1

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Forget the records before an offset, as retention does."""
        self._begins[topic, partition] = offset
        self.logs[topic, partition] = list(self.read(topic, partition, offset))

    def begin(self, topic: str, partition: int) -> int:
        """The first offset that is still there."""
        return self._begins[topic, partition]

    def end(self, topic: str, partition: int) -> int:
        """The offset behind the last record."""
        return self._ends[topic, partition]

    def read(
        self, topic: str, partition: int, offset: int, most: int | None = None
    ) -> Sequence[MemoryRecord]:
        """The records from an offset on."""
        log = self.logs[topic, partition]
        first = bisect_left(log, offset, key=_OFFSET)
        return log[first : None if most is None else first + most]


class Consumer:
    """Where one worker's consumer is in the topics that it reads of a partition."""

    def __init__(self, topics: Topics, names: Sequence[str], partition: int) -> None:
        self.partition = partition
        self.next = dict.fromkeys(names, 0)
        self.woken = asyncio.Event()
        self._paused = set(names)
        self._late: set[str] = set()
        self._topics = topics
        topics.consumers.append(self)

    def close(self) -> None:
        """Hear of no more records."""
        self._topics.consumers.remove(self)

    def seek(self, positions: Mapping[str, int]) -> None:
        self.next |= positions
        self.woken.set()

    def pause(self, names: Iterable[str]) -> None:
        self._paused.update(names)

    def resume(self, names: Iterable[str]) -> None:
        self._paused.difference_update(names)
        self.woken.set()

    def lag(self, name: str) -> None:
        """Let the records of a topic be late."""
        self._late.add(name)

    def catch_up(self) -> None:
        """Let nothing be late any more."""
        self._late.clear()
        self.woken.set()

    def readable(self) -> list[str]:
        """The topics that have more to hand out, in the order in which they are read."""
        return [
            name
            for name, offset in self.next.items()
            if name not in self._paused | self._late
            and offset < self._topics.end(name, self.partition)
        ]

    def take(self, name: str, most: int) -> Sequence[MemoryRecord]:
        """The next records of a topic; what is no record is passed."""
        records = self._topics.read(name, self.partition, self.next[name], most)
        end = self._topics.end(name, self.partition)
        self.next[name] = records[-1].offset + 1 if records else end
        return records


class MemoryLog:
    """The log of one worker (see `shared.log.Log`)."""

    def __init__(self, topics: Topics, kafka: Server) -> None:
        self.consumers: dict[int, Consumer] = {}
        self.restoring = asyncio.Lock()
        self._topics = topics
        self._kafka = kafka

    async def bounds(self, topics: Iterable[str], partition: int) -> Mapping[str, Bounds]:
        names = list(topics)

        def look(_parts: int) -> Mapping[str, Bounds]:
            topics = self._topics
            return {n: Bounds(topics.begin(n, partition), topics.end(n, partition)) for n in names}

        return await self._kafka.ask(look)

    async def ends(self, topic: str, partitions: int) -> Sequence[int]:
        def look(_parts: int) -> Sequence[int]:
            return [self._topics.end(topic, partition) for partition in range(partitions)]

        return await self._kafka.ask(look)

    async def high_watermarks(self, topics: Iterable[str], partition: int) -> Mapping[str, int]:
        def look(_parts: int) -> Mapping[str, int]:
            return {topic: self._topics.end(topic, partition) for topic in topics}

        return await self._kafka.ask(look)

    async def last_commit(self, topic: str, partition: int, start: int | None) -> tuple[int, int]:
        def look(_parts: int) -> tuple[int, int]:
            records = self._topics.read(topic, partition, start or 0)
            return max(map(commit_number, records), default=0), self._topics.end(topic, partition)

        return await self._kafka.ask(look)

    async def records(
        self, topic: str, partition: int, start: int | None, end: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        def look(_parts: int) -> Sequence[MemoryRecord]:
            found = self._topics.read(topic, partition, start or 0)
            return [record for record in found if record.offset < end]

        yield await self._kafka.ask(look)

    async def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        def look(_parts: int) -> int:
            found = self._topics.read(topic, partition, 0)
            later = (record.offset for record in found if record.timestamp >= timestamp_ms)
            return next(later, self._topics.end(topic, partition))

        return await self._kafka.ask(look)

    async def publish(self, outgoing: Sequence[Outgoing], journal: Topic, mark: Mark) -> int | None:
        groups: defaultdict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        for fact in outgoing:
            groups[fact.topic, fact.partition].append(fact)
        own = groups.pop((journal.name, mark.partition), [])
        headers = (*STRUCTURED, *encoded(mark_headers(mark)))
        await asyncio.gather(*(self._send(facts, headers) for facts in groups.values()))
        # The journal last: a commit that is in it has published everything.
        chunks = self._chunks(own)
        reached = None
        for part, facts in enumerate(chunks):
            of_part = encoded(part_headers(mark, part, chunks))
            reached = await self._send(facts, (*headers, *of_part))
        return reached

    async def keep(self, dead: Sequence[DeadLetter], service: str) -> None:
        def keep(letter: DeadLetter, _parts: int) -> None:
            record, headers = letter.record, letter_headers(letter, service)
            self._topics.append(
                DEAD_LETTERS, record.partition, record.key, record.value or b"", encoded(headers)
            )

        for letter in dead:
            if self._kafka.fate.strikes("letters fail", DEAD_LETTERS):
                raise TransientError("the dead-letter topic is not available")
            await self._kafka.ask(partial(keep, letter))

    async def reroute(self, records: Sequence[Record], subjects: Sequence[str]) -> None:
        def send(record: Record, subject: str, _parts: int) -> None:
            at = partition_of(subject, self._topics.partitions)
            headers = (*record.headers, (REROUTED_HEADER, b"%d" % record.timestamp))
            self._topics.append(record.topic, at, record.key, record.value, headers)

        for record, subject in zip(records, subjects, strict=True):
            await self._kafka.ask(partial(send, record, subject))

    def seek(self, positions: Mapping[str, int], partition: int) -> None:
        consumer = self._consumer(partition)
        consumer.seek(positions)
        consumer.resume(positions)

    def pause(self, topics: Iterable[str], partition: int) -> None:
        if consumer := self.consumers.get(partition):
            consumer.pause(topics)

    def resume(self, topics: Iterable[str], partition: int) -> None:
        if consumer := self.consumers.get(partition):
            consumer.resume(topics)

    async def passed(self, topics: Iterable[str], partition: int) -> Mapping[str, int]:
        consumer = self._consumer(partition)
        return {name: consumer.next[name] for name in topics}

    def _consumer(self, partition: int) -> Consumer:
        consumer = self.consumers.get(partition)
        if consumer is None:
            raise TransientError(f"partition {partition} is held no more")
        return consumer

    async def _send(self, facts: Sequence[Outgoing], headers: Headers) -> int:
        def append(_parts: int) -> int:
            for fact in facts:
                self._topics.append(fact.topic, fact.partition, fact.key, fact.value, headers)
            return self._topics.end(facts[0].topic, facts[0].partition)

        return await self._kafka.ask(append)

    def _chunks(self, facts: Sequence[Outgoing]) -> Sequence[Sequence[Outgoing]]:
        """Batches as a producer makes them of many facts: drawn, of few."""
        chunks: list[list[Outgoing]] = []
        rest = [[*run] for _, run in groupby(facts, key=attrgetter("key"))]
        while rest:
            size = self._kafka.fate.random.randint(1, len(rest))
            chunks.append([*chain(*rest[:size])])
            rest = rest[size:]
        return chunks


def encoded(headers: Mapping[str, str]) -> Headers:
    """Headers as a record has them."""
    return tuple((name, text.encode()) for name, text in headers.items())


class MemoryReader:
    """Offsets and records, for `shared.rest` and the books (as `shared.log_reader.LogReader`).

    A partition ends behind its last record: nobody has to pass what no consumer hands out.
    """

    def __init__(self, topics: Topics) -> None:
        self.partitions = topics.partitions
        self._topics = topics

    async def begins(self, topics: Sequence[str]) -> Offsets:
        at = ((topic, p) for topic in topics for p in range(self.partitions))
        return {place: self._topics.begin(*place) for place in at}

    async def ends(self, topics: Sequence[str]) -> Offsets:
        return {
            (topic, p): log[-1].offset + 1 if (log := self._topics.logs[topic, p]) else 0
            for topic in topics
            for p in range(self.partitions)
        }

    async def records(
        self, topics: Sequence[str], partition: int, ends: Offsets
    ) -> AsyncIterator[Record]:
        for topic in topics:
            for record in self._topics.read(topic, partition, 0):
                if record.offset < ends[topic, partition]:
                    yield record
