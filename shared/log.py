"""What a partition task needs of a log: Kafka in a running service (`shared/kafka.py`)."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol, TypeAlias

import structlog
from pydantic_core import from_json

from shared.batch import DeadLetter, Outgoing
from shared.decode import Record
from shared.events.envelope import Topic


class Bounds(NamedTuple):
    """The first offset of a topic's partition that is still there, and the one behind its last."""

    begin: int
    end: int


class Mark(NamedTuple):
    """What the headers of a journal's batch say: the task, its commit and the next positions."""

    service: str
    partition: int
    commit_number: int
    positions: Mapping[str, int]


TASK_HEADER = "orderflow-task"
COMMIT_HEADER, POSITIONS_HEADER = "orderflow-commit", "orderflow-positions"
PART_HEADER, PARTS_HEADER = "orderflow-part", "orderflow-parts"
CUT_HEADER = "orderflow-cut"

_log = structlog.get_logger()


class Published(NamedTuple):
    """What a journal's record says of the batch that it came with.

    A commit's facts are published in parts, one after the other; `whole` is the last of them, and
    one is `cut` where the facts about its last subject go on in the next, since all were too many.
    """

    commit_number: int
    positions: Mapping[str, int]
    whole: bool
    cut: bool = False


def published(record: Record) -> Published | None:
    """The mark of a journal's record, None where it has none: then no task of ours wrote it.

    Nor did one write a mark that can not be read. To refuse to start would let one stray record,
    which nobody can take out of a topic, stop its partition until retention does (P6).
    """
    headers = {name: value or b"" for name, value in record.headers}
    if COMMIT_HEADER not in headers:
        return None
    try:
        part, parts = int(headers[PART_HEADER]), int(headers[PARTS_HEADER])
        positions = _positions(from_json(headers[POSITIONS_HEADER]))
        number, cut = int(headers[COMMIT_HEADER]), CUT_HEADER in headers
        return Published(number, positions, part + 1 == parts, cut)
    except (KeyError, ValueError) as error:
        origin = f"{record.topic}:{record.partition}:{record.offset}"
        _log.warning("a mark that no task of ours writes", record=origin, error=repr(error)[:200])
        return None


def commit_number(record: Record) -> int:
    """The commit that a journal's record is of, 0 where no task of ours wrote it."""
    mark = published(record)
    return mark.commit_number if mark else 0


class Origin(NamedTuple):
    """By which task of a service, and which commit of it, a fact was published."""

    partition: int
    commit_number: int


def origin_of(record: Record, service: str, partitions: int) -> Origin | None:
    """By which commit of the service a record was published, None where by none of it."""
    headers = {name: value or b"" for name, value in record.headers}
    try:
        task, _, partition = headers[TASK_HEADER].decode().rpartition(":")
        origin = Origin(int(partition), int(headers[COMMIT_HEADER]))
    except (KeyError, ValueError):
        return None
    return origin if task == service and 0 <= origin.partition < partitions else None


Cause: TypeAlias = tuple[str | None, str | None]
"""The source and the id of the event that a fact follows."""


class Commits:
    """Which commits a partition's journal tells of, and of one published in part, how much.

    All up to number `known` are told.
    """

    def __init__(self, known: int) -> None:
        self._last = known
        self._in_part: dict[int, list[tuple[Record, Published]]] = {}

    def take(self, record: Record) -> None:
        """Take the journal's next record."""
        mark = published(record)
        if mark is None:
            return
        number = mark.commit_number
        if mark.whole:
            self._in_part.pop(number, None)
        elif number > self._last or number in self._in_part:
            self._in_part.setdefault(number, []).append((record, mark))
        self._last = max(self._last, number)

    def tells(self, number: int, cause: Cause) -> bool:
        """Whether what a commit made of an event is told, or else decided again."""
        if number in self._in_part:
            return cause in _causes(self._in_part[number])
        return number <= self._last


def _causes(in_part: Sequence[tuple[Record, Published]]) -> set[Cause]:
    """The events of which a commit published in part has told all: where it is cut, not of those
    about its last subject.
    """
    last, mark = in_part[-1]
    end = len(in_part)
    while mark.cut and end and in_part[end - 1][0].key == last.key:
        end -= 1
    return {_cause(record) for record, _ in in_part[:end]}


def _cause(record: Record) -> Cause:
    try:
        fact = from_json(record.value or b"")
        return fact.get("causationsource"), fact.get("causationid")
    except (ValueError, AttributeError):
        return None, None  # no fact of ours


def _positions(found: Any) -> dict[str, int]:
    if isinstance(found, dict) and all(type(offset) is int for offset in found.values()):
        return found
    raise ValueError("positions are offsets by topic")


class Log(Protocol):
    """What a task needs of Kafka; raises TransientError while it is away."""

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
