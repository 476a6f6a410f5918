"""Calls to the outside: how they are performed, how many at a time, and what an answer says."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from shared import calls
from shared.batch import Input
from shared.calls import MAX_AT_ONCE, Bug, Caller, PendingCall, answer_id, log_bug
from shared.errors import TransientError
from shared.events.envelope import Event, encode
from shared.partition import no_step
from tests.support.toy import NOON, Dial, Dialed, Said, Silent, Wait, service
from tests.support.toy_story import SUBJECT, Story, answer, record

pytestmark = pytest.mark.asyncio

UNTIL = NOON + timedelta(hours=3)
ONE_MS = timedelta(milliseconds=1)
Performed = Callable[[Event[Dialed]], Awaitable[Said]]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "AGAIN_MIN_S", 0.0)


class Clock:
    """Stands still."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


class Partition:
    """A task as its caller sees it: takes answers, and has what they do not end called again."""

    def __init__(self) -> None:
        self.pending: dict[str, PendingCall] = {}
        self.answers: asyncio.Queue[Input] = asyncio.Queue()
        self.caller: Caller | None = None

    def offer_answer(self, answer: Input) -> None:
        self.answers.put_nowait(answer)
        if answer.final:
            del self.pending[answer.call]
        else:
            self.ask(self.pending[answer.call])

    def ask(self, *asked: PendingCall) -> None:
        assert self.caller is not None
        for call in asked:
            self.pending[call.event.id] = call
            self.caller.pursue(call, self)

    async def said(self) -> list[Any]:
        """All that was answered, until nothing is pending."""
        found = []
        while self.pending or not self.answers.empty():
            found.append((await self.answers.get()).received.event.data)
        return found


@asynccontextmanager
async def asking(
    perform: Performed,
    *,
    now: datetime = NOON,
    steps: list[str] | None = None,
    hear: Callable[[Bug], None] = log_bug,
) -> Any:
    """A partition whose calls are performed like that."""

    async def step(name: str) -> None:
        if steps is not None:
            steps.append(name)

    partition = Partition()
    partition.caller = Caller(service(perform=perform).calls, Clock(now), step, hear=hear)
    running = asyncio.create_task(partition.caller.run())
    try:
        yield partition
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def dialed(id_: str = "call-17") -> PendingCall:
    event = Event[Any](
        id=id_,
        source="orderflow/toy",
        type=Dialed.TYPE,
        subject=SUBJECT,
        time=NOON,
        correlationid="began-it",
        data=Dialed(until=UNTIL),
    )
    return PendingCall(event)


def answering(*answers: str | Exception) -> Performed:
    """The outside answers like this, one try after the other."""
    rest = iter(answers)

    async def perform(_: Event[Dialed]) -> Said:
        answer = next(rest)
        if isinstance(answer, Exception):
            raise answer
        return Said(words=answer)

    return perform


AWAY = TransientError("the line was cut")


async def test_an_answer_is_an_event_whose_id_is_derived_from_its_calls() -> None:
    async with asking(answering("42")) as partition:
        partition.ask(dialed())
        answer = await partition.answers.get()

    event = answer.received.event
    assert (answer.call, answer.final, answer.record) == ("call-17", True, None)
    assert event.data == Said(words="42")
    assert event.id == answer_id("call-17", final=True) != answer_id("call-17", final=False)
    assert (event.subject, event.time, event.source) == (SUBJECT, NOON, "orderflow/toy/calls")
    assert (event.causationid, event.correlationid) == ("call-17", "began-it")
    assert answer.received.publisher is None


async def test_an_unknown_answer_is_told_once_and_the_call_performed_again() -> None:
    async with asking(answering(AWAY, AWAY, AWAY, "42")) as partition:
        partition.ask(dialed())

        assert await partition.said() == [
            Silent(why="the line was cut", over=False),
            Said(words="42"),
        ]


async def test_a_try_without_an_answer_in_its_time_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "TRY_TIMEOUT_S", 0.01)
    tries = 0

    async def silent_once(_: Event[Dialed]) -> Said:
        nonlocal tries
        tries += 1
        if tries == 1:
            await asyncio.Event().wait()
        return Said(words="here again")

    async with asking(silent_once) as partition:
        partition.ask(dialed())
        said = await partition.said()

    assert said == [Silent(why="no answer within 0.01 s", over=False), Said(words="here again")]


async def test_a_bug_in_a_try_stops_at_its_own_call_which_is_performed_again() -> None:
    tries = count()

    async def perform(event: Event[Dialed]) -> Said:
        if event.id == "bad" and next(tries) < 3:
            raise KeyError("amount")
        return Said(words=event.id)

    async with asking(perform) as partition:
        partition.ask(*(dialed(id_) for id_ in ("bad", "one", "two")))
        said = await partition.said()

    assert said == [
        Silent(why="KeyError", over=False),
        *(Said(words=id_) for id_ in ("one", "two", "bad")),
    ]


async def test_a_bug_in_a_try_is_told_to_whoever_runs_the_calls() -> None:
    bugs: list[Bug] = []
    asked = dialed()

    async with asking(answering(KeyError("amount"), "42"), hear=bugs.append) as toy:
        toy.ask(asked)
        await toy.said()

    (bug,) = bugs
    assert (bug.call.id, repr(bug.error)) == (asked.event.id, "KeyError('amount')")


async def test_r23_a_bug_in_the_try_at_the_calls_deadline_is_its_last_answer() -> None:
    async with asking(answering(KeyError("amount")), now=UNTIL) as partition:
        partition.ask(dialed())

        assert await partition.said() == [Silent(why="KeyError", over=True)]


@pytest.mark.parametrize(("now", "over"), [(UNTIL - ONE_MS, False), (UNTIL, True)])
async def test_the_unknown_answer_at_the_calls_deadline_is_the_last(
    now: datetime, over: bool
) -> None:
    async with asking(answering(AWAY, "42"), now=now) as partition:
        partition.ask(dialed())
        said = await partition.said()

    assert said == (
        [Silent(why=str(AWAY), over=True)]
        if over
        else [Silent(why=str(AWAY), over=False), Said(words="42")]
    )


async def test_an_answer_after_the_deadline_counts_what_was_due_meanwhile_is_tried_once() -> None:
    async with asking(answering("late, but here"), now=UNTIL + ONE_MS) as partition:
        partition.ask(dialed())

        assert await partition.said() == [Said(words="late, but here")]


async def test_calls_are_bounded_and_none_is_forgotten() -> None:
    on_their_way, most, full = 0, 0, asyncio.Event()

    async def perform(event: Event[Dialed]) -> Said:
        nonlocal on_their_way, most
        on_their_way += 1
        most = max(most, on_their_way)
        if on_their_way == MAX_AT_ONCE:
            full.set()
        await full.wait()
        on_their_way -= 1
        return Said(words=event.id)

    ids = [f"call-{n}" for n in range(3 * MAX_AT_ONCE)]
    async with asking(perform) as partition:
        partition.ask(*map(dialed, ids))
        said = await partition.said()

    assert most == MAX_AT_ONCE
    assert {answer.words for answer in said} == set(ids)


async def test_calls_of_a_task_that_has_ended_are_not_performed() -> None:
    performed: list[str] = []

    async def perform(event: Event[Dialed]) -> Said:
        performed.append(event.id)
        return Said(words=event.id)

    async with asking(perform) as partition:
        partition.ask(dialed("of-a-lost-task"))
        partition.pending.clear()
        partition.ask(dialed("of-a-new-one"))
        await partition.said()

    assert performed == ["of-a-new-one"]


async def test_an_answer_to_a_task_that_has_ended_meanwhile_is_dropped() -> None:
    lost = Partition()

    async def perform(event: Event[Dialed]) -> Said:
        lost.pending.clear()
        return Said(words=event.id)

    async with asking(perform) as partition:
        lost.caller = partition.caller
        lost.ask(dialed("of-a-lost-task"))
        partition.ask(dialed("of-a-new-one"))
        await partition.said()

    assert lost.answers.empty()


async def test_waits_between_tries_double_up_to_five_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "AGAIN_MIN_S", 1.0)
    caller, call, waits = Caller({}, Clock(), no_step), dialed(), []
    for _ in range(2_000):
        waits.append(call.wait_s)
        caller.pursue(call, Partition())

    assert waits[:11] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0]
    assert set(waits[11:]) == {300.0}


async def test_the_named_points_of_a_try_come_before_and_after_it() -> None:
    steps: list[str] = []

    async def perform(_: Event[Dialed]) -> Said:
        steps.append("performed")
        return Said(words="42")

    async with asking(perform, steps=steps) as partition:
        partition.ask(dialed())
        await partition.said()

    assert steps == ["calling", "performed", "answered"]


# -- what the partition decides --------------------------------------------------------------------


def stored(facts: Iterable[Any]) -> list[str]:
    return [out.call for out in facts if out.call]


async def test_a_fact_of_a_named_type_is_a_call_under_its_own_id() -> None:
    story = dialing()

    (call,) = stored(story.outgoing)
    assert call == story.facts[-1]["id"]
    assert story.said() == ["waiting", "dialed"]


async def test_without_calls_the_same_fact_is_only_a_fact() -> None:
    story = dialing(Story())

    assert stored(story.outgoing) == []
    assert story.said() == ["waiting", "dialed"]


async def test_a_final_answer_ends_its_call_and_what_is_unknown_does_not() -> None:
    story = dialing()
    (call,) = stored(story.outgoing)

    story.decide([answer(call, Silent(why="cut", over=False), final=False)])
    assert (story.last.answered, story.said()[-1]) == ([], "heard")
    story.decide([answer(call, Said(words="42"))])
    assert (story.last.answered, story.said()[-1]) == ([call], "heard")


async def test_what_is_told_again_after_a_restart_is_no_news() -> None:
    story = dialing()
    (call,) = stored(story.outgoing)
    unknown = answer(call, Silent(why="cut", over=False), final=False)

    story.decide([unknown, unknown]).decide([unknown])

    assert story.said().count("heard") == 1


async def test_an_answer_that_can_not_be_decided_does_not_end_its_call() -> None:
    story = dialing()
    (call,) = stored(story.outgoing)

    story.decide([answer(call, Said(words="boom"))])

    assert story.last.answered == []
    assert "RuntimeError: boom" in story.last.failed[call]
    assert story.dead == []


def dialing(story: Story | None = None) -> Story:
    story = story or Story(service(perform=answering()))
    return story.tell(record(Wait(due=UNTIL), "id-1"), record(Dial(until=UNTIL), "id-2"))


async def test_a_call_is_read_again_as_it_was_stored_and_an_unknown_one_is_left_alone() -> None:
    caller = Caller(service(perform=answering()).calls, Clock(), no_step)
    value = encode(
        Dialed(until=UNTIL), id_="call-17", source="orderflow/toy", subject=SUBJECT, time=NOON
    )

    call = caller.read(value)

    assert call is not None
    assert (call.event.id, call.event.data) == ("call-17", Dialed(until=UNTIL))
    assert Caller({}, Clock(), no_step).read(value) is None
