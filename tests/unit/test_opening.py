"""What opening makes of a journal: whole commits, one published in part, and the calls in it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from pydantic_core import from_json

from services.simulator.fate import Allowed, Fate
from services.simulator.memory_redis import MemoryRedis, connect_to
from services.simulator.network import Server
from services.simulator.scripts import TWINS
from services.simulator.topics import MemoryLog, Topics, encoded
from shared.batch import Desk, Outgoing
from shared.clock import BusinessClock, to_ms
from shared.decode import Decoder, Record
from shared.documents import Document
from shared.errors import RefusedStart, TransientError
from shared.events.envelope import Event
from shared.marks import COMMIT_HEADER as COMMIT
from shared.marks import PART_HEADER as PART
from shared.marks import PARTS_HEADER as PARTS
from shared.marks import POSITIONS_HEADER as POSITIONS
from shared.marks import Mark, mark_headers, part_headers
from shared.opening import Opened, Opening
from shared.partition import Step, no_step
from shared.partition_store import PartitionStore
from shared.policy import Policies
from tests.support import toy
from tests.support.toy import NOON, Add, Dial, Dialed, Said, Sum
from tests.support.toy_story import Story, answer, record

pytestmark = pytest.mark.asyncio

LEFT, RIGHT = "toy-left", "toy-right"
UNTIL = NOON + timedelta(hours=1)
NO_FAULTS = Fate(1, Allowed(kinds=()))


async def unanswered(_event: Event[Dialed]) -> Said:
    raise TransientError("nobody calls in these tests")


class OneReader(MemoryLog):
    """As Kafka's: who reads holds all others up."""

    def __init__(self, topics: Topics, kafka: Server) -> None:
        super().__init__(topics, kafka)
        self.reading = asyncio.Lock()

    async def records(
        self, topic: str, partition: int, start: int | None, end: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        async with self.reading, aclosing(super().records(topic, partition, start, end)) as found:
            async for records in found:
                yield records


@dataclass
class Partition:
    """The toy's only partition: a Kafka and a Redis in memory, and what the toy has decided."""

    story: Story = field(default_factory=lambda: Story(toy.service(perform=unanswered)))
    published: int = 0

    def __post_init__(self) -> None:
        self.topics = Topics(1, lambda: to_ms(NOON))
        self.log = MemoryLog(self.topics, Server("Kafka", NO_FAULTS, TransientError))
        redis = MemoryRedis(lambda: to_ms(NOON), TWINS)
        self.redis = connect_to(redis, Server("Redis", NO_FAULTS, TransientError))
        for _ in range(20):
            self.topics.append(LEFT, 0, b"S-1", b"read long ago")

    def commit(self, number: int, parts: Sequence[int]) -> None:
        """Publish what was decided since as one commit: so many journal facts in each part.

        What is left then would have been one part more.
        """
        facts = [out for out in self.story.outgoing if out.topic == "toy.events"][self.published :]
        mark = Mark("toy", 0, "claim", number, {LEFT: number, RIGHT: 0})
        ends = [sum(parts[:n]) for n in range(len(parts) + 1)]
        chunks = [facts[start:end] for start, end in pairwise(ends)]
        chunks += [facts[ends[-1] :]] if len(facts) > ends[-1] else []
        for part in range(len(parts)):
            self._append(mark, part, chunks)
        self.published += ends[-1]

    def _append(self, mark: Mark, part: int, chunks: Sequence[Sequence[Outgoing]]) -> None:
        headers = encoded(mark_headers(mark) | part_headers(mark, part, chunks))
        for fact in chunks[part]:
            self.topics.append(fact.topic, 0, fact.key, fact.value, headers)

    async def open(self, *, rebuild: bool, step: Step = no_step) -> Opened:
        service = self.story.service
        opening = Opening(
            Desk(service, Policies(), 0, 1),
            Decoder("toy", service.reads, 1),
            PartitionStore(self.redis, "toy", 0),
            self.log,
            BusinessClock(self.redis),
            step,
            rebuild=rebuild,
        )
        return await opening.open("token")

    async def document(self, subject: str) -> Document[Sum]:
        documents = self.story.service.documents
        stored: Any = await self.redis.get(documents.key(0, subject))
        return documents.read(subject, stored)


async def test_p6_whole_commits_are_folded_and_the_positions_are_the_last_ones() -> None:
    toy_ = Partition()
    toy_.story.tell(record(Add(amount=1), "a", "S-1"), record(Add(amount=2), "b", "S-2"))
    toy_.commit(1, [2])
    toy_.story.tell(record(Add(amount=3), "c", "S-1"), record(Add(amount=4), "d", "S-1"))
    toy_.commit(2, [1, 1])

    opened = await toy_.open(rebuild=True)

    assert (opened.number, opened.positions[LEFT], opened.facts) == (2, 2, 4)
    for subject in ("S-1", "S-2"):
        assert await toy_.document(subject) == toy_.story.document(subject)
    assert (await toy_.open(rebuild=False)).facts == 0


GOOD = {COMMIT: b"7", POSITIONS: b"{}", PART: b"0", PARTS: b"1"}


@pytest.mark.parametrize(
    "bad",
    [
        {COMMIT: b"seven"},
        {COMMIT: None},
        {COMMIT: b"\xff"},
        {COMMIT: b"9" * 5_000},
        {PART: b"first"},
        {PARTS: b""},
        {POSITIONS: b"{"},
        {POSITIONS: b"[" * 10_000},
        {POSITIONS: b"[1]"},
        {POSITIONS: b'{"toy-left":"1"}'},
        {POSITIONS: b'{"toy-left":null}'},
        *({header: ...} for header in (POSITIONS, PART, PARTS)),
    ],
    ids=lambda bad: f"{bad}"[:50],
)
@pytest.mark.parametrize("rebuild", [True, False])
async def test_p6_a_journals_record_with_marks_that_no_task_writes_is_passed(
    bad: dict[str, Any], *, rebuild: bool
) -> None:
    toy_ = Partition()
    await toy_.open(rebuild=False)
    marks = tuple((name, value) for name, value in {**GOOD, **bad}.items() if value is not ...)
    toy_.topics.append("toy.events", 0, b"S-1", b"no fact of ours", marks)
    if rebuild:
        toy_.story.tell(record(Add(amount=1), "a", "S-1"))
        toy_.commit(1, [1])
        toy_.topics.append("toy.events", 0, b"S-1", b"no fact of ours", marks)

    opened = await toy_.open(rebuild=rebuild)

    assert (opened.number, opened.facts) == (int(rebuild), int(rebuild))
    assert opened.positions[LEFT] == int(rebuild)


@pytest.mark.parametrize("subjects", [("S-1", "S-2", "S-3"), ("S-1", "S-2", "S-2")])
async def test_p3_p6_of_a_commit_published_in_part_what_it_tells_is_folded_but_for_a_cut(
    subjects: Sequence[str],
) -> None:
    toy_ = Partition()
    toy_.story.tell(record(Add(amount=1), "a", "S-1"))
    toy_.commit(1, [1])
    before = toy_.story.copy()
    batch = [record(Add(amount=n), f"b{n}", subject) for n, subject in enumerate(subjects, 1)]
    toy_.story.tell(*batch)
    toy_.commit(2, [2])  # of three

    opened = await toy_.open(rebuild=True)

    cut = len(set(subjects)) == 2
    assert opened.positions[LEFT] == 1, "all of the commit is read again"
    assert opened.number == 2, "the next commit is another"
    assert await toy_.document("S-1") == toy_.story.document("S-1")
    version = (await toy_.document("S-2")).version
    assert version == (0 if cut else 1), "where it is cut, it may lack a fact of the same event"
    again = before.copy()
    again.documents = {f"S-{n}": await toy_.document(f"S-{n}") for n in (1, 2, 3)}
    again.outgoing.clear()
    again.tell(*batch)
    assert again.counts["repeats"] == before.counts["repeats"] + (1 if cut else 2)
    said = {from_json(out.value)["id"]: out.value for out in toy_.story.outgoing}
    assert [said[from_json(out.value)["id"]] for out in again.outgoing] == [
        out.value for out in again.outgoing
    ]
    assert {s: again.document(s) for s in subjects} == {s: toy_.story.document(s) for s in subjects}


@pytest.mark.parametrize(("other", "asked_again"), [("S-1", True), ("S-2", False)])
async def test_p3_r7_an_answer_that_may_be_cut_off_is_asked_for_again(
    other: str, *, asked_again: bool
) -> None:
    toy_ = Partition()
    toy_.story.tell(record(Dial(until=UNTIL), "x", "S-1"))
    toy_.commit(1, [1])
    (asked,) = (out for out in toy_.story.outgoing if out.call)
    await toy_.open(rebuild=True)
    heard = answer(asked.call, Said(words="42"), "S-1")
    toy_.story.decide([heard]).tell(record(Add(amount=1), "a", other))
    toy_.commit(2, [1])  # of two

    opened = await toy_.open(rebuild=False)

    assert (opened.number, opened.calls) == (2, [asked.value] * asked_again)
    assert (await toy_.document("S-1")).version == (1 if asked_again else 2)
    again = toy_.story.copy()
    again.documents = {"S-1": await toy_.document("S-1")}
    again.decide([heard])
    assert again.last.answered == [asked.call]
    assert again.documents["S-1"].state is not None
    assert again.documents["S-1"].state.heard == 1


async def test_calls_without_an_answer_in_the_journal_are_pending() -> None:
    toy_ = Partition()
    toy_.story.tell(record(Dial(until=UNTIL), "x", "S-1"), record(Dial(until=UNTIL), "y", "S-2"))
    toy_.commit(1, [2])

    opened = await toy_.open(rebuild=True)

    asked = [out.value for out in toy_.story.outgoing if out.call]
    assert sorted(opened.calls) == sorted(asked)
    assert len(asked) == 2
    assert sorted((await toy_.open(rebuild=False)).calls) == sorted(asked)


async def test_calls_of_what_began_before_the_journal_does_are_not_pending() -> None:
    toy_ = Partition()
    toy_.story.tell(record(Add(amount=1), "a", "S-old"), record(Dial(until=UNTIL), "x", "S-old"))
    toy_.story.tell(record(Dial(until=UNTIL), "y", "S-new"))
    toy_.commit(1, [3])
    toy_.topics.delete_before("toy.events", 0, 1)

    opened = await toy_.open(rebuild=True)

    assert opened.left_out == {"S-old": 1}
    assert [from_json(call)["subject"] for call in opened.calls] == ["S-new"]


async def test_an_opening_that_fails_in_the_journal_lets_others_read_at_once() -> None:
    toy_ = Partition()
    log = toy_.log = OneReader(toy_.topics, Server("Kafka", NO_FAULTS, TransientError))
    toy_.story.tell(record(Add(amount=1), "a", "S-1"))
    toy_.commit(1, [1])
    toy_.story.tell(record(Add(amount=2), "b", "S-1"))
    toy_.published += 1  # the second fact is gone
    toy_.story.tell(record(Add(amount=3), "c", "S-1"), record(Add(amount=4), "d", "S-2"))
    toy_.commit(2, [2])

    with pytest.raises(RefusedStart, match="is version 3: others are gone"):
        await toy_.open(rebuild=True)

    assert not log.reading.locked()


async def test_p6_an_empty_redis_is_refused_and_a_behind_one_is_not() -> None:
    toy_ = Partition()
    toy_.story.tell(record(Add(amount=1), "a", "S-1"))
    toy_.commit(1, [1])
    with pytest.raises(RefusedStart, match=r"is empty for toy, partition 0, .* holds commit 1"):
        await toy_.open(rebuild=False)
    await toy_.open(rebuild=True)
    toy_.story.tell(record(Add(amount=1), "b", "S-1"))
    toy_.commit(2, [1])

    assert (await toy_.open(rebuild=False)).facts == 1
    assert await toy_.document("S-1") == toy_.story.document("S-1")


async def test_p3_a_redis_that_another_worker_has_filled_meanwhile_is_not_empty() -> None:
    toy_ = Partition()
    toy_.story.tell(record(Add(amount=1), "a", "S-1"))

    async def another_is_quicker(step: str) -> None:
        if step == "claimed":
            toy_.commit(1, [1])
            await toy_.open(rebuild=True)

    with pytest.raises(TransientError, match="partition 0 was taken over while it was opened"):
        await toy_.open(rebuild=False, step=another_is_quicker)
    assert (await toy_.open(rebuild=False)).number == 1
