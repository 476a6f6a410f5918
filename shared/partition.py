"""A partition is a task: read p of all input topics, decide, commit everything as one, publish.

Whoever is assigned partition p claims it with a fence token, publishes what its predecessor had
committed and may not have published, and goes on at the stored positions. Then, batch by batch:
decode, load and ask, decide in memory, commit documents, positions and outgoing facts in one
atomic script, publish these, go on. Refused, failed or unknown: the task ends and is opened again.
That one path is crash recovery, zombie recovery and lost-reply recovery.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic

from redis.asyncio import Redis

from shared.batch import DeadLetter, Decided, Desk, Input, input_of, restored
from shared.calls import Bug, Caller, PendingCall
from shared.clock import BusinessClock, fresh_token
from shared.decode import Decoder, Misrouted, NotAnEvent, Record
from shared.documents import Document, S
from shared.errors import TransientError
from shared.events.deadlines import DEADLINES_EVENTS, DeadlineReached
from shared.events.envelope import Event
from shared.events.parking import ParkedRecord
from shared.log import Log, behind_control_records
from shared.marks import Mark
from shared.metrics import note_commit, note_dead_letter
from shared.opening import Opening
from shared.partition_store import Commit, PartitionStore
from shared.redis import Pipeline
from shared.service import Question, Received
from shared.tracing import Traces

MAX_WAITING = 2
"""Batches in hand before the partition is paused: one to work on, one to go on with."""
MAX_DOCUMENTS = 16_000
"""Documents kept in memory, over all partitions of a topic; a miss costs no trip of its own, but
reading one costs as much as deciding. An order's is some 10 KB in memory."""
MAX_DUE = 500
"""Due entries decided at a time: Redis answers other clients within 7 ms meanwhile."""
MAX_ANSWERS = 500
"""Answers to calls decided at a time: more are in hand only after an outage of Kafka or Redis."""
MAX_HELD = 2_000
"""Deadlines held back before no more are read: four times what may be due at a time. While another
input has hours to catch up with, all that come due meanwhile would be in memory."""
DRAIN_CHECK_S = 0.5
"""How often a task that holds deadlines back looks whether the ends it waits for are control
records, which a consumer passes but never hands out."""
LOOK_AT_ENDS_S = 6 * 3600.0
"""How often a task that has nothing to do passes control records at its inputs' ends: several times
before any topic's retention deletes them."""

STEPS = (
    "claimed",
    "journal_read",
    "republished",
    "opened",
    "decoded",
    "loaded",
    "decided",
    "dead_lettered",
    "committed",
    "published",
    "settled",
)
"""The named points of a task, in order: where tests stop, kill and delay it."""

Step = Callable[[str], Awaitable[None]]


async def no_step(_name: str) -> None:
    """The hook of a running service: nothing happens at the named points."""


@dataclass
class _Held(Generic[S]):
    """Deadlines in hand until the inputs that were there before them are decided."""

    inputs: list[Input]
    first_offset: int
    ends: Mapping[str, int]


@dataclass
class _Batch:
    """What one turn of the task works on."""

    inputs: list[Input] = field(default_factory=list)
    deadlines: list[Input] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    misrouted: list[tuple[Record, str]] = field(default_factory=list)
    gaps: dict[str, int] = field(default_factory=dict)
    due: bool = False

    @property
    def empty(self) -> bool:
        return not (self.inputs or self.dead or self.misrouted)


class PartitionTask(Generic[S]):
    """One partition of one service, from the claim until it is closed or lost.

    `opened` says that it takes records, `idle` that it has decided all that it took; `unpublished`
    facts are committed and not acked. It claims with a `token` that nobody has used, a fresh one by
    default.
    """

    def __init__(
        self,
        desk: Desk[S],
        decoder: Decoder,
        store: PartitionStore,
        log: Log,
        clock: BusinessClock,
        step: Step = no_step,
        caller: Caller | None = None,
        token: str | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.partition = desk.partition
        self.counts: Counter[str] = Counter()
        self.opened = False
        self.idle = False
        self.unpublished = 0
        self._service = desk.service
        self._desk = desk
        self._decoder = decoder
        self._store = store
        self._log = log
        self._clock = clock
        self._step = step
        self._caller = caller
        self._traces = traces
        self._claim_token = self._token = token or fresh_token()
        self._number = 0
        self._journal = 0
        self._next: dict[str, int] = {}
        self._stored_positions: Mapping[str, int] = {}
        self._documents: dict[str, Document[S]] = {}
        self._inbox: deque[Sequence[Record]] = deque()
        self._due: Sequence[Input] = ()
        self._answers: deque[Input] = deque()
        self._pending: dict[str, PendingCall] = {}
        self._calls_to_pursue: list[PendingCall] = []
        self._held: deque[_Held[S]] = deque()
        self._handed_out: Mapping[str, int] = {}
        self._drained: Mapping[str, int] = {}
        self._publishing: asyncio.Task[int | None] | None = None
        self._unsettled = False
        self._wake = asyncio.Event()
        self._closing = False
        self._paused = False

    # -- what others hand to the task ---------------------------------------------------------

    def offer(self, records: Sequence[Record]) -> None:
        """Hand over records of this partition, in order; too many in hand pause it."""
        self._inbox.append(records)
        self._wake.set()
        if len(self._inbox) >= MAX_WAITING and not self._paused:
            self._paused = True
            self._log.pause(self._service.inputs, self.partition)

    @property
    def holds_until(self) -> Iterable[str]:
        """The topics whose ends the deadlines in hand wait for; none where it holds none."""
        return self._held[0].ends if self._held else ()

    def note_handed_out(self, offsets: Mapping[str, int]) -> None:
        """Know how far the consumer is, while all that it handed out has been offered.

        So control records at an input's end hold no deadline back, however busy the others are.
        """
        self._handed_out = offsets

    def offer_due(self, due: Sequence[Event[Any]]) -> None:
        """Hand over what is due in this partition's ledger; ignored while the last is in work."""
        if self.wants_due and due:
            self._due = [Input(Received(event, event.time)) for event in due]
            self._wake.set()

    def offer_answer(self, answer: Input) -> None:
        """Hand over what the outside answered to a pending call."""
        self._answers.append(answer)
        self._wake.set()

    def ask_token(self, pipeline: Pipeline) -> None:
        """Ask, as part of a trip, for the stored token: `note_token` takes the reply."""
        self._store.ask_token(pipeline)

    def note_token(self, stored: bytes | None) -> None:
        """Know which token is stored: where it is another, the next settling tells for certain."""
        if stored != self._token.encode():
            self._unsettled = True
            self._wake.set()

    @property
    def pending(self) -> Container[str]:
        """The ids of the calls that have no final answer yet; none once the task has ended."""
        return self._pending

    @property
    def wants_due(self) -> bool:
        """Whether the task is open and has decided all that was due before."""
        return self.opened and not self._due and not self._closing

    @property
    def positions(self) -> Mapping[str, int]:
        """The next offset of each input, held deadlines not passed: what commits store."""
        positions = dict(self._next)
        if self._held:
            positions[DEADLINES_EVENTS.name] = self._held[0].first_offset
        return positions

    @property
    def stored_positions(self) -> Mapping[str, int]:
        """The next offset of each input, as its last commit stored them; none before it is open."""
        return self._stored_positions

    @property
    def acked_positions(self) -> Mapping[str, int] | None:
        """Positions for Kafka's own offsets; None while facts wait for their acks."""
        return self._stored_positions if self.opened and self._publishing is None else None

    def close(self) -> None:
        """Let the task end after the turn it is in."""
        self._closing = True
        self._wake.set()

    # -- the task's life ----------------------------------------------------------------------

    async def run(self) -> None:
        """Open the partition and work on it until closed.

        Raises TransientError when the task is lost or something is away (open it again), and
        RefusedStart when going on would be unsafe.
        """
        try:
            await self._open()
            while not self._closing:
                await self._turn()
            if self._unsettled:
                await self._settle()
        finally:
            self.opened = False
            # A call that waits for its next turn keeps its task for minutes: only an empty one.
            for kept in (self._pending, self._documents, self._inbox, self._answers, self._held):
                kept.clear()
            if self._publishing is not None:
                self._publishing.cancel()

    async def _open(self) -> None:
        opening = Opening(
            self._desk, self._decoder, self._store, self._log, self._clock, self._step
        )
        opened = await opening.open(self._claim_token)
        self.counts["folded"] += opened.facts
        self._number, self._journal = opened.number, opened.journal
        self._token = f"{self._claim_token}:{self._number}"
        self._next = dict(opened.positions)
        self._stored_positions = dict(opened.positions)
        self._log.seek(self._next, self.partition)
        self._pursue(self._read_calls(opened.calls))
        self.opened = True
        await self._step("opened")

    async def _turn(self) -> None:
        """One batch, from the records in hand to facts on their way."""
        await self._woken()
        loop = asyncio.get_running_loop()
        records, began_s = self._take(), loop.time()
        await self._know_the_time(records)
        batch = self._decode(records)
        await self._miss_nothing(batch)
        await self._step("decoded")
        await self._hold_deadlines(batch)
        self._release_held(batch)
        self._take_answers(batch)
        if batch.empty and self.positions == self._stored_positions:
            return
        documents = await self._load(batch)
        await self._step("loaded")
        decided = self._desk.decide(batch.inputs, documents, self._reread)
        self.counts += decided.counts
        await self._step("decided")
        await self._keep_dead(batch, decided)
        await self._commit(decided)
        age_ms = self._clock.wall_ms() - records[0].timestamp if records else None
        took_s = loop.time() - began_s
        note_commit(len(records), took_s, age_ms)
        if self._traces is not None:
            self._traces.turn(self.partition, batch.inputs, decided, took_s)
        self._remember(documents, decided)
        self._end_calls(batch, decided)
        if batch.due:
            self._due = ()

    async def _woken(self) -> None:
        """Wait for records, due entries, or, holding deadlines, for the next look at the log.

        With nothing in hand, what was committed is settled first.
        """
        while not (self._inbox or self._due or self._answers or self._closing):
            if self._unsettled:
                await self._acked()
                if not (self._inbox or self._due or self._answers):
                    await self._settle()
                continue
            self._wake.clear()
            passed = await self._log.passed(self.holds_until, self.partition)
            try:
                self.idle = True
                async with asyncio.timeout(DRAIN_CHECK_S if self._held else LOOK_AT_ENDS_S):
                    await self._wake.wait()
            except TimeoutError:
                if not self._held:
                    await self._pass_control_records()
                    return
                # What the consumer had passed before the wait, and handed out to nobody during it,
                # is control records of transactional producers: nothing to wait for.
                self._drained = passed
                return
            finally:
                self.idle = False

    async def _pass_control_records(self) -> None:
        """The next turn stores the positions behind what no consumer hands out."""
        passed = await self._log.passed(self._service.inputs, self.partition)
        self._next = await behind_control_records(self._log, self.partition, self._next, passed)

    def _take(self) -> list[Record]:
        records = [record for batch in self._inbox for record in batch]
        self._inbox.clear()
        if self._handed_out:
            self._drained, self._handed_out = self._handed_out, {}
        if self._paused:
            self._paused = False
            paused = {DEADLINES_EVENTS.name} if self._holds_many else set()
            self._log.resume(set(self._service.inputs) - paused, self.partition)
        return records

    async def _know_the_time(self, records: Sequence[Record]) -> None:
        """Arrivals are translated to business time: that needs every step that began before."""
        latest_ms = max((record.timestamp for record in records), default=0)
        if latest_ms >= self._clock.certain_until_ms:
            await self._clock.refresh()

    def _decode(self, records: Iterable[Record]) -> _Batch:
        batch = _Batch()
        timeline = self._clock.timeline
        for record in records:
            if record.offset < self._next[record.topic]:
                self.counts["redelivered"] += 1
                continue
            if record.offset > self._next[record.topic]:
                batch.gaps.setdefault(record.topic, self._next[record.topic])
            self._next[record.topic] = record.offset + 1
            self.counts["records"] += 1
            found = self._decoder.decode(record, timeline)
            if isinstance(found, Event):
                self._sort(batch, record, found)
            elif isinstance(found, NotAnEvent) and self._decoder.owns(record.topic):
                batch.dead.append(DeadLetter(record, found.reason, found.detail, found.field))
            elif isinstance(found, Misrouted) and self._decoder.owns(record.topic):
                batch.misrouted.append((record, _subject(record)))
        return batch

    async def _miss_nothing(self, batch: _Batch) -> None:
        """No record is passed that was never read: a consumer goes on at the log's beginning where
        retention has overtaken it, and says nothing. Opening again refuses that, loudly.
        """
        if not batch.gaps:
            return
        for topic, (begin, _) in (await self._log.bounds(batch.gaps, self.partition)).items():
            if begin > batch.gaps[topic]:
                raise TransientError(
                    f"{topic}, partition {self.partition}, begins at {begin}: records from"
                    f" {batch.gaps[topic]} on are lost and were never read"
                )

    def _sort(self, batch: _Batch, record: Record, event: Event[Any]) -> None:
        item = self._input(event, record)
        if not isinstance(event.data, DeadlineReached):
            batch.inputs.append(item)
        elif event.data.publisher == self._service.name:
            batch.deadlines.append(item)

    async def _hold_deadlines(self, batch: _Batch) -> None:
        """No deadline overtakes an input that was in the log before it.

        In it is what was written: a transaction that is over for its producer ends there later.
        """
        if not batch.deadlines:
            return
        others = [name for name in self._service.inputs if name != DEADLINES_EVENTS.name]
        ends = await self._log.high_watermarks(others, self.partition)
        first = batch.deadlines[0].record
        assert first is not None
        self._held.append(_Held(batch.deadlines, first.offset, ends))
        if self._holds_many:
            self._log.pause([DEADLINES_EVENTS.name], self.partition)

    @property
    def _holds_many(self) -> bool:
        return sum(len(held.inputs) for held in self._held) >= MAX_HELD

    def _release_held(self, batch: _Batch) -> None:
        held_many = self._holds_many
        while self._held and all(
            max(self._next[topic], self._drained.get(topic, 0)) >= end
            for topic, end in self._held[0].ends.items()
        ):
            batch.inputs += self._held.popleft().inputs
        if held_many and not (self._holds_many or self._paused):
            self._log.resume([DEADLINES_EVENTS.name], self.partition)
        if self._due:
            batch.inputs += self._due
            batch.due = True

    def _take_answers(self, batch: _Batch) -> None:
        for _ in range(min(len(self._answers), MAX_ANSWERS)):
            batch.inputs.append(self._answers.popleft())

    async def _load(self, batch: _Batch) -> dict[str, Document[S]]:
        """The documents that the batch touches, in one trip, and, in another, the answers to its
        questions: what is asked may not be asked back, so first the task has to hold its partition,
        of a Redis that has not gone back (P1).
        """
        subjects = dict.fromkeys(item.received.event.subject for item in batch.inputs)
        missing = [subject for subject in subjects if subject not in self._documents]
        questions = self._questions(batch)
        stored = await self._store.load(
            [self._service.documents.key(self.partition, subject) for subject in missing],
            self._token if questions else "",
        )
        replies = await self._store.ask([*questions.values()])
        answers = dict(zip(questions, replies, strict=True))
        for at in {at for at, _ in questions}:
            each = tuple(answers.get((at, nth)) for nth in range(len(self._service.asks)))
            received = batch.inputs[at].received._replace(answers=each)
            batch.inputs[at] = batch.inputs[at]._replace(received=received)
        documents = {s: self._documents[s] for s in subjects if s in self._documents}
        read = self._service.documents.read
        return documents | {s: read(s, raw) for s, raw in zip(missing, stored, strict=True)}

    def _questions(self, batch: _Batch) -> dict[tuple[int, int], Question]:
        """By the place of its event in the batch, and its own among the service's."""
        asked = (
            ((at, nth), ask(item.received.event, self._desk.policies))
            for at, item in enumerate(batch.inputs)
            for nth, ask in enumerate(self._service.asks)
        )
        return {place: question for place, question in asked if question is not None}

    def _reread(self, parked: ParkedRecord) -> Input:
        """A parked record as it was when it came: the same event, the same arrival."""
        record = restored(parked)
        event = self._decoder.decode(record, self._clock.timeline)
        assert isinstance(event, Event), "a parked record was an event when it came"
        return self._input(event, record)

    def _input(self, event: Event[Any], record: Record) -> Input:
        publisher = self._service.publisher_of[record.topic]
        return input_of(event, record, self._clock.timeline, publisher)

    async def _keep_dead(self, batch: _Batch, decided: Decided[S]) -> None:
        """Dead letters are acked before the commit that passes them (P6)."""
        dead = [*batch.dead, *decided.dead]
        if dead:
            await self._log.keep(dead, self._service.name)
            self.counts["dead_letters"] += len(dead)
            for letter in dead:
                note_dead_letter(letter.reason)
        if batch.misrouted:
            records, subjects = zip(*batch.misrouted, strict=True)
            await self._log.reroute(records, subjects)
            self.counts["rerouted"] += len(records)
        await self._step("dead_lettered")

    async def _commit(self, decided: Decided[S]) -> None:
        await self._acked()
        self._number += 1
        held, self._token = self._token, f"{self._claim_token}:{self._number}"
        commit = Commit(
            number=self._number,
            claim=self._claim_token,
            journal=self._journal,
            positions=self.positions,
            outbox=decided.outgoing,
            ops=self._writes(decided),
            answered=decided.answered,
        )
        await self._accepted(self._store.commit(held, self._token, commit))
        self._calls_to_pursue = self._read_calls(
            fact.value for fact in decided.outgoing if fact.call
        )
        self._stored_positions = commit.positions
        self._unsettled = True
        self.counts["commits"] += 1
        self.counts["facts"] += len(decided.outgoing)
        self.unpublished = len(decided.outgoing)
        await self._step("committed")
        mark = self._mark(self._number, commit.positions)
        self._publishing = asyncio.create_task(
            self._log.publish(decided.outgoing, self._service.journal, mark)
        )

    def _writes(self, decided: Decided[S]) -> list[Any]:
        documents, timeline = self._service.documents, self._clock.timeline
        return [
            op
            for subject, after in decided.after.items()
            for op in documents.write(
                self.partition,
                decided.before[subject],
                after,
                timeline.wall_ms,
                decided.states.get(subject),
            )
        ]

    def _remember(self, loaded: dict[str, Document[S]], decided: Decided[S]) -> None:
        """Memory changes only when the commit is accepted; the longest unused is forgotten."""
        for subject, document in (loaded | decided.after).items():
            self._documents.pop(subject, None)
            self._documents[subject] = document
        excess = len(self._documents) - MAX_DOCUMENTS // self._desk.partitions
        for subject in list(islice(self._documents, max(excess, 0))):
            del self._documents[subject]

    async def _acked(self) -> None:
        """Wait until the outbox that is stored is published: no commit goes out before."""
        if self._publishing is None:
            return
        reached = await self._publishing
        self._publishing = None
        self.unpublished = 0
        self._journal = max(self._journal, reached or 0)
        self._pursue(self._calls_to_pursue)
        self._calls_to_pursue = []
        await self._step("published")

    # -- calls to the outside -----------------------------------------------------------------

    def _read_calls(self, stored: Iterable[bytes]) -> list[PendingCall]:
        read = [self._caller.read(value) for value in stored] if self._caller else []
        return [call for call in read if call is not None]

    def _pursue(self, calls: Iterable[PendingCall]) -> None:
        """Have calls performed that are pending: stored, and published."""
        for call in calls:
            assert self._caller is not None
            self._pending[call.event.id] = call
            self._caller.pursue(call, self)

    def _end_calls(self, batch: _Batch, decided: Decided[S]) -> None:
        """What has its final answer is pending no more; all else is asked again."""
        for call in decided.answered:
            del self._pending[call]
        for call, failed in decided.failed.items():
            assert self._caller is not None
            asked = self._pending[call].event
            self._caller.hear(Bug("the answer to a call can not be decided", asked, failed))
        again = (self._pending.get(item.call) for item in batch.inputs if item.call)
        self._pursue(call for call in again if call is not None)

    async def _settle(self) -> None:
        """With nothing else in hand, note that the outbox is acked: an empty one means rest."""
        await self._acked()
        held, self._token = self._token, f"{self._token}:settled"
        await self._accepted(self._store.settle(held, self._token, self._journal))
        self._unsettled = False
        await self._step("settled")

    async def _accepted(self, commit: Awaitable[bool]) -> None:
        if not await commit:
            self.counts["refused"] += 1
            raise TransientError(f"partition {self.partition} was taken over: commit refused")

    def _mark(self, number: int, positions: Mapping[str, int]) -> Mark:
        return Mark(self._service.name, self.partition, self._claim_token, number, positions)


async def look_at_tokens(redis: Redis, tasks: Iterable[PartitionTask[Any]]) -> None:
    """Let tasks that have nothing to do find out that they were lost: one trip for all of them.

    By themselves they would see only at their next commit that their Redis has gone back, and what
    it lost may be the very deadline that they wait for. Raises as the trip does.
    """
    idle = [task for task in tasks if task.idle]
    pipeline = Pipeline(redis)
    pipeline.queue("PING")
    for task in idle:
        task.ask_token(pipeline)
    _, *tokens = await pipeline.run()
    for task, token in zip(idle, tokens, strict=True):
        task.note_token(token)


def _subject(record: Record) -> str:
    return (record.key or b"").decode()
