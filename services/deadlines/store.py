"""The deadlines' documents, ledger and TTL keys in Redis.

Per partition, under its hash tag: the documents; `ledger`, a sorted set of what is armed with its
due time in business ms, the truth; and per deadline a key `ttl:PUBLISHER|KIND|SUBJECT` that expires
when it is due, in wall time: its PTTL is the countdown, its value the due time in business ms, and
its expired event tells who listens.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from redis.asyncio import Redis

from services.deadlines.state import Armed, Deadlines
from shared.clock import Timeline, from_ms, to_ms
from shared.documents import Document, Documents, Op, WallMs
from shared.redis import Pipeline

REARM_BATCH = 500
"""TTL keys set anew in one trip after the clock changed gear."""


class Entry(NamedTuple):
    """One line of a ledger."""

    publisher: str
    kind: str
    subject: str
    due: datetime

    @property
    def member(self) -> str:
        return f"{self.publisher}|{self.kind}|{self.subject}"


class Head(NamedTuple):
    """The due entries of a partition's ledger, oldest first, and when the next one is due (ms)."""

    due: Sequence[Entry]
    next_ms: int | None


def _tag(partition: int) -> str:
    return f"{{deadlines:{partition}}}"


def ledger_key(partition: int) -> str:
    """The sorted set of what is armed in a partition."""
    return f"{_tag(partition)}:ledger"


def ttl_key(partition: int, member: str) -> str:
    """The key that expires with a deadline."""
    return f"{_tag(partition)}:ttl:{member}"


class DeadlineDocuments(Documents[Deadlines]):
    """Documents whose writes keep the ledger and the TTL keys in step, in the same commit."""

    def write(
        self,
        partition: int,
        before: Document[Deadlines],
        after: Document[Deadlines],
        wall_ms: WallMs,
        state: bytes | None = None,
    ) -> Sequence[Op]:
        was, now = _armed(before), _armed(after)
        ops = list(super().write(partition, before, after, wall_ms, state))
        for armed in was - now:
            ops += _drop(partition, _member(armed, after.subject), over=_is_reached(after, armed))
        for armed in now - was:
            ops += _arm(partition, _member(armed, after.subject), armed.due_ms, wall_ms)
        return ops


documents = DeadlineDocuments("deadlines", Deadlines)


def _armed(document: Document[Deadlines]) -> set[Armed]:
    return set(document.state.armed()) if document.state is not None else set()


def _is_reached(document: Document[Deadlines], armed: Armed) -> bool:
    listed = document.state.listed.get(armed.publisher, ()) if document.state else ()
    return any(d.reached and d[:2] == armed[1:] for d in listed)


def _member(armed: Armed, subject: str) -> str:
    return f"{armed.publisher}|{armed.kind}|{subject}"


def _arm(partition: int, member: str, due_ms: int, wall_ms: WallMs) -> list[Op]:
    return [
        Op("ZADD", ledger_key(partition), (due_ms, member)),
        Op("SET", ttl_key(partition, member), _ttl_args(due_ms, wall_ms(due_ms))),
    ]


def _ttl_args(due_ms: int, wall_ms: int | None) -> tuple[str | int, ...]:
    """Without a wall instant (the clock stands still) the key does not expire."""
    return (due_ms,) if wall_ms is None else (due_ms, "PXAT", max(wall_ms, 1))


def _drop(partition: int, member: str, *, over: bool) -> list[Op]:
    """Out of the ledger; the key of what is over expires on the way, so that its event is prompt.

    `DEL` of a key that is set to have expired in 1970 emits `expired`, of a live one `del`.
    """
    key = ttl_key(partition, member)
    expired = [Op("SET", key, ("over", "PXAT", 1))] if over else []
    return [Op("ZREM", ledger_key(partition), (member,)), *expired, Op("DEL", key)]


async def read_heads(
    redis: Redis, partitions: Sequence[int], now_ms: int, limit: int
) -> dict[int, Head]:
    """What is due by a business time in each partition's ledger, and what comes next: one trip."""
    pipeline = Pipeline(redis)
    for partition in partitions:
        key = ledger_key(partition)
        pipeline.queue("ZRANGEBYSCORE", key, "-inf", now_ms, "WITHSCORES", "LIMIT", 0, limit)
        pipeline.queue("ZRANGEBYSCORE", key, f"({now_ms}", "+inf", "WITHSCORES", "LIMIT", 0, 1)
    replies = await pipeline.run() if partitions else []
    return {
        partition: Head(_entries(replies[2 * n]), _score(replies[2 * n + 1]))
        for n, partition in enumerate(partitions)
    }


async def read_ledger(redis: Redis, partition: int) -> list[Entry]:
    """All that is armed in a partition, in the order in which it is due."""
    found: list[Entry] = []
    while entries := _entries(await _page(redis, ledger_key(partition), len(found))):
        found += entries
    return found


async def rearm(redis: Redis, partition: int, timeline: Timeline) -> None:
    """Set the TTL keys of a partition anew, after the clock changed gear."""
    key = ledger_key(partition)
    at = 0
    while entries := _entries(await _page(redis, key, at)):
        pipeline = Pipeline(redis)
        for entry in entries:
            due_ms = to_ms(entry.due)
            args = _ttl_args(due_ms, timeline.wall_ms(due_ms))
            pipeline.queue("SET", ttl_key(partition, entry.member), *args, "XX")
        await pipeline.run()
        at += REARM_BATCH


async def _page(redis: Redis, key: str, at: int) -> Sequence[bytes]:
    pipeline = Pipeline(redis)
    pipeline.queue("ZRANGE", key, at, at + REARM_BATCH - 1, "WITHSCORES")
    return list((await pipeline.run())[0])


def _entries(flat: Iterable[object]) -> list[Entry]:
    """Read a reply WITHSCORES, flat or in pairs."""
    found = []
    for member, score in _pairs(list(flat)):
        publisher, kind, subject = member.decode().split("|", 2)
        found.append(Entry(publisher, kind, subject, from_ms(int(float(score)))))
    return found


def _pairs(flat: Sequence[object]) -> list[tuple[bytes, bytes]]:
    if flat and isinstance(flat[0], tuple | list):
        return [(pair[0], pair[1]) for pair in flat]  # type: ignore[index]
    return list(zip(flat[::2], flat[1::2], strict=True))  # type: ignore[arg-type]


def _score(flat: Iterable[object]) -> int | None:
    entries = _pairs(list(flat))
    return int(float(entries[0][1])) if entries else None
