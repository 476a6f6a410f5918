"""The dashboard's views in Redis.

Per partition, under its hash tag `{dashboard:P}`: the views (`doc:SUBJECT`); `orders` and `stock`,
hashes of what lists know of each order and SKU; and streams, the last of each kind: `changes` (the
subjects that changed, which tells whoever holds a copy of the lists what to read anew), `letters`,
`refused` and `reached` (what was dead-lettered and refused, and which deadline came how late),
`handled` and `acts` (what people did with dead letters, and what came of what they did else).
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import to_json
from redis.asyncio import Redis

from services.dashboard.rows import row_of
from services.dashboard.state import Change, Entry, View
from shared.decode import partition_of
from shared.documents import Document, Documents, Op, WallMs
from shared.events.dashboard import letter_subject, person_of
from shared.events.deadlines import DeadlineReached
from shared.events.fulfillment import RequestRefused
from shared.events.inventory import STOCK_LEVELS, StockLevelChanged
from shared.redis import SCAN_COUNT, Pipeline, Script

MAX_CHANGES = 10_000
"""Changes of a partition that are kept: whoever is further behind reads all rows anew."""
MAX_LETTERS = 5_000
MAX_REFUSED = 1_000
MAX_REACHED = 1_000
"""Of a partition: what a person looks through, and some days of it."""
MAX_ACTS = 10_000
"""Of a partition: of a team that does a hundred things a day on each, some months."""
NO_OFFSET = -1
"""Of a change of a level: its SKU's page has it."""
MAX_READ = 2_000
"""Changes of a partition that are taken over in one trip."""

REFUSED = RequestRefused.TYPE
REACHED = DeadlineReached.TYPE

_WHERE = Script(Path(__file__).with_name("where.lua"))

STREAMS = ("changes", "letters", "refused", "reached", "handled", "acts")


def _tag(partition: int) -> str:
    return f"{{dashboard:{partition}}}"


def key(partition: int, name: str) -> str:
    """A key of a partition's lists."""
    return f"{_tag(partition)}:{name}"


class ViewDocuments(Documents[View]):
    """Views whose writes keep the lists in step, in the same commit."""

    def write(
        self,
        partition: int,
        before: Document[View],
        after: Document[View],
        wall_ms: WallMs,
        state: bytes | None = None,
    ) -> Sequence[Op]:
        ops = list(super().write(partition, before, after, wall_ms, state))
        if after.state is None:
            return ops
        match after.state.kind:
            case "order":
                ops += _order_ops(partition, after.subject, before.state, after.state)
            case "stock":
                ops += _stock_ops(partition, after.subject, before.state, after.state)
            case "letter":
                ops += _letter_ops(partition, after.subject, before.state, after.state)
        return ops


documents = ViewDocuments("dashboard", View)


def _order_ops(partition: int, order_id: str, before: View | None, view: View) -> Iterator[Op]:
    row = row_of(view)
    if row is not None:
        yield Op("HSET", key(partition, "orders"), (order_id, to_json(row)))
    elif view.order is not None:
        yield Op("HDEL", key(partition, "orders"), (order_id,))
    yield _changed(partition, f"order {order_id}")
    known = {(entry.topic, entry.offset) for entry in before.timeline} if before else set()
    for entry in view.timeline:
        if (entry.topic, entry.offset) in known:
            continue
        if entry.type == REFUSED:
            yield _append(partition, "refused", (order_id, entry), MAX_REFUSED)
        elif entry.type == REACHED:
            yield _append(partition, "reached", (order_id, entry), MAX_REACHED)
        if person_of(entry.cause_source):
            yield _append(partition, "acts", (order_id, entry), MAX_ACTS)


def _stock_ops(partition: int, subject: str, before: View | None, view: View) -> Iterator[Op]:
    if view.level is None:
        return
    line = view.level.model_dump_json(exclude={"changes"})
    yield Op("HSET", key(partition, "stock"), (subject, line))
    yield _changed(partition, f"stock {subject}")
    known = before.level.changes if before and before.level else ()
    for change in view.level.changes:
        if change not in known and person_of(change.cause_source):
            yield _append(partition, "acts", (subject, _act(change)), MAX_ACTS)


def _act(change: Change) -> Entry:
    """A change of a level as a line among what people did."""
    return Entry(
        type=StockLevelChanged.TYPE,
        time_ms=change.time_ms,
        late_ms=0,
        topic=STOCK_LEVELS.name,
        offset=NO_OFFSET,
        id="",
        cause=change.cause,
        cause_source=change.cause_source,
        said={"on_hand_change": change.on_hand_change, "on_hand": change.on_hand},
    )


def _letter_ops(partition: int, subject: str, before: View | None, view: View) -> Iterator[Op]:
    if view.letter is not None and (before is None or before.letter is None):
        yield _append(partition, "letters", view.letter, MAX_LETTERS)
    known = before.handled if before else ()
    for handled in view.handled:
        if handled not in known:
            origin = subject.removeprefix(letter_subject(""))
            yield _append(partition, "handled", (origin, handled), MAX_LETTERS)


def _changed(partition: int, what: str) -> Op:
    return Op("XADD", key(partition, "changes"), ("MAXLEN", "~", MAX_CHANGES, "*", "of", what))


def _append(partition: int, stream: str, what: object, most: int) -> Op:
    args = ("MAXLEN", "~", most, "*", "is", to_json(what))
    return Op("XADD", key(partition, stream), args)


# -- reading ----------------------------------------------------------------------------------


BEGIN = "0-0"
"""Before the first entry of a stream."""


class At(NamedTuple):
    """How far a reader is: the id of the last entry that it has, by stream, and in which run of
    Redis and after which commit of the partition.
    """

    entries: Mapping[str, str]
    run: str
    commit: int


class News(NamedTuple):
    """What a partition has new: the subjects that changed, what came by stream, and how far this
    reaches. `lost` says that something lies between, or is not so any more because Redis went back,
    and all has to be read anew.
    """

    changed: Sequence[str]
    came: dict[str, list[bytes]]
    at: At
    lost: bool = False


class Views:
    """Reads what the projection wrote; every call raises TransientError while Redis is away."""

    def __init__(self, redis: Redis, partitions: int) -> None:
        self.partitions = partitions
        self._redis = redis

    async def view(self, subject: str, partition: int | None = None) -> View | None:
        """The view of one subject, None where nothing is known of it."""
        if partition is None:
            partition = partition_of(subject, self.partitions)
        stored = await self._one("GET", documents.key(partition, subject))
        return documents.read(subject, stored).state

    async def some(self, subjects: Sequence[str]) -> list[View | None]:
        """The views of some subjects, in their order, in one trip."""
        pipeline = Pipeline(self._redis)
        for subject in subjects:
            pipeline.queue("GET", documents.key(partition_of(subject, self.partitions), subject))
        found = await pipeline.run() if subjects else []
        return [documents.read(s, stored).state for s, stored in zip(subjects, found, strict=True)]

    async def ends(self, partition: int) -> At:
        """Where a partition's streams end: who reads all lists after this misses nothing."""
        pipeline = Pipeline(self._redis)
        _WHERE.queue(pipeline, [key(partition, "meta")])
        for stream in STREAMS:
            pipeline.queue("XREVRANGE", key(partition, stream), "+", "-", "COUNT", 1)
        where, *lasts = await pipeline.run()
        ends = (last[0][0].decode() if last else BEGIN for last in lasts)
        return At(dict(zip(STREAMS, ends, strict=True)), *_where(where))

    async def every(self, partition: int, name: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        """All rows of a hash, some at a time, each maybe twice."""
        cursor: Any = None
        while cursor != 0:
            cursor, found = await self._one(
                "HSCAN", key(partition, name), cursor or 0, "COUNT", SCAN_COUNT
            )
            yield [(field.decode(), value) for field, value in found.items()]

    async def rows(self, partition: int, name: str, fields: Sequence[str]) -> list[bytes | None]:
        """Some rows of a hash, in their order; None for what is not there any more."""
        found: list[bytes | None] = await self._one("HMGET", key(partition, name), *fields)
        return found

    async def kept(self, partition: int, stream: str, until: At) -> list[bytes]:
        """What a stream still has, up to where a reader begins to follow it."""
        entries = await self._one("XRANGE", key(partition, stream), "-", until.entries[stream])
        return [value for _, fields in entries for value in fields.values()]

    async def news(self, at: Sequence[At]) -> list[News]:
        """What each partition has new since `at`, in one trip."""
        pipeline = Pipeline(self._redis)
        for partition, known in enumerate(at):
            keys = [key(partition, stream) for stream in STREAMS]
            _WHERE.queue(pipeline, [key(partition, "meta")])
            pipeline.queue("XRANGE", keys[0], "-", "+", "COUNT", 1)
            pipeline.queue("XREVRANGE", keys[0], "+", "-", "COUNT", 1)
            ids = [known.entries[stream] for stream in STREAMS]
            pipeline.queue("XREAD", "COUNT", MAX_READ, "STREAMS", *keys, *ids)
        replies = iter(await pipeline.run())
        return [
            _news(known, _where(next(replies)), next(replies), next(replies), next(replies) or [])
            for known in at
        ]

    async def _one(self, *command: str | int) -> Any:
        pipeline = Pipeline(self._redis)
        pipeline.queue(*command)
        return (await pipeline.run())[0]


def _where(reply: Sequence[bytes]) -> tuple[str, int]:
    run, commit = reply
    return run.decode(), int(commit)


def _news(known: At, where: tuple[str, int], first: Any, last: Any, read: Any) -> News:
    """Whether entries are missing shows in the changes alone: each of the others comes with one,
    or, of a letter, is of no weight.
    """
    changes, at = known.entries[STREAMS[0]], dict(known.entries)
    run, commit = where
    came: dict[str, list[bytes]] = {stream: [] for stream in STREAMS}
    for name, entries in read:
        stream = name.decode().rpartition(":")[2]
        came[stream] = [value for _, fields in entries for value in fields.values()]
        at[stream] = entries[-1][0].decode()
    emptied = changes != BEGIN and (not last or _place(last[0][0]) < _place(changes))
    overtaken = changes != BEGIN and bool(first) and _place(first[0][0]) > _place(changes)
    changed = dict.fromkeys(what.decode() for what in came.pop(STREAMS[0]))
    gone_back = run != known.run or commit < known.commit
    return News([*changed], came, At(at, run, commit), emptied or overtaken or gone_back)


def _place(entry_id: bytes | str) -> tuple[int, int]:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    ms, _, nth = text.partition("-")
    return int(ms), int(nth)
