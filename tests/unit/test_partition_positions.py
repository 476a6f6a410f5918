"""Where a task stands when records vanish: control records are passed, what was lost is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from services.simulator.fate import Allowed, Fate
from services.simulator.loop import VirtualLoop
from services.simulator.memory_redis import MemoryRedis, connect_to
from services.simulator.network import Beside, Server
from services.simulator.scripts import TWINS
from services.simulator.topics import Consumer, MemoryLog, Topics
from shared import partition
from shared.batch import Desk
from shared.clock import BusinessClock, to_ms
from shared.decode import Decoder
from shared.errors import RefusedStart, TransientError
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import encode
from shared.partition import LOOK_AT_ENDS_S, PartitionTask
from shared.partition_store import PartitionStore, positions_of
from shared.policy import Policies
from tests.support import toy
from tests.support.toy import NOON, Add, Sum
from tests.support.toy_story import due

LEFT, SUBJECT = "toy-left", "S-4711"
OPENS_S = 60
"""In virtual time: it is open then, or has ended."""


class Rig:
    """The toy's only partition, in memory and in virtual time."""

    def __init__(self) -> None:
        kafka = Server("Kafka", Fate(1, Allowed(kinds=())), TransientError)
        self.topics = Topics(1, lambda: to_ms(NOON))
        self.log = MemoryLog(self.topics, kafka)
        self.redis = connect_to(MemoryRedis(lambda: to_ms(NOON), TWINS), Beside())
        self.service = toy.service()
        self.task: PartitionTask[Sum] | None = None

    def add(self, times: int = 1) -> None:
        for _ in range(times):
            id_ = f"id-{self.topics.end(LEFT, 0)}"
            value = encode(Add(amount=7), id_=id_, source="test", subject=SUBJECT, time=NOON)
            self.topics.append(LEFT, 0, SUBJECT.encode(), value)

    async def work(self, do: Callable[[], Awaitable[None]]) -> None:
        """Let a task work until all is read and done; raises what ended it before."""
        self.log.consumers[0] = Consumer(self.topics, self.service.inputs, 0)
        self.task = task = PartitionTask(
            Desk(self.service, Policies(), 0, 1),
            Decoder("toy", self.service.reads, 1),
            PartitionStore(self.redis, "toy", 0),
            self.log,
            BusinessClock(self.redis),
        )
        running = asyncio.create_task(task.run())
        await asyncio.sleep(OPENS_S)
        if not running.done():
            await do()
        if not running.done():
            await self.deliver()
        task.close()
        await running

    async def deliver(self) -> None:
        """Hand over all that the consumer reads now."""
        consumer, task = self.log.consumers[0], self.task
        while (names := consumer.readable()) and task and task.opened:
            for name in names:
                task.offer(consumer.take(name, 3))
            await asyncio.sleep(1)

    async def stored(self, topic: str = LEFT) -> int:
        meta: Any = await self.redis.hgetall("{toy:0}:meta")
        return positions_of(meta)[topic]


async def nothing() -> None: ...


def in_virtual_time(story: Callable[[Rig], Awaitable[None]]) -> None:
    async def told() -> None:
        await story(Rig())

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(told())


def test_p6_control_records_that_retention_deletes_are_no_loss() -> None:
    """A task passes them when it opens, and while it has nothing to do."""

    async def story(rig: Rig) -> None:
        async def later() -> None:
            await asyncio.sleep(1)
            rig.topics.append_control_record(LEFT, 0)
            assert not rig.log.consumers[0].take(LEFT, 1), "the consumer passes it"
            await asyncio.sleep(LOOK_AT_ENDS_S * 2)

        rig.add(2)
        rig.topics.append_control_record(LEFT, 0)
        await rig.work(nothing)
        assert await rig.stored() == 2
        await rig.work(nothing)
        assert await rig.stored() == 3, "passed at its opening"
        await rig.work(later)
        assert await rig.stored() == 4, "passed while nothing else came"
        rig.topics.delete_before(LEFT, 0, 4)
        rig.add(1)
        await rig.work(nothing)
        assert await rig.stored() == 5

    in_virtual_time(story)


def test_p6_records_that_retention_deletes_unread_end_the_task_and_refuse_the_next() -> None:
    async def story(rig: Rig) -> None:
        async def lose() -> None:
            rig.add(5)
            rig.topics.delete_before(LEFT, 0, 4)

        rig.add(2)
        await rig.work(nothing)
        with pytest.raises(TransientError, match="begins at 4: records from 2 on are lost"):
            await rig.work(lose)
        assert await rig.stored() == 2, "none of them was passed"
        with pytest.raises(RefusedStart, match=r"at offset 2 .* holds 4 to 7: .* lost records"):
            await rig.work(nothing)

    in_virtual_time(story)


def test_p6_control_records_between_records_are_no_loss() -> None:
    async def story(rig: Rig) -> None:
        rig.add(2)
        rig.topics.append_control_record(LEFT, 0)
        rig.add(2)
        await rig.work(nothing)
        assert await rig.stored() == 5

    in_virtual_time(story)


def test_a_task_that_has_ended_keeps_none_of_what_it_worked_on() -> None:
    """Calls that wait for their next turn keep the task itself for minutes."""

    async def story(rig: Rig) -> None:
        rig.add(5)
        await rig.work(nothing)
        task = rig.task
        assert task is not None
        assert task.counts["facts"] > 0, "it has worked"
        kept = (task._documents, task._inbox, task._answers, task._held)
        assert not any(kept)

    in_virtual_time(story)


def test_deadlines_held_back_are_bounded_and_all_are_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partition, "MAX_HELD", 4)

    async def story(rig: Rig) -> None:
        async def overtake() -> None:
            consumer = rig.log.consumers[0]
            consumer.lag(LEFT)
            rig.add(1)
            for nth in range(10):
                reached = due("toy", NOON + timedelta(seconds=nth))
                rig.topics.append(reached.topic, 0, reached.key, reached.value)
            await rig.deliver()
            assert consumer.next[DEADLINES_EVENTS.name] == 6, "two batches of three are held"
            consumer.catch_up()

        await rig.work(overtake)

        assert (await rig.stored(), await rig.stored(DEADLINES_EVENTS.name)) == (1, 10)

    in_virtual_time(story)
