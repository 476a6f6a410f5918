"""What a partition task needs of a log: Kafka in a running service (`shared/kafka.py`)."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol

from shared.batch import DeadLetter, Outgoing
from shared.decode import Record
from shared.events.envelope import Topic
from shared.marks import Mark


class Bounds(NamedTuple):
    """The first offset of a topic's partition that is still there, and the one behind its last."""

    begin: int
    end: int


class Log(Protocol):
    """What a task needs of Kafka; raises TransientError while it is away.

    `restoring` is held by whose opening restores what crosses orders: all partitions of a worker
    open at a time, and the others find it done.
    """

    restoring: asyncio.Lock

    async def bounds(self, topics: Iterable[str], partition: int) -> Mapping[str, Bounds]:
        """Where the topics' partition begins and ends now."""

    async def ends(self, topic: str, partitions: int) -> Sequence[int]:
        """The offset behind the last record of each partition of a topic."""

    async def high_watermarks(self, topics: Iterable[str], partition: int) -> Mapping[str, int]:
        """The offsets behind all that was written, of transactions that have not ended, too."""

    async def last_commit(self, topic: str, partition: int, start: int | None) -> tuple[int, int]:
        """The highest commit number in a journal from an offset to its end, and that end.

        `start` None is the journal's beginning; the number is 0 where there is none.
        """

    def records(
        self, topic: str, partition: int, start: int | None, end: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        """The records from an offset (None: the beginning) to before another, some at a time.

        Whoever may stop before the end closes it (`aclosing`): nobody else reads meanwhile.
        """

    async def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """The offset of the first record that is not older than a wall instant; else the end."""

    async def publish(self, outgoing: Sequence[Outgoing], journal: Topic, mark: Mark) -> int | None:
        """Publish facts, the journal's last, and wait for the acks.

        Returns the journal's offset behind them, None where none went there.
        """

    async def keep(self, dead: Sequence[DeadLetter], service: str) -> None:
        """Put records on the dead-letter topic, byte for byte, and wait for the acks."""

    async def reroute(self, records: Sequence[Record], subjects: Sequence[str]) -> None:
        """Send misrouted records once more, to the partition of their subject."""

    def seek(self, positions: Mapping[str, int], partition: int) -> None:
        """Go on at these offsets, and let records come."""

    def pause(self, topics: Iterable[str], partition: int) -> None:
        """Let no records come."""

    def resume(self, topics: Iterable[str], partition: int) -> None:
        """Let records come again."""

    async def passed(self, topics: Iterable[str], partition: int) -> Mapping[str, int]:
        """The offsets that the consumer has reached, whether it found records there or not."""


async def behind_control_records(
    log: Log, partition: int, positions: Mapping[str, int], reached: Mapping[str, int]
) -> dict[str, int]:
    """Positions, moved to what was reached where no record lies between.

    What a transactional producer leaves at the end no consumer hands out, and retention deletes it
    like all else: a position before it would look as if records were lost unread.
    """
    moved = dict(positions)
    for topic, end in reached.items():
        if moved[topic] < end and not await _any_record(log, topic, partition, moved[topic], end):
            moved[topic] = end
    return moved


async def _any_record(log: Log, topic: str, partition: int, start: int, end: int) -> bool:
    async with aclosing(log.records(topic, partition, start, end)) as batches:
        async for records in batches:
            if records:
                return True
    return False
