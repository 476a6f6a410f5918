"""Calls to the outside, with real servers: performed at least once, under one key, decided once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import NamedTuple

import pytest
import pytest_asyncio

from services.cli.kafka_server import KafkaServer
from services.cli.redis_server import RedisServer
from shared import calls
from shared.calls import CALL_STEPS
from shared.events.envelope import Event
from shared.partition import no_step
from tests.support.tcp_proxy import Fault, TcpProxy
from tests.support.toy import NOON, Added, Dial, Dialed, Heard, Perform, Said
from tests.support.toy_books import Books
from tests.support.toy_outside import PORT, Line, Outside
from tests.support.toy_worker import AGAIN_MIN_S, At
from tests.support.toy_world import PARTITIONS, Cases, World, at_once, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAR = NOON + timedelta(days=40_000)
"""No deadline of a call is near: business time is wall time here."""
STEPS = ("decided", "committed", "published", *CALL_STEPS)
"""Where a worker dies around a call, the second time that it comes there."""
ASLEEP = ("calling", "answered")


class Scene(NamedTuple):
    """A toy, and whom it calls."""

    world: World
    outside: Outside

    @property
    def env(self) -> dict[str, str]:
        """The environment of a worker that finds the outside."""
        return {PORT: str(self.outside.port)}

    async def dial(self, *subjects: str) -> None:
        for subject in subjects:
            await self.world.tell(Dial(until=FAR), subject)

    async def check(self, dials: int) -> Books:
        """Every call was performed, with its own key, and its answer decided once."""
        books = await self.world.books()
        dialed = {fact["id"] for fact in books.facts if fact["type"] == Dialed.TYPE}
        heard = [fact["data"]["what"] for fact in books.facts if fact["type"] == Heard.TYPE]
        final = [what for what in heard if not what.startswith("nothing")]
        assert len(dialed) == dials
        assert set(self.outside.calls) == dialed
        assert sorted(final) == sorted(self.outside.done.values()), "each answer, once"
        return books


@asynccontextmanager
async def scene(make: Callable[[Outside], World]) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(Outside().listening())
        yield Scene(await stack.enter_async_context(make(outside).opened()), outside)


async def killed_at(make: Callable[[Outside], World], step: str) -> Books:
    """Kill a worker at the step, and let the next one go on, without a new record."""
    async with scene(make) as here:
        subjects = [here.world.subject(p, n) for p in range(PARTITIONS) for n in range(3)]
        await here.dial(*subjects)
        victim = here.world.start(At(step, 2), here.env)
        assert await victim.ended() == -SIGKILL
        here.world.start(environment=here.env)
        await here.world.rest()
        return await here.check(len(subjects))


async def asleep_at(make: Callable[[Outside], World], step: str) -> Books:
    """Put a worker to sleep around a call until another has made it, then wake it."""
    async with scene(make) as here:
        await here.dial(here.world.subject(1))
        zombie = here.world.start(At(step, 1, SIGSTOP), here.env)
        await until(lambda: _there(zombie.said), "the worker sleeps")
        here.world.start(environment=here.env)
        await here.world.rest()

        zombie.signal(SIGCONT)

        async def back() -> bool:
            return (await zombie.health("/ready"))[0] == 200

        await until(back, "the zombie is a member again")
        await here.dial(*(here.world.subject(p, 1) for p in range(PARTITIONS)))
        await here.world.rest()
        return await here.check(1 + PARTITIONS)


async def _there(said: str) -> bool:
    return "signals itself" in said


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cases(
    kafka: KafkaServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cases[Books]]:
    def make(_: Outside) -> World:
        logs = tmp_path_factory.mktemp("calls")
        return World(kafka.bootstrap_servers, redis_server.redis_url, logs)

    stories = {step: partial(killed_at, make, step) for step in STEPS}
    stories |= {f"asleep at {step}": partial(asleep_at, make, step) for step in ASLEEP}
    async with at_once(stories) as running:
        yield running


@pytest.mark.parametrize("step", STEPS)
async def test_p3_killed_around_a_call_it_is_made_again_under_its_key_and_decided_once(
    cases: Cases[Books], step: str
) -> None:
    await cases[step]


@pytest.mark.parametrize("step", ASLEEP)
async def test_p3_a_call_of_a_worker_that_was_taken_over_has_the_same_key_and_is_decided_once(
    cases: Cases[Books], step: str
) -> None:
    await cases[f"asleep at {step}"]


# -- in this process -------------------------------------------------------------------------------


@pytest.fixture
def make(
    kafka: KafkaServer,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Outside], World]:
    monkeypatch.setattr(calls, "AGAIN_MIN_S", AGAIN_MIN_S)

    def world(outside: Outside) -> World:
        servers = kafka.bootstrap_servers, redis_server.redis_url
        return World(*servers, tmp_path, perform=outside.perform)

    return world


@pytest.mark.parametrize("fault", [Line.CUT, Line.LATE, Line.DEAF])
async def test_p3_an_unknown_answer_is_decided_once_and_what_was_done_is_learned_later(
    make: Callable[[Outside], World], monkeypatch: pytest.MonkeyPatch, fault: Line
) -> None:
    monkeypatch.setattr(calls, "TRY_TIMEOUT_S", 0.2)
    tries = count(1)
    async with scene(make) as here, here.world.worker():
        here.outside.line = lambda _: fault if next(tries) <= 3 else Line.GOOD
        await here.dial(here.world.subject(1))
        await here.world.rest()

        books = await here.check(1)
        assert sum(here.outside.calls.values()) == 4
        assert books.said(here.world.subject(1)) == ["dialed", "heard", "heard"]


async def test_p3_a_call_that_is_pending_when_a_worker_ends_is_made_by_the_next(
    make: Callable[[Outside], World],
) -> None:
    async with scene(make) as here:
        here.outside.line = lambda _: Line.CUT
        async with here.world.worker():
            await here.dial(here.world.subject(2))

            async def unknown() -> bool:
                return "heard" in (await here.world.journal()).said(here.world.subject(2))

            await until(unknown, "the first try")
        assert [len(found.calls) for found in await here.world.stored()] == [0, 0, 1]

        here.outside.line = lambda _: Line.GOOD
        async with here.world.worker():
            await here.world.rest()

        books = await here.check(1)
        assert books.said(here.world.subject(2)) == ["dialed", "heard", "heard"]


async def test_a_call_without_an_answer_holds_up_nothing_else(
    make: Callable[[Outside], World],
) -> None:
    async with scene(make) as here, here.world.worker() as worker:
        here.outside.line = lambda _: Line.DEAF
        subject = here.world.subject(0)
        await here.dial(subject, subject)
        await here.world.add(subject)

        async def added() -> bool:
            return "added" in (await here.world.journal()).said(subject)

        await until(added, "what came after the calls")
        assert sum(len(found.calls) for found in await here.world.stored()) == 2
        assert worker.totals()["refused"] == 0


async def test_a_call_that_nobody_can_perform_waits_for_who_can(
    kafka: KafkaServer, redis_server: RedisServer, make: Callable[[Outside], World], tmp_path: Path
) -> None:
    async with scene(make) as here:
        here.outside.line = lambda _: Line.CUT
        async with here.world.worker():
            await here.dial(here.world.subject(1))
            await until(partial(_any_call, here), "a call is made")
        servers = kafka.bootstrap_servers, redis_server.redis_url
        without = World(*servers, tmp_path, name=here.world.name)
        async with without.worker():
            await here.world.add(here.world.subject(1))
            await until(partial(_added, here), "the rest of the partition goes on")
        assert sum(len(found.calls) for found in await here.world.stored()) == 1
        await without.redis.aclose()


async def test_what_calls_hold_is_given_back_once_when_their_worker_ends(
    make: Callable[[Outside], World],
) -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("closed")

    async with scene(make) as here:
        service = here.world.service
        closing = {fact: replace(call, close=close) for fact, call in service.calls.items()}
        twice = dict(closing)
        twice[Added] = closing[Dialed]
        here.world.service = replace(service, calls=twice)
        async with here.world.worker():
            assert closed == []
        assert closed == ["closed"]


async def _any_call(here: Scene) -> bool:
    return bool(here.outside.calls)


async def _added(here: Scene) -> bool:
    return "added" in (await here.world.journal()).said(here.world.subject(1))


async def test_calls_cost_a_batch_no_trip_of_their_own(
    make: Callable[[Outside], World],
) -> None:
    requests: list[bytes] = []
    gate = asyncio.Event()

    def make_gated(outside: Outside) -> World:
        world = make(outside)
        return World(
            world.bootstrap_servers, world.redis_url, world.logs, perform=_gated(outside, gate)
        )

    def note(request: bytes) -> Fault:
        # Others may still settle what they opened with, and the worker looks at its tokens.
        if f"{{{name}:0}}".encode() in request and b"PING" not in request:
            requests.append(request)
        return Fault.NONE

    async with scene(make_gated) as here, AsyncExitStack() as stack:
        host, _, port = here.world.redis_url.removeprefix("redis://").partition(":")
        proxy = await stack.enter_async_context(
            TcpProxy(host, int(port.partition("/")[0]), late_s=1).listening()
        )
        settings = {
            "redis_url": f"redis://127.0.0.1:{proxy.port}/0",
            "clock_redis_url": here.world.redis_url,
        }
        worker = await stack.enter_async_context(here.world.worker(no_step, **settings))
        await here.world.add(here.world.subject(0))
        await here.world.rest()
        name = here.world.name
        proxy.fault = note
        worker.log.pause(here.world.service.inputs, 0)
        await here.dial(*(here.world.subject(0, n) for n in range(30)))
        worker.log.resume(here.world.service.inputs, 0)
        await until(partial(_any_pending, here), "30 calls are pending")
        assert len(requests) == 3, "load, commit, settle"
        gate.set()
        await here.world.rest()

    assert here.outside.at_once <= calls.MAX_AT_ONCE


async def _any_pending(here: Scene) -> bool:
    found = await here.world.stored()
    return len(found[0].calls) == 30 and not found[0].outbox


def _gated(outside: Outside, gate: asyncio.Event) -> Perform:
    async def when_open(dialed: Event[Dialed]) -> Said:
        await gate.wait()
        return await outside.perform(dialed)

    return when_open
