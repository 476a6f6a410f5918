"""The marks of a commit, in the headers of what it publishes: who did, and what of it is told.

All facts carry their task and their commit; those of the journal also the part of the commit that
they came in, and the next positions.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import structlog
from pydantic_core import from_json

from shared.batch import Outgoing
from shared.decode import Record

TASK_HEADER, CLAIM_HEADER = "orderflow-task", "orderflow-claim"
COMMIT_HEADER, POSITIONS_HEADER = "orderflow-commit", "orderflow-positions"
PART_HEADER, PARTS_HEADER = "orderflow-part", "orderflow-parts"
CUT_HEADER = "orderflow-cut"
MARKS = frozenset(
    {
        TASK_HEADER,
        CLAIM_HEADER,
        COMMIT_HEADER,
        POSITIONS_HEADER,
        PART_HEADER,
        PARTS_HEADER,
        CUT_HEADER,
    }
)
"""All headers that only a task writes: what is sent again without it has none."""

_log = structlog.get_logger()


class Mark(NamedTuple):
    """What the headers of a journal's batch say: the task, its commit and the next positions.

    A number is given once by a `claim`, the token of who claimed the partition and decided that
    commit. A Redis that goes back lets another claim give it again.
    """

    service: str
    partition: int
    claim: str
    commit_number: int
    positions: Mapping[str, int]


def mark_headers(mark: Mark) -> dict[str, str]:
    """The headers of all that a commit publishes."""
    return {
        TASK_HEADER: f"{mark.service}:{mark.partition}",
        CLAIM_HEADER: mark.claim,
        COMMIT_HEADER: str(mark.commit_number),
    }


def part_headers(mark: Mark, part: int, parts: Sequence[Sequence[Outgoing]]) -> dict[str, str]:
    """The further headers of one batch of a commit's facts in the journal."""
    headers = {
        POSITIONS_HEADER: json.dumps(dict(mark.positions), separators=(",", ":")),
        PART_HEADER: str(part),
        PARTS_HEADER: str(len(parts)),
    }
    if part + 1 < len(parts) and parts[part][-1].key == parts[part + 1][0].key:
        headers[CUT_HEADER] = "1"
    return headers


class Published(NamedTuple):
    """What a journal's record says of the batch that it came with.

    A commit's facts are published in parts, one after the other; `whole` is the last of them, and
    one is `cut` where the facts about its last subject go on in the next, since all were too many.
    """

    commit_number: int
    positions: Mapping[str, int]
    whole: bool
    cut: bool = False
    claim: str = ""


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
        number, claim = int(headers[COMMIT_HEADER]), headers.get(CLAIM_HEADER, b"").decode()
        return Published(number, positions, part + 1 == parts, CUT_HEADER in headers, claim)
    except (KeyError, ValueError) as error:
        origin = f"{record.topic}:{record.partition}:{record.offset}"
        _log.warning("a mark that no task of ours writes", record=origin, error=repr(error)[:200])
        return None


def commit_number(record: Record) -> int:
    """The commit that a journal's record is of, 0 where no task of ours wrote it."""
    mark = published(record)
    return mark.commit_number if mark else 0


def _positions(found: Any) -> dict[str, int]:
    if isinstance(found, dict) and all(type(offset) is int for offset in found.values()):
        return found
    raise ValueError("positions are offsets by topic")


class CommitId(NamedTuple):
    """A commit of a partition, by who decided it: no other has both."""

    claim: str
    number: int


class Origin(NamedTuple):
    """By which task of a service, and which commit of it, a fact was published."""

    partition: int
    commit: CommitId


def origin_of(record: Record, service: str, partitions: int) -> Origin | None:
    """By which commit of the service a record was published, None where by none of it."""
    headers = {name: value or b"" for name, value in record.headers}
    try:
        task, _, partition = headers[TASK_HEADER].decode().rpartition(":")
        commit = CommitId(headers[CLAIM_HEADER].decode(), int(headers[COMMIT_HEADER]))
        origin = Origin(int(partition), commit)
    except (KeyError, ValueError):
        return None
    return origin if task == service and 0 <= origin.partition < partitions else None


Cause: TypeAlias = tuple[str | None, str | None]
"""The source and the id of the event that a fact follows."""


@dataclass
class _Part:
    """What a commit published in part has told so far: the events that it `told` all of, and those
    of the `last` facts, about one subject of that `key`, which lack some where it is `cut`.
    """

    told: set[Cause] = field(default_factory=set)
    last: set[Cause] = field(default_factory=set)
    key: bytes | None = None
    cut: bool = False

    def take(self, record: Record, *, cut: bool) -> None:
        if record.key != self.key:
            self.told |= self.last
            self.last, self.key = set(), record.key
        self.last.add(_cause(record))
        self.cut = cut

    def tells(self, cause: Cause) -> bool:
        return cause in self.told or (cause in self.last and not self.cut)


class Commits:
    """Which commits a partition's journal tells of, and of one published in part, how much.

    `known` is told, as are all that its claim decided before.
    """

    def __init__(self, known: CommitId) -> None:
        self._last = {known.claim: known.number}
        self._in_part: dict[CommitId, _Part] = {}

    def take(self, record: Record) -> None:
        """Take the journal's next record."""
        mark = published(record)
        if mark is None:
            return
        commit, last = CommitId(mark.claim, mark.commit_number), self._last.get(mark.claim, 0)
        if mark.whole:
            self._in_part.pop(commit, None)
        elif commit.number > last or commit in self._in_part:
            self._in_part.setdefault(commit, _Part()).take(record, cut=mark.cut)
        self._last[commit.claim] = max(last, commit.number)

    def tells(self, commit: CommitId, cause: Cause) -> bool:
        """Whether what a commit made of an event is told, or else decided again."""
        if part := self._in_part.get(commit):
            return part.tells(cause)
        return commit.number <= self._last.get(commit.claim, 0)


def _cause(record: Record) -> Cause:
    try:
        fact = from_json(record.value or b"")
        return fact.get("causationsource"), fact.get("causationid")
    except (ValueError, AttributeError):
        return None, None  # no fact of ours
