"""Who may commit, and from where on: the fence token, and the positions that lie in Redis."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.cli.kafka_server import KafkaServer
from services.cli.redis_server import RedisServer
from shared.partition_store import Commit, PartitionStore
from tests.support.toy import Ignore
from tests.support.toy_world import PARTITIONS, World, until

pytestmark = pytest.mark.asyncio


@pytest.fixture
def world(kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path) -> World:
    return World(kafka.bootstrap_servers, redis_server.redis_url, tmp_path)


class OnceAt:
    """Does something when a task comes to a step for the first time after `arm`.

    A worker first reads what other toys' deadlines left on the topic that all toys share: arm it
    when that is behind it.
    """

    def __init__(self, step: str, do: Callable[[], Awaitable[None]]) -> None:
        self._step = step
        self._do = do
        self._armed = False

    def arm(self) -> None:
        self._armed = True

    async def __call__(self, name: str) -> None:
        if name == self._step and self._armed:
            self._armed = False
            await self._do()


@pytest.mark.parametrize("step", ["decided", "published"])
async def test_p3_a_task_that_was_taken_over_is_refused_and_opens_again(
    world: World, step: str
) -> None:
    async def take_over() -> None:
        await PartitionStore(world.redis, world.name, 1).claim("another's token")

    taken_over = OnceAt(step, take_over)
    async with world.opened(), world.worker(taken_over) as worker:
        await world.rest()
        taken_over.arm()
        await world.add(world.subject(1))
        await world.rest()

        assert worker.totals()["refused"] == 1
        await world.add(world.subject(1))
        await world.rest()
        await world.books()


async def test_p3_nobody_but_the_last_to_claim_can_commit(world: World) -> None:
    store = PartitionStore(world.redis, world.name, 0)
    commit = Commit(
        number=1, claim="claim", journal=0, positions={"toy-left": 9}, outbox=(), ops=()
    )

    await store.claim("first:0")
    await store.claim("second:0")

    assert not await store.commit("first:0", "first:1", commit)
    assert not await store.settle("first:0", "first:0:settled", journal=5)
    assert (await store.claim("third:0")).positions == {}
    assert await store.commit("third:0", "third:1", commit)
    assert not await store.commit("third:0", "third:1", commit), "each commit makes a new token"
    assert (await store.claim("fourth:0")).positions == {"toy-left": 9}
    await world.redis.aclose()


async def test_p3_records_that_come_again_are_dropped(world: World) -> None:
    async with world.opened(), world.worker() as worker:
        await world.add(*(world.subject(p) for p in range(PARTITIONS)), *[world.subject(0)] * 7)
        await world.rest()
        consumer: AIOKafkaConsumer = worker._subscriber.consumer

        consumer.seek(TopicPartition(world.topics.left.name, 0), 0)

        async def come_again() -> bool:
            return worker.totals()["redelivered"] == 8

        await until(come_again, "all 8 records come again")
        assert worker.totals()["repeats"] == 0
        await world.add(world.subject(0))
        await world.rest()
        await world.books()


@pytest.mark.parametrize("told", [0, "the end"])
async def test_p3_where_a_worker_goes_on_is_never_asked_of_kafka(
    world: World, told: int | str
) -> None:
    left = TopicPartition(world.topics.left.name, 0)
    async with world.opened():
        await world.add(*[world.subject(0)] * 5)
        if told == 0:
            async with world.worker():
                await world.rest()
            await world.add(world.subject(0))
        stranger = AIOKafkaConsumer(
            bootstrap_servers=world.bootstrap_servers,
            group_id=f"orderflow-{world.name}",
            enable_auto_commit=False,
        )
        stranger.assign([left])
        await stranger.start()
        await stranger.commit({left: 0 if told == 0 else 5})
        await stranger.stop()

        async with world.worker() as worker:
            await world.rest()

            assert worker.totals()["facts"] == (2 if told == 0 else 10)
            assert worker.totals()["redelivered"] == 0
        await world.books()


async def test_an_event_without_effect_is_passed_and_the_outbox_stays_empty(world: World) -> None:
    async with world.opened(), world.worker() as worker:
        await world.rest()
        before = worker.totals()
        await world.tell(Ignore(), world.subject(2))
        await world.rest()

        assert worker.totals()["facts"] == 0
        assert worker.totals()["commits"] == before["commits"] + 1
        assert (await world.document(world.subject(2))).state is None


async def test_p6_facts_that_could_not_be_published_are_when_only_repeats_come_after(
    world: World,
) -> None:
    """A commit is settled whatever comes in while it is made."""
    async with world.opened():
        left = TopicPartition(world.topics.left.name, 0)

        async def read_again() -> None:
            worker._subscriber.consumer.seek(left, 0)
            await until(lambda: _has_records(worker), "repeats in hand")

        again = OnceAt("committed", read_again)
        async with world.worker(again) as worker:
            await world.rest()
            again.arm()
            await world.add(world.subject(0))
            await world.rest()
            assert worker.totals()["redelivered"] >= 1
        await world.books()


async def _has_records(worker: object) -> bool:
    return bool(worker.tasks[0]._inbox)  # type: ignore[attr-defined]
