"""P5: no deadline overtakes an input that was in the log before it."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from services.cli.kafka_server import KafkaServer
from services.cli.redis_server import RedisServer
from shared.events.deadlines import DEADLINES_EVENTS, DeadlineReached
from shared.events.envelope import encode
from shared.worker import Worker
from tests.support.toy import NOON, Wait
from tests.support.toy_world import PARTITIONS, World, until

pytestmark = pytest.mark.asyncio

DUE = NOON + timedelta(days=7)
HELD_S = 1.5
"""Three looks of the task at the log: longer than it would take to decide too early."""


@pytest.fixture
def world(kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path) -> World:
    return World(kafka.bootstrap_servers, redis_server.redis_url, tmp_path)


async def reached(world: World, partition: int = 0) -> int:
    """The deadlines service says that the subject's deadline came; the record's offset."""
    subject = world.subject(partition)
    fact = DeadlineReached(publisher=world.name, kind="toy", due=DUE)
    value = encode(
        fact, id_=f"{world.name}-{partition}", source="orderflow/deadlines", subject=subject,
        time=DUE, version=1,
    )  # fmt: skip
    ack = await world.produce(DEADLINES_EVENTS.name, subject.encode(), value, partition)
    return int((await ack).offset)


async def said(world: World, partition: int = 0) -> list[str]:
    return (await world.journal()).said(world.subject(partition))


async def waiting(world: World, worker: Worker) -> None:
    """A deadline is open, and all is at rest."""
    await world.tell(Wait(due=DUE), world.subject(0))
    await world.rest()
    assert await said(world) == ["waiting"]


async def test_p5_an_input_that_was_there_before_is_decided_before_the_deadline(
    world: World,
) -> None:
    async with world.opened(), world.worker() as worker:
        await waiting(world, worker)
        records = worker.totals()["records"]
        worker.log.pause([world.topics.right.name], 0)
        await world.add(world.subject(0), to="right")
        offset = await reached(world)

        async def in_hand() -> bool:
            return worker.totals()["records"] > records

        await until(in_hand, "the task has the deadline in hand")
        await asyncio.sleep(HELD_S)
        assert await said(world) == ["waiting"]
        stored = (await world.stored())[0].positions
        assert stored[DEADLINES_EVENTS.name] <= offset, "held ones are not passed"

        worker.log.resume([world.topics.right.name], 0)
        await world.rest()
        assert await said(world) == ["waiting", "added", "reached"]


async def test_p5_a_deadline_in_hand_survives_its_worker(world: World) -> None:
    async with world.opened():
        async with world.worker() as worker:
            await waiting(world, worker)
            records = worker.totals()["records"]
            worker.log.pause([world.topics.right.name], 0)
            await world.add(world.subject(0), to="right")
            await reached(world)
            await world.add(world.subject(0))

            async def in_hand() -> bool:
                return worker.totals()["records"] == records + 2

            await until(in_hand, "the task has the deadline in hand, and went on")
        assert await said(world) == ["waiting", "added"]

        async with world.worker():
            await world.rest()
        assert await said(world) == ["waiting", "added", "added", "reached"]


async def test_p5_an_input_that_waits_in_the_worker_is_decided_before_the_deadline(
    world: World,
) -> None:
    """All is there when the worker starts: the order in which it is handed over does not count."""
    async with world.opened():
        for partition in range(PARTITIONS):
            await world.tell(Wait(due=DUE), world.subject(partition))
        async with world.worker():
            await world.rest()
        for partition in range(PARTITIONS):
            await world.add(*[world.subject(partition)] * 30, to="right")
            await reached(world, partition)

        async with world.worker():
            await world.rest()

        for partition in range(PARTITIONS):
            assert await said(world, partition) == ["waiting", *["added"] * 30, "reached"]


@pytest.mark.real_kafka
@pytest.mark.parametrize("ends_with", ["commit", "abort"])
async def test_p5_a_transactions_control_record_at_the_end_holds_no_deadline_back(
    world: World, ends_with: str
) -> None:
    async with world.opened(), world.worker() as worker:
        await waiting(world, worker)
        await world.add_in_transaction(world.subject(0), ends_with)
        await reached(world)

        async def decided() -> bool:
            return "reached" in await said(world)

        await until(decided, "the deadline is decided", within_s=30)
        added = ["added"] if ends_with == "commit" else []
        assert await said(world) == ["waiting", *added, "reached"]

        async def nothing_waits() -> bool:
            return not any((await worker._waiting(range(PARTITIONS), none_goes_on=True)).values())

        await until(nothing_waits, "a control record is no record that waits")


@pytest.mark.real_kafka
async def test_p5_an_input_whose_transaction_has_not_ended_is_not_overtaken(world: World) -> None:
    async with world.opened(), world.worker() as worker:
        await waiting(world, worker)
        async with world.added_in_transaction(world.subject(0)):
            await reached(world)

            async def in_hand() -> bool:
                return any(task.holds_until for task in worker.tasks.values())

            await until(in_hand, "the task has the deadline in hand")
            assert await said(world) == ["waiting"]

        async def decided() -> bool:
            return "reached" in await said(world)

        await until(decided, "the deadline is decided")
        assert await said(world) == ["waiting", "added", "reached"]


@pytest.mark.real_kafka
async def test_p5_nor_does_it_while_another_input_is_never_quiet(world: World) -> None:
    async with world.opened(), world.worker() as worker:
        await waiting(world, worker)
        await world.add_in_transaction(world.subject(0))
        await reached(world)

        async def decided_under_load() -> bool:
            await world.add(world.subject(0))
            return "reached" in await said(world)

        await until(decided_under_load, "the deadline is decided")
