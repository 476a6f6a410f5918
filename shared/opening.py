"""How a partition is opened: claimed, compared with its journal, brought up to it, published on.

Redis may be behind the journal: after a failover, a restored backup, a lost second. Then all that
the journal says is folded into it before anything is decided. An empty Redis beside a journal is
refused, since it may be the wrong one, unless it is to be rebuilt: the same, from the beginning.
"""

from collections import Counter
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple

from pydantic_core import from_json

from shared.batch import DeadLetter, Desk, Input, input_of
from shared.calls import answer_id
from shared.clock import BusinessClock
from shared.decode import Decoder, NotAnEvent, Reading, Record
from shared.documents import Document, S
from shared.errors import RefusedStart, TransientError
from shared.events.envelope import Event
from shared.events.parking import ParkedRecord
from shared.folding import fold
from shared.log import Log, behind_control_records
from shared.marks import Mark, published
from shared.partition_store import Claimed, Commit, PartitionStore
from shared.restoring import Restoring, emptied, read_fact, some_at_a_time
from shared.service import Question


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Where an opened partition goes on; `facts` were folded into its Redis.

    `left_out` counts, by subject, the facts of those whose first ones retention had removed.
    """

    number: int
    journal: int
    positions: Mapping[str, int]
    calls: Sequence[bytes]
    facts: int
    left_out: Mapping[str, int]


@dataclass
class _Known:
    """The highest commit in the journal, by number and claim, and the next positions after the last
    whole one.
    """

    number: int
    claim: str
    whole: int
    positions: Mapping[str, int]


class _Call(NamedTuple):
    """A call to the outside that has no final answer yet, and its fact."""

    id: str
    value: bytes


class _Fact(NamedTuple):
    """A fact of the journal, and as it was published."""

    event: Event[Any]
    value: bytes


class Opening(Generic[S]):
    """Opens one partition of one service; `rebuild` an empty Redis too, instead of refusing it.

    `told` hears how many facts were folded.
    """

    def __init__(
        self,
        desk: Desk[S],
        decoder: Decoder,
        store: PartitionStore,
        log: Log,
        clock: BusinessClock,
        step: Callable[[str], Awaitable[None]],
        *,
        rebuild: bool = False,
        told: Callable[[int], None] = lambda _facts: None,
    ) -> None:
        self._desk = desk
        self._service = desk.service
        self._decoder = decoder
        self._store = store
        self._log = log
        self._clock = clock
        self._step = step
        self._rebuild = rebuild
        self._told = told
        self._calls: dict[str, _Call] = {}
        self._ended: list[str] = []
        self._facts = 0
        self._left_out: Counter[str] = Counter()
        self._trimmed = False
        self._commits = 0
        journal = self._service.journal
        self._own = Decoder(self._service.name, [Reading(journal, journal.facts)], desk.partitions)
        self._restoring = Restoring.of(desk, store, log, clock)

    async def open(self, token: str) -> Opened:
        """Open it under a fresh token; the holder's next commit needs `TOKEN:NUMBER`.

        Raises TransientError when it was taken over or something is away, and RefusedStart when
        going on would be unsafe.
        """
        self._token, self._held = token, f"{token}:0"
        claimed = await self._store.claim(self._held)
        await self._step("claimed")
        journal, partition = self._service.journal, self._desk.partition
        number, end = await self._log.last_commit(journal.name, partition, claimed.journal)
        self._refuse_new_journal(claimed, end)
        if number > claimed.commit_number and not (claimed.commit_number or self._rebuild):
            await self._refuse_empty(number)
        behind = number > claimed.commit_number or self._is_new(claimed)
        if self._restoring is not None:
            await self._restoring.restore(behind=behind, rebuild=self._rebuild)
        if behind:
            claimed = await self._fold(claimed, end)
        await self._step("journal_read")
        positions = await self._checked_positions(claimed)
        mark = Mark(self._service.name, partition, claimed.claim, claimed.commit_number, positions)
        reached = await self._log.publish(claimed.outbox, journal, mark)
        await self._step("republished")
        known = replace(claimed, journal=max(reached or 0, end), positions=positions)
        commit = Commit(
            number=known.commit_number,
            claim=known.claim,
            journal=known.journal or 0,
            positions=positions,
            outbox=(),
            ops=(),
            pending=[*self._calls.values()],
            answered=self._ended,
        )
        await self._commit(commit, f"{token}:{known.commit_number}")
        return Opened(
            number=known.commit_number,
            journal=known.journal or 0,
            positions=positions,
            calls=known.calls,
            facts=self._facts,
            left_out=self._left_out,
        )

    # -- what can not go on -------------------------------------------------------------------

    async def _refuse_empty(self, number: int) -> None:
        """An empty Redis, unless it has gone back to before this partition's first commit.

        Where another worker has claimed it since, the journal holds what that one committed.
        """
        p = self._desk.partition
        reached = await self._store.all_reached(self._desk.partitions)
        if reached[p].commit_number:
            raise TransientError(f"partition {p} was taken over while it was opened")
        if not any(known.commit_number for known in reached):
            raise emptied(self._service, p, number)

    def _refuse_new_journal(self, claimed: Claimed, end: int) -> None:
        if (claimed.journal or 0) <= end:
            return
        name, journal = self._service.name, self._service.journal.name
        raise RefusedStart(
            f"Redis knows journal {journal}, partition {self._desk.partition}, up to offset"
            f" {claimed.journal}, but it ends at {end}: the topic was made anew",
            f"Restore the topic, or empty the Redis of {name} too, to begin anew with both",
        )

    async def _checked_positions(self, claimed: Claimed) -> dict[str, int]:
        """The stored positions, or the beginning where there is none, checked against the log."""
        bounds = await self._log.bounds(self._service.inputs, self._desk.partition)
        name, p = self._service.name, self._desk.partition
        positions = {}
        for topic, (begin, end) in bounds.items():
            at = claimed.positions.get(topic, begin)
            if not begin <= at <= end:
                what = "lost records that were never read" if at < begin else "was made anew"
                raise RefusedStart(
                    f"{name} stands at offset {at} of {topic}, partition {p}, which holds"
                    f" {begin} to {end}: the topic {what}",
                    "Restore the topic, or, knowing what is lost, set the position with"
                    f" HSET {{{name}:{p}}}:meta next:{topic} OFFSET",
                )
            positions[topic] = at
        ends = {topic: end for topic, (_, end) in bounds.items()}
        return await behind_control_records(self._log, p, positions, ends)

    # -- Redis has gone back ------------------------------------------------------------------

    def _is_new(self, claimed: Claimed) -> bool:
        """Whether it has nothing yet of what only its inputs tell."""
        return self._rebuild and not (claimed.commit_number or self._service.whole_journal)

    async def _fold(self, claimed: Claimed, end: int) -> Claimed:
        """Bring Redis up to the journal; what it was about to publish then was published long ago.

        All commits on the way leave commit number and positions as they were: who is interrupted
        begins again, and facts that are known change nothing.
        """
        positions = claimed.positions
        if not self._service.whole_journal:
            positions = await self._decide_again(claimed)
        known = _Known(claimed.commit_number, claimed.claim, claimed.commit_number, positions)
        name = self._service.journal.name
        bounds = await self._log.bounds([name], self._desk.partition)
        self._trimmed = bounds[name].begin > 0
        for value in claimed.calls:
            self._expect_answer(from_json(value)["id"], value)
        async with aclosing(self._journal(claimed.journal, end, known)) as journal:
            async for facts in journal:
                await self._write(claimed, facts)
        if not self._service.whole_journal:
            known.positions = positions
        return replace(
            claimed,
            commit_number=known.number,
            claim=known.claim,
            journal=end,
            positions=known.positions,
            outbox=(),
            calls=[call.value for call in self._calls.values()],
        )

    def _note_call(self, event: Event[Any], value: bytes) -> None:
        """A fact that asks something of the outside is pending until another follows its answer."""
        if type(event.data) in self._service.calls:
            self._expect_answer(event.id, value)
        elif answered := self._calls.pop(event.causationid or "", None):
            self._ended.append(answered.id)

    def _expect_answer(self, call_id: str, value: bytes) -> None:
        self._calls[answer_id(call_id, final=True)] = _Call(call_id, value)

    async def _journal(
        self, start: int | None, end: int, known: _Known
    ) -> AsyncGenerator[Sequence[_Fact], None]:
        """The facts of the journal, some at a time; notes what their batches say in `known`.

        Where the last commit was published only in part, and was cut there, the facts at the end
        about one subject lack others: their events are decided again, to the same ids.
        """
        run: list[_Fact] = []
        commit, cut = 0, False
        name = self._service.journal.name
        async with aclosing(self._log.records(name, self._desk.partition, start, end)) as log:
            async for records in log:
                ready: list[_Fact] = []
                for record in records:
                    mark = published(record)
                    if mark is None:
                        continue  # no task of ours wrote it
                    event = read_fact(self._service, self._own, record, self._clock)
                    fact = _Fact(event, record.value or b"")
                    subject = fact.event.subject
                    if run and (run[-1].event.subject != subject or mark.commit_number != commit):
                        ready += run
                        run = []
                    run.append(fact)
                    commit, cut = mark.commit_number, mark.cut
                    if commit > known.number:
                        known.number, known.claim = commit, mark.claim
                    if mark.whole and commit > known.whole:
                        known.whole, known.positions = commit, mark.positions
                for some in some_at_a_time(ready):
                    yield some
        if not cut:
            yield run

    async def _write(self, claimed: Claimed, facts: Sequence[_Fact]) -> None:
        """Fold facts into the documents, and into what crosses orders: two trips."""
        events = [fact.event for fact in facts]
        before = await self._load(events, self._questions(events))
        after = dict(before)
        for event, value in facts:
            known = after[event.subject]
            if self._trimmed and not known.version and (event.subjectversion or 0) > 1:
                self._left_out[event.subject] += 1
                continue
            after[event.subject] = fold(self._service, known, event)
            self._note_call(event, value)
        await self._commit_documents(claimed, before, after)
        self._facts += len(facts)
        self._told(self._facts)

    async def _decide_again(self, claimed: Claimed) -> Mapping[str, int]:
        """Decide again, up to their ends, the inputs of a service whose journal is not whole."""
        bounds = await self._log.bounds(self._service.inputs, self._desk.partition)
        for topic, (_, end) in bounds.items():
            start = claimed.positions.get(topic)
            async with aclosing(self._log.records(topic, self._desk.partition, start, end)) as log:
                async for records in log:
                    for some in some_at_a_time(records):
                        await self._decide(claimed, topic, some)
        return {topic: end for topic, (_, end) in bounds.items()}

    async def _decide(self, claimed: Claimed, topic: str, records: Iterable[Record]) -> None:
        publisher, timeline = self._service.publisher_of[topic], self._clock.timeline
        inputs, dead = [], []
        for record in records:
            found = self._decoder.decode(record, timeline)
            if isinstance(found, Event):
                inputs.append(input_of(found, record, timeline, publisher))
            elif isinstance(found, NotAnEvent):
                dead.append(DeadLetter(record, found.reason, found.detail, found.field))
        before = await self._load([item.received.event for item in inputs], ())
        decided = self._desk.decide(inputs, before, _parks_nothing)
        if dead or decided.dead:
            await self._log.keep([*dead, *decided.dead], self._service.name)
        await self._commit_documents(claimed, before, {**before, **decided.after})
        self._facts += len(inputs)
        self._told(self._facts)

    # -- Redis --------------------------------------------------------------------------------

    def _questions(self, facts: Iterable[Event[Any]]) -> list[Question]:
        crossing = self._service.crossing
        return [q for fact in facts for q in crossing.reapply(fact)] if crossing else []

    async def _load(
        self, events: Iterable[Event[Any]], questions: Sequence[Question]
    ) -> dict[str, Document[S]]:
        """The documents that events are about, as they lie in Redis."""
        documents, partition = self._service.documents, self._desk.partition
        subjects = list(dict.fromkeys(event.subject for event in events))
        keys = [documents.key(partition, subject) for subject in subjects]
        stored = await self._store.load(keys)
        await self._store.ask(questions)
        return {s: documents.read(s, raw) for s, raw in zip(subjects, stored, strict=True)}

    async def _commit_documents(
        self,
        claimed: Claimed,
        before: Mapping[str, Document[S]],
        after: Mapping[str, Document[S]],
    ) -> None:
        documents, timeline = self._service.documents, self._clock.timeline
        ops = [
            op
            for subject, document in after.items()
            if document is not before[subject]
            for op in documents.write(
                self._desk.partition,
                before[subject],
                document,
                timeline.wall_ms,
            )
        ]
        commit = Commit(
            number=claimed.commit_number,
            claim=claimed.claim,
            journal=claimed.journal or 0,
            positions=claimed.positions,
            outbox=(),
            ops=ops,
        )
        self._commits += 1
        await self._commit(commit, f"{self._token}:folding {self._commits}")

    async def _commit(self, commit: Commit, following: str) -> None:
        if not await self._store.commit(self._held, following, commit):
            partition = self._desk.partition
            raise TransientError(f"partition {partition} was taken over: commit refused")
        self._held = following


def _parks_nothing(parked: ParkedRecord) -> Input:
    raise ValueError(f"{parked.event_id} is parked by a service whose journal is not whole")
