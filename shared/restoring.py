"""What crosses a service's orders, brought up to what all of its partitions have told of it (P1).

Where Redis has gone back, before any task decides: what a partition has not folded yet is given
away no second time, and what no commit told counts no second time when it is decided again.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

from shared.batch import Desk
from shared.clock import BusinessClock
from shared.decode import Decoder, NotAnEvent, Reading, Record
from shared.errors import RefusedStart
from shared.events.envelope import Event, Topic
from shared.log import Log
from shared.marks import CommitId, Commits, origin_of
from shared.partition_store import PartitionStore, Reached
from shared.service import Restore, Service, Told

FOLD_AT_ONCE = 500
"""Facts folded in one commit: Redis answers other clients within 10 ms meanwhile."""
CLOCKS_MARGIN_MS = 600_000
"""How far the clocks of workers, whose times are in Kafka, may be apart."""

UNTOLD_RECORDS = 20_000
"""Records at the end of a topic's partition among which are those of commits whose journal does not
tell of them: some times what all tasks have on their way to it at a time. Of one further back the
version could be given again."""

T = TypeVar("T")


class _Window(NamedTuple):
    """The records of a topic to look at: all, the last of each partition, or those since."""

    last: int | None = None
    since_ms: int | None = None


class Restoring:
    """Brings what crosses a service's orders up to what was told, when a partition is opened."""

    def __init__(
        self,
        desk: Desk[Any],
        topics: Sequence[Topic],
        restore: Restore,
        store: PartitionStore,
        log: Log,
        clock: BusinessClock,
    ) -> None:
        self._service: Service[Any] = desk.service
        self._topics = topics
        self._bring_up = restore
        self._partitions = desk.partitions
        self._store = store
        self._log = log
        self._clock = clock
        readings = [Reading(topic, topic.facts) for topic in topics]
        self._decoder = Decoder(self._service.name, readings, desk.partitions)

    @classmethod
    def of(
        cls, desk: Desk[Any], store: PartitionStore, log: Log, clock: BusinessClock
    ) -> "Restoring | None":
        """For a service where topics tell of what crosses its orders; None for any other."""
        crossing = desk.service.crossing
        if crossing is None or crossing.restore is None:
            return None
        return cls(desk, crossing.topics, crossing.restore, store, log, clock)

    async def restore(self, *, behind: bool, rebuild: bool) -> None:
        """Bring it up before anything is decided, where it may be old; `behind` says that Redis
        is, for this partition, and `rebuild` that it was emptied.

        It may be old though this partition is not, where Redis lost what only others had done: so
        it is made sure of once in each run of Redis. Raises RefusedStart where Redis was emptied
        under its workers.
        """
        async with self._log.restoring:
            await self._restore_once(behind=behind, rebuild=rebuild)

    async def _restore_once(self, *, behind: bool, rebuild: bool) -> None:
        first = not await self._store.is_known_run()
        if not first and (rebuild or not behind):
            return
        reached = await self._store.all_reached(self._partitions)
        if rebuild:
            await self._restore(_Window(), reached)
        elif behind or await self._any_behind(reached):
            since_ms = await self._known_until_ms(reached)
            await self._restore(_Window(since_ms=since_ms), reached)
        else:
            await self._restore(_Window(last=UNTOLD_RECORDS), reached)
        await self._store.know_run()

    async def _restore(self, window: _Window, reached: Sequence[Reached]) -> None:
        journal, commits = self._service.journal.name, []
        for partition, known in enumerate(reached):
            commits.append(Commits(CommitId(known.claim, known.commit_number)))
            async with aclosing(self._records(journal, partition, window)) as log:
                async for _, records in log:
                    for record in records:
                        commits[partition].take(record)
        async with aclosing(self._told(window, commits)) as told:
            await self._bring_up(told, self._store.ask)

    async def _told(
        self, window: _Window, commits: Sequence[Commits]
    ) -> AsyncGenerator[Sequence[Told], None]:
        """What all partitions have told of what crosses orders, some at a time."""
        for topic in self._topics:
            for partition in range(self._partitions):
                async with aclosing(self._records(topic.name, partition, window)) as log:
                    async for begin, records in log:
                        told = [self._told_by(record, commits, begin) for record in records]
                        for some in some_at_a_time([one for one in told if one is not None]):
                            yield some

    def _told_by(self, record: Record, commits: Sequence[Commits], begin: int) -> Told | None:
        """What a record tells, None where no task of ours wrote it; raises as `read_fact` does."""
        origin = origin_of(record, self._service.name, self._partitions)
        if origin is None:
            return None
        event = read_fact(self._service, self._decoder, record, self._clock)
        cause = event.causationsource, event.causationid
        counts = commits[origin.partition].tells(origin.commit, cause)
        return Told(event, counts, trimmed=begin > 0)

    async def _records(
        self, topic: str, partition: int, window: _Window
    ) -> AsyncGenerator[tuple[int, Sequence[Record]], None]:
        """A partition's records, some at a time, each with the first offset that is still there."""
        begin, end = (await self._log.bounds([topic], partition))[topic]
        start = begin if window.last is None else max(begin, end - window.last)
        if window.since_ms is not None:
            start = await self._log.offset_at(topic, partition, window.since_ms)
        async with aclosing(self._log.records(topic, partition, start, end)) as log:
            async for records in log:
                yield begin, records

    async def _any_behind(self, reached: Sequence[Reached]) -> bool:
        """Whether Redis lacks what some partition has published; it may not lack all of it."""
        journal, partitions = self._service.journal.name, self._partitions
        ends = await self._log.ends(journal, partitions)
        told = [
            (await self._log.last_commit(journal, p, known.journal))[0]
            if end > (known.journal or 0)
            else 0
            for p, (end, known) in enumerate(zip(ends, reached, strict=True))
        ]
        # Asked again: what was published meanwhile was committed before.
        now = await self._store.all_reached(partitions)
        numbers = [known.commit_number for known in now]
        if any(told) and not any(numbers):
            p = next(p for p, last in enumerate(told) if last)
            raise emptied(self._service, p, told[p])
        return any(last > number for last, number in zip(told, numbers, strict=True))

    async def _known_until_ms(self, reached: Sequence[Reached]) -> int | None:
        """A wall instant up to which Redis certainly knew everything; None where it is empty."""
        name, last_ms = self._service.journal.name, 0
        for p, (_, _, journal) in enumerate(reached):
            if journal:
                async with aclosing(self._log.records(name, p, journal - 1, journal)) as log:
                    async for records in log:
                        last_ms = max(last_ms, records[-1].timestamp)
        return last_ms - CLOCKS_MARGIN_MS if last_ms else None


def read_fact(
    service: Service[Any], decoder: Decoder, record: Record, clock: BusinessClock
) -> Event[Any]:
    """A fact that a task of the service wrote; raises RefusedStart for one of another release."""
    event = decoder.decode(record, clock.timeline)
    if isinstance(event, Event):
        return event
    what = event.detail if isinstance(event, NotAnEvent) else "an unknown type"
    raise RefusedStart(
        f"{record.topic}:{record.partition}:{record.offset} is no fact of this release: {what}",
        f"Start the release of {service.name} that wrote it",
    )


def emptied(service: Service[Any], partition: int, number: int) -> RefusedStart:
    """The refusal of an empty Redis beside a journal that holds a commit of this number."""
    return RefusedStart(
        f"Redis is empty for {service.name}, partition {partition}, but its journal"
        f" {service.journal.name} holds commit {number}: it was emptied, or is another",
        "Check REDIS_URL; if it is right and what it held is lost, end all workers of"
        f" {service.name} and run `orderflow rebuild {service.name}`",
    )


def some_at_a_time(all_: Sequence[T]) -> Iterator[Sequence[T]]:
    """Facts as they are folded: FOLD_AT_ONCE at a time."""
    for at in range(0, len(all_), FOLD_AT_ONCE):
        yield all_[at : at + FOLD_AT_ONCE]
