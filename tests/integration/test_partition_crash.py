"""A worker that dies, or sleeps, at any point: nothing is lost and nothing is done twice."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest
import pytest_asyncio

from services.cli.kafka_server import KafkaServer
from services.cli.redis_server import RedisServer
from shared.partition import STEPS
from tests.support.toy_books import Books
from tests.support.toy_worker import At, ToyProcess
from tests.support.toy_world import PARTITIONS, Cases, World, at_once, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLEEPS = ("decided", "committed")
OPENING = ("claimed", "journal_read", "republished", "opened")
WITH_FACTS = ("committed", "published")
"""What a worker leaves behind when it is killed there: facts in its outbox."""


async def feed(world: World, worker: ToyProcess, *, bombs: bool = True) -> None:
    """Tell more and more, on both topics and with a bomb each time, until it is at its step."""
    subjects = [world.subject(p, n) for n in range(2) for p in range(PARTITIONS)]
    for wave in range(300):
        await world.add(*subjects, *subjects)
        await world.add(*subjects, to="right")
        if bombs:
            await world.bomb(subjects[wave % len(subjects)])
        if worker.there:
            return
        assert worker.exit_code is None, worker.said
        await asyncio.sleep(0.2)
    raise AssertionError(f"never came to its step: {worker.said}")


async def killed_at(world: World, step: str) -> Books:
    """Kill a worker at the step, let the next one go on; the books at rest."""
    async with world.opened():
        ats = [At(step, 4)]
        if step in OPENING:  # with an outbox that the one before it left behind
            ats = [At("committed", 4), At(step, 2)]
        async with world.worker():
            await world.rest()  # behind what other toys were told on the topics that all share
        for at in ats:
            victim = world.start(at)
            # A bomb that is alone in its batch leaves nothing to publish.
            await feed(world, victim, bombs=at.step not in WITH_FACTS)
            assert await victim.ended() == -SIGKILL
            if at.step in WITH_FACTS:
                assert any(found.outbox for found in await world.stored())
        world.start()
        await world.rest()
        return await world.books()


async def quiet_after_commit(world: World) -> Books:
    """Kill a worker between the commit and the publication of the only record there is."""
    async with world.opened():
        victim = world.start(At("committed"))
        await world.add(world.subject(1))
        assert await victim.ended() == -SIGKILL
        assert [found.outbox for found in await world.stored()] == [0, 2, 0]
        assert await world.read(world.topics.events.name) == []
        world.start()
        await world.rest()
        return await world.books()


async def asleep_at(world: World, step: str) -> Books:
    """Put a worker to sleep until another has taken over and is at rest, then wake it."""
    async with world.opened():
        zombie = world.start(At(step, 4, SIGSTOP))
        await feed(world, zombie)
        world.start()
        await world.rest()

        zombie.signal(SIGCONT)

        async def back() -> bool:
            return (await zombie.health("/ready"))[0] == 200

        await until(back, "the zombie is a member again")
        await world.add(*(world.subject(p) for p in range(PARTITIONS)))
        await world.rest()
        return await world.books()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cases(
    kafka: KafkaServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cases[Books]]:
    def world() -> World:
        logs = tmp_path_factory.mktemp("crash")
        return World(kafka.bootstrap_servers, redis_server.redis_url, logs)

    stories = {step: partial(killed_at, world(), step) for step in STEPS}
    stories |= {f"asleep at {step}": partial(asleep_at, world(), step) for step in SLEEPS}
    stories["quiet"] = partial(quiet_after_commit, world())
    async with at_once(stories) as running:
        yield running


@pytest.mark.parametrize("step", STEPS)
async def test_p3_p6_killed_at_any_step_nothing_is_lost_or_done_twice(
    cases: Cases[Books], step: str
) -> None:
    books = await cases[step]

    if step == "published":
        assert books.doubled > 0, "what may not be published is published again, with the same id"


async def test_p6_what_a_quiet_partition_had_not_published_is_published_without_a_new_record(
    cases: Cases[Books],
) -> None:
    assert len((await cases["quiet"]).values) == 1


@pytest.mark.parametrize("step", SLEEPS)
async def test_p3_a_worker_that_sleeps_past_its_session_does_nothing_twice_when_it_wakes(
    cases: Cases[Books], step: str
) -> None:
    await cases[f"asleep at {step}"]
