"""The log that partition tasks work on (see `shared/log.py`), on Kafka."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from itertools import groupby
from operator import attrgetter
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker, KafkaPublishMessage

from shared.batch import DeadLetter, Outgoing
from shared.dead_letters import cut_letter, letter_headers
from shared.decode import REROUTED_HEADER, Record, partition_of
from shared.errors import TransientError
from shared.events.envelope import CONTENT_TYPE, Topic
from shared.kafka import (
    BATCH_BYTES,
    CUT_LETTER_BYTES,
    DEAD_LETTERS,
    MAX_RECORD_BYTES,
    TOO_LARGE,
    Servers,
    asking,
    keeper_of,
    reader_of,
    started,
)
from shared.log import Bounds
from shared.marks import Mark, commit_number, mark_headers, part_headers

JOURNAL_POLL_MS = 200
"""Longest wait for a journal's next records; its position is looked at after each."""

CLOSE_TIMEOUT_S = 1.0
"""With a dead broker nothing acks; what was not acked is found by whoever opens next."""

_log = structlog.get_logger()


class KafkaLog:
    """The log of one worker (see `shared.log.Log`): broker, consumer, a reader of journals.

    `read` counts the records that the reader of journals has read.
    """

    def __init__(
        self, broker: KafkaBroker, consumer: Callable[[], AIOKafkaConsumer | None], servers: Servers
    ) -> None:
        self.read = 0
        self.restoring = asyncio.Lock()
        self._broker = broker
        self._consumer_now = consumer
        self._servers = servers
        self._reader: AIOKafkaConsumer | None = None
        self._reading = asyncio.Lock()
        self._looker: AIOKafkaConsumer | None = None
        self._looker_starting = asyncio.Lock()
        self._raw: AIOKafkaProducer | None = None
        self._raw_starting = asyncio.Lock()

    async def close(self) -> None:
        """Close what it has opened, within CLOSE_TIMEOUT_S; the broker is its opener's to close."""
        opened = self._reader, self._looker, self._raw
        clients: list[Any] = [client for client in opened if client is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.gather(*(client.stop() for client in clients))

    async def bounds(self, topics: Iterable[str], partition: int) -> Mapping[str, Bounds]:
        partitions = [TopicPartition(topic, partition) for topic in topics]
        async with asking():
            begins, ends = await asyncio.gather(
                self._consumer.beginning_offsets(partitions),
                self._consumer.end_offsets(partitions),
            )
        return {tp.topic: Bounds(begins[tp], ends[tp]) for tp in partitions}

    async def ends(self, topic: str, partitions: int) -> Sequence[int]:
        every = [TopicPartition(topic, partition) for partition in range(partitions)]
        async with asking():
            ends = await self._consumer.end_offsets(every)
        return [ends[tp] for tp in every]

    async def high_watermarks(self, topics: Iterable[str], partition: int) -> Mapping[str, int]:
        partitions = [TopicPartition(topic, partition) for topic in topics]
        async with asking():
            ends = await (await self._looking_at_all()).end_offsets(partitions)
        return {tp.topic: ends[tp] for tp in partitions}

    async def last_commit(self, topic: str, partition: int, start: int | None) -> tuple[int, int]:
        end, highest = (await self.bounds([topic], partition))[topic].end, 0
        async with aclosing(self.records(topic, partition, start, end)) as batches:
            async for records in batches:
                highest = max(highest, *map(commit_number, records))
        return highest, end

    async def records(
        self, topic: str, partition: int, start: int | None, end: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        tp = TopicPartition(topic, partition)
        at = max(start or 0, (await self.bounds([topic], partition))[topic].begin)
        if at >= end:
            return
        async with self._reading:
            async with asking():
                reader = await self._journal_reader()
            reader.assign([tp])
            reader.seek(tp, at)
            while found := await _next_records(reader, tp, end):
                self.read += len(found)
                yield [record for record in found if record.offset < end]

    async def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        tp = TopicPartition(topic, partition)
        async with asking():
            found = (await self._consumer.offsets_for_times({tp: timestamp_ms}))[tp]
        if found is not None:
            return int(found.offset)
        return (await self.bounds([topic], partition))[topic].end

    async def publish(self, outgoing: Sequence[Outgoing], journal: Topic, mark: Mark) -> int | None:
        groups: defaultdict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        for fact in outgoing:
            groups[fact.topic, fact.partition].append(fact)
        own = groups.pop((journal.name, mark.partition), [])
        try:
            headers = mark_headers(mark)
            await asyncio.gather(
                *(
                    self._send(facts, headers)
                    for group in groups.values()
                    for facts in _chunks(group)
                )
            )
            # The journal last: a commit that is in it has published everything.
            chunks = _chunks(own)
            reached = [
                await self._send(facts, headers | part_headers(mark, part, chunks))
                for part, facts in enumerate(chunks)
            ]
        except KafkaError as error:
            raise TransientError(f"publishing failed: {error!r}") from error
        return reached[-1] if reached else None

    async def keep(self, dead: Sequence[DeadLetter], service: str) -> None:
        try:
            keeper = await self._raw_producer()
            await asyncio.gather(*(_keep(keeper, letter, service) for letter in dead))
        except KafkaError as error:
            raise TransientError(f"the dead-letter topic is not available: {error!r}") from error

    async def reroute(self, records: Sequence[Record], subjects: Sequence[str]) -> None:
        try:
            sender = await self._raw_producer()
            acks = []
            for record, subject in zip(records, subjects, strict=True):
                count = len(await sender.partitions_for(record.topic))
                marked = (REROUTED_HEADER, b"%d" % record.timestamp)
                acks.append(
                    await sender.send(
                        record.topic,
                        record.value,
                        key=record.key,
                        partition=partition_of(subject, count),
                        headers=[*record.headers, marked],
                    )
                )
            await asyncio.gather(*acks)
        except KafkaError as error:
            raise TransientError(f"rerouting failed: {error!r}") from error

    def seek(self, positions: Mapping[str, int], partition: int) -> None:
        for topic, offset in positions.items():
            self._consumer.seek(TopicPartition(topic, partition), offset)
        self.resume(positions, partition)

    def pause(self, topics: Iterable[str], partition: int) -> None:
        self._consumer.pause(*self._assigned(topics, partition))

    def resume(self, topics: Iterable[str], partition: int) -> None:
        self._consumer.resume(*self._assigned(topics, partition))

    async def passed(self, topics: Iterable[str], partition: int) -> Mapping[str, int]:
        async with asking():
            return {
                tp.topic: await self._consumer.position(tp)
                for tp in self._assigned(topics, partition)
            }

    def known_ends(self, topics: Iterable[str], partition: int) -> Mapping[str, int]:
        """The ends that the consumer was told with the records that it fetched last; no trip."""
        known = {tp.topic: self._consumer.highwater(tp) for tp in self._assigned(topics, partition)}
        return {topic: end for topic, end in known.items() if end is not None}

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._consumer_now()
        if consumer is None:
            raise TransientError("the consumer is closed")
        return consumer

    def _assigned(self, topics: Iterable[str], partition: int) -> list[TopicPartition]:
        held = self._consumer.assignment()
        return [tp for topic in topics if (tp := TopicPartition(topic, partition)) in held]

    async def _journal_reader(self) -> AIOKafkaConsumer:
        if self._reader is None:
            self._reader = await started(reader_of(self._servers))
        return self._reader

    async def _looking_at_all(self) -> AIOKafkaConsumer:
        """A consumer whose ends are the high watermarks: it reads nothing."""
        async with self._looker_starting:
            if self._looker is None:
                looker = reader_of(self._servers, isolation_level="read_uncommitted")
                self._looker = await started(looker)
            return self._looker

    async def _raw_producer(self) -> AIOKafkaProducer:
        """A producer that sends records byte for byte, odd headers included."""
        async with self._raw_starting:
            if self._raw is None:
                self._raw = await started(keeper_of(self._servers))
            return self._raw

    async def _send(self, facts: Sequence[Outgoing], headers: Mapping[str, str]) -> int:
        """One batch to one partition; the offset behind it once it is acked."""
        acked: Any = await self._broker.publish_batch(
            *(KafkaPublishMessage(fact.value, key=fact.key) for fact in facts),
            topic=facts[0].topic,
            partition=facts[0].partition,
            headers={"content-type": CONTENT_TYPE, **headers},
        )
        return int(acked.offset) + len(facts)


async def _keep(keeper: AIOKafkaProducer, letter: DeadLetter, service: str) -> None:
    """Send a dead letter, as much of it as the topic takes; returns when it is acked."""
    with suppress(*TOO_LARGE):
        return await _send_letter(keeper, letter, letter_headers(letter, service))
    for room in CUT_LETTER_BYTES:
        part = cut_letter(letter, room)
        with suppress(*TOO_LARGE):
            headers = letter_headers(part, service, whole=letter.record)
            await _send_letter(keeper, part, headers)
            _log.error("a dead letter is cut", origin=headers["deadletter-id"], bytes=room)
            return None
    raise TransientError(
        f"{DEAD_LETTERS} refuses records of {room} bytes: set its max.message.bytes to"
        f" {MAX_RECORD_BYTES}, as `orderflow topics` does"
    )


async def _send_letter(
    keeper: AIOKafkaProducer, letter: DeadLetter, headers: Mapping[str, str]
) -> None:
    record = letter.record
    await keeper.send_and_wait(
        DEAD_LETTERS,
        record.value or b"",
        key=record.key,
        partition=record.partition,
        headers=[(name, text.encode()) for name, text in headers.items()],
    )


async def _next_records(reader: AIOKafkaConsumer, tp: TopicPartition, end: int) -> Sequence[Record]:
    """The next records of a partition, none at its end; silence before it is an outage."""
    async with asking():
        while await reader.position(tp) < end:
            if records := (await reader.getmany(tp, timeout_ms=JOURNAL_POLL_MS)).get(tp):
                return records
    return ()


def _chunks(facts: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Facts in batches of at most BATCH_BYTES, those about one subject together if they fit; a
    larger fact is one of its own.
    """
    chunks: list[list[Outgoing]] = []
    room = 0
    for _, run in groupby(facts, key=attrgetter("key")):
        together = [*run]
        fit = sum(map(_size, together)) <= BATCH_BYTES
        for some in [together] if fit else [[fact] for fact in together]:
            size = sum(map(_size, some))
            if size > room:
                chunks.append([])
                room = BATCH_BYTES
            chunks[-1] += some
            room -= size
    return chunks


def _size(fact: Outgoing) -> int:
    return len(fact.key) + len(fact.value) + 256  # 256: headers and framing of one record
