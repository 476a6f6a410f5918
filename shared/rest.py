"""Whether the whole system is at rest: everything that was produced is decided and published.

A partition of a service is still when the positions that its last commit stored are the ends of
all its inputs, its outbox is empty, all its calls to the outside have their final answers, and
nothing in its ledger of deadlines is due. Commit stores
position and outbox as one, and publishing raises the ends before the outbox is emptied. So when
all are still, and the ends were the same before and after looking at Redis, nothing was on its way
in between.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from redis.asyncio import Redis

from shared.clock import BusinessClock
from shared.errors import TransientError
from shared.events.deadlines import DEADLINES_EVENTS
from shared.log_reader import LogReader, Offsets
from shared.partition_store import PartitionStore, positions_of
from shared.redis import Pipeline
from shared.service import Service

POLL_S = 0.005
"""Between two looks; one costs Redis about a millisecond, and a batch takes some ten."""
MAX_SHOWN = 5
"""Partitions named in the message about what is not at rest."""

LedgerKey = Callable[[int], str]
"""The key of the sorted set that holds a partition's deadlines by business ms."""


class Part(NamedTuple):
    """One service of the system, and the Redis that holds its state."""

    service: Service[Any]
    redis: Redis


@dataclass(frozen=True)
class Lag:
    """What one partition of a service has still to do.

    `behind` are records not decided, by topic; `outbox` facts that may not be published; `calls`
    those without a final answer; `due` deadlines in its ledger whose time has come. Control
    records of transactional producers count as behind until something else of their topic is
    decided.
    """

    service: str
    partition: int
    behind: Mapping[str, int]
    outbox: int = 0
    calls: int = 0
    due: int = 0

    @property
    def still(self) -> bool:
        return not (self.behind or self.outbox or self.calls or self.due)

    def __str__(self) -> str:
        todo = [f"{n} records of {topic}" for topic, n in self.behind.items()]
        todo += [f"{self.outbox} facts to publish"] * bool(self.outbox)
        todo += [f"{self.calls} calls to answer"] * bool(self.calls)
        todo += [f"{self.due} deadlines due"] * bool(self.due)
        return f"{self.service}, partition {self.partition}: {', '.join(todo) or 'still'}"


class Rest:
    """Looks at the system from outside; made once, it is asked thousands of times.

    The clients are the caller's to open and close. Methods raise TransientError while one of
    them is away, unless they say otherwise.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        reader: LogReader,
        clock: BusinessClock,
        ledger_key: LedgerKey,
    ) -> None:
        self.parts = tuple(parts)
        self.reader = reader
        self.clock = clock
        self._ledger_key = ledger_key
        self._topics = sorted({topic for part in parts for topic in part.service.inputs})
        self._ends: Offsets | None = None

    async def lag(self) -> list[Lag]:
        """What every partition of every service has still to do, now."""
        self._ends = await self.reader.ends(self._topics)
        return await self._lags(self._ends)

    async def at_rest(self, *, calls: bool = True) -> bool:
        """Whether nothing is on its way; one trip to each Redis, and then one to Kafka.

        Without `calls`, what is asked of the outside may be without its answer.
        """
        return not await self._moving(calls=calls)

    async def wait_for_rest(self, timeout_s: float) -> None:
        """Wait until the system is at rest; an outage is waited out.

        Raises TransientError after `timeout_s`, and says what is not at rest.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                moving = await self._moving()
            except TransientError as error:
                moving = str(error)
            if not moving:
                return
            if time.monotonic() >= deadline_s:
                raise TransientError(f"not at rest after {timeout_s:g} s: {moving}")
            await asyncio.sleep(POLL_S)

    async def _moving(self, *, calls: bool = True) -> str:
        """What is not at rest; empty where all is.

        Ends only grow: what is behind the ends of the last look needs no new ones.
        """
        before = self._ends or await self.reader.ends(self._topics)
        lags = await self._lags(before)
        if not calls:
            lags = [replace(lag, calls=0) for lag in lags]
        busy = [lag for lag in lags if not lag.still]
        if busy:
            more = f" and {len(busy) - MAX_SHOWN} more" if len(busy) > MAX_SHOWN else ""
            self._ends = before
            return "; ".join(map(str, busy[:MAX_SHOWN])) + more
        self._ends = await self.reader.ends(self._topics)
        moved = sorted({at[0] for at, end in self._ends.items() if before[at] != end})
        return f"records come in on {', '.join(moved)}" if moved else ""

    async def _lags(self, ends: Offsets) -> list[Lag]:
        now_ms = await self.clock.read()
        by_redis: dict[int, list[Part]] = {}
        for part in self.parts:
            by_redis.setdefault(id(part.redis), []).append(part)
        found = await asyncio.gather(
            *(self._look(parts, ends, now_ms) for parts in by_redis.values())
        )
        return [lag for lags in found for lag in lags]

    async def _look(self, parts: Sequence[Part], ends: Offsets, now_ms: int) -> list[Lag]:
        """One trip to the Redis that these services share.

        Commands of others come in between, so the order counts: positions before the ledger, or an
        entry armed in between is missed, and before the calls, or a new one is; ledger and calls
        before the outboxes, or what is announced or answered in between is.
        """
        redis, partitions = parts[0].redis, range(self.reader.partitions)
        each = [(part.service, p) for part in parts for p in partitions]
        stores = [PartitionStore(redis, service.name, p) for service, p in each]
        pipeline = Pipeline(redis)
        for store in stores:
            store.ask_positions(pipeline)
        for p in partitions:
            pipeline.queue("ZCOUNT", self._ledger_key(p), "-inf", now_ms)
        for store in stores:
            store.ask_calls(pipeline)
        for store in stores:
            store.ask_outbox(pipeline)
        replies = iter(await pipeline.run())
        metas, dues, calls, outboxes = (
            list(islice(replies, len(asked))) for asked in (each, partitions, each, each)
        )
        return [
            Lag(
                service=service.name,
                partition=p,
                behind=_behind(service.inputs, p, positions_of(meta), ends),
                outbox=outbox,
                calls=pending,
                due=dues[p] if service.name == DEADLINES_EVENTS.publisher else 0,
            )
            for (service, p), meta, pending, outbox in zip(
                each, metas, calls, outboxes, strict=True
            )
        ]


def _behind(
    topics: Sequence[str], partition: int, positions: Mapping[str, int], ends: Offsets
) -> dict[str, int]:
    behind = {topic: ends[topic, partition] - positions.get(topic, 0) for topic in topics}
    return {topic: n for topic, n in behind.items() if n > 0}
