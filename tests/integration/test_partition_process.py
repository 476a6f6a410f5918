"""The process around the tasks: how it starts, tells its health."""

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from services.cli.kafka_server import KafkaServer
from services.cli.redis_server import RedisServer
from shared import kafka
from shared import worker as worker_module
from shared.batch import Outgoing
from shared.errors import TransientError
from shared.events.envelope import Topic
from shared.log import Bounds
from shared.marks import Mark
from shared.process import EXIT_REFUSED
from shared.worker import EXIT_STUCK, Worker
from tests.support.toy_world import PARTITIONS, WITHIN_S, World, until

pytestmark = pytest.mark.asyncio

NOBODY = "127.0.0.1:1"


@pytest.fixture
def world(kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path) -> World:
    return World(kafka.bootstrap_servers, redis_server.redis_url, tmp_path)


# -- what it refuses to start with ------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "problem", "remedy"),
    [
        ({"REDIS_URL": "redis//x:1"}, "REDIS_URL is malformed", "Allowed: redis://"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "here"}, "KAFKA_BOOTSTRAP_SERVERS is 'here'", "host:port"),
        ({"HEALTH_PORT": "high"}, "HEALTH_PORT is 'high'", "a port from 1 to 65535"),
        ({"POLICIES_DIR": "/nowhere"}, "/nowhere is not readable", "a directory of policy files"),
        ({"KAFKA_BOOTSTRAP_SERVERS": NOBODY}, f"Kafka at {NOBODY} is not available", "Start it"),
        ({"REDIS_URL": f"redis://{NOBODY}/0"}, "Redis is not available", "set KAFKA_BOOTSTRAP"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_a_wrong_setting_ends_the_start_and_says_what_to_do(
    world: World, environment: dict[str, str], problem: str, remedy: str
) -> None:
    async with world.opened():
        worker = world.start(environment=environment)

        assert await worker.ended() == EXIT_REFUSED
        assert problem in worker.said
        assert remedy in worker.said
        assert "Traceback" not in worker.said


async def test_missing_topics_end_the_start_and_are_named(world: World) -> None:
    worker = world.start()

    assert await worker.ended() == EXIT_REFUSED
    assert f"has no topic {world.name}-left, {world.name}-notes, {world.name}-right" in worker.said
    assert "Create the topics with `orderflow topics`" in worker.said
    worker.end()
    await world.redis.aclose()


async def test_unequal_partition_counts_end_the_start_and_are_named(world: World) -> None:
    settings: dict[str, dict[str, str]] = {world.topics.notes.name: {}}
    await kafka.create_topics(world.bootstrap_servers, settings, PARTITIONS + 2, 1)
    async with world.opened():
        worker = world.start()

        assert await worker.ended() == EXIT_REFUSED
        assert "All topics need the same number of partitions" in worker.said
        assert f"{world.name}-notes has {PARTITIONS + 2}" in worker.said
        assert f"{world.name}-left has {PARTITIONS}" in worker.said


async def test_a_health_port_that_is_taken_ends_the_start(world: World) -> None:
    async with world.opened():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            worker = world.start(environment={"HEALTH_PORT": str(port)})

            assert await worker.ended() == EXIT_REFUSED
        assert f"HEALTH_PORT {port} on HEALTH_HOST 127.0.0.1 can not be listened on" in worker.said


# -- health -----------------------------------------------------------------------------------


async def test_health_tells_partitions_counts_and_clock_and_prometheus_is_told_too(
    world: World,
) -> None:
    async with world.opened():
        worker = world.start()
        await worker.serves()
        assert (await worker.health("/live"))[0] == 200
        await world.add(world.subject(0))
        await world.rest()

        async def ready() -> bool:
            return (await worker.health("/ready"))[0] == 200

        await until(ready, "ready")
        status, health = await worker.health()
        assert status == 200
        assert health["service"] == world.name
        assert health["partitions"] == {str(p): "open" for p in range(PARTITIONS)}
        assert (health["live"], health["ready"]) == (True, True)
        assert health["clock"] == "business time is wall time"
        assert health["counts"]["facts"] == 2
        assert (await worker.health("/nothing"))[0] == 404

        told = await worker.metrics()
        assert "orderflow_ready 1.0" in told
        assert "orderflow_facts_total 2.0" in told
        assert "orderflow_outbox_facts 0.0" in told
        assert f'orderflow_partitions{{state="open"}} {PARTITIONS}.0' in told
        assert f'orderflow_lag_records{{topic="{world.name}-left"}} 0.0' in told
        assert 'orderflow_batch_records_bucket{le="1.0"}' in told

        one_too_many = [world.start() for _ in range(PARTITIONS)]
        for other in one_too_many:
            await other.serves()

        async def one_is_idle() -> bool:
            all_ = [(await w.health("/ready"))[0] for w in (worker, *one_too_many)]
            return sorted(all_) == [200] * PARTITIONS + [503]

        await until(one_is_idle, "who has no partition is not ready")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers look often whether they are stuck, and are so after seconds."""
    monkeypatch.setattr(worker_module, "OFFSETS_INTERVAL_S", 0.2)
    monkeypatch.setattr(worker_module, "STUCK_S", 2.0)


async def ends_as_stuck(worker: Worker) -> None:
    async with asyncio.timeout(WITHIN_S):
        await worker.ended.wait()
    assert worker.fatal == ("nothing is consumed although records wait", EXIT_STUCK)


@pytest.mark.usefixtures("impatient")
async def test_a_worker_whose_client_is_stuck_ends_itself(world: World) -> None:
    async with world.opened(), world.worker() as worker:
        await world.add(world.subject(0))
        await world.rest()
        await asyncio.sleep(3)
        assert worker.fatal is None, "nothing to do is not stuck"

        worker.log.pause([world.topics.left.name], 0)
        await world.add(world.subject(0))
        await ends_as_stuck(worker)


@pytest.mark.usefixtures("impatient")
async def test_p6_a_worker_that_is_stuck_with_one_partition_ends_though_the_others_go_on(
    world: World,
) -> None:
    async with world.opened(), world.worker() as worker:
        await world.add(*map(world.subject, range(PARTITIONS)))
        await world.rest()
        worker.log.pause([world.topics.left.name], 0)
        await world.add(world.subject(0))

        async def ends_under_load() -> bool:
            await world.add(world.subject(1))
            return worker.ended.is_set()

        await until(ends_under_load, "it ends")
        await ends_as_stuck(worker)


@pytest.mark.usefixtures("impatient")
async def test_p6_a_partition_that_kafka_does_not_answer_for_is_waited_for_while_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.opened(), world.worker() as worker:
        await world.add(*map(world.subject, range(PARTITIONS)))
        await world.rest()
        asked, bounds = [], worker.log.bounds

        async def without_leader(topics: Iterable[str], partition: int) -> Mapping[str, Bounds]:
            asked.append(partition)
            if partition == 0:
                raise TransientError("its leader is away")
            return await bounds(topics, partition)

        monkeypatch.setattr(worker.log, "bounds", without_leader)
        worker.log.pause([world.topics.left.name], 0)
        await world.add(world.subject(0))
        for _ in range(40):
            await world.add(world.subject(1))
            await asyncio.sleep(0.1)
        assert asked.count(0) > 5
        assert worker.fatal is None
        monkeypatch.undo()


@pytest.mark.usefixtures("impatient")
async def test_a_worker_whose_client_does_not_reach_a_kafka_that_others_reach_ends_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.opened(), world.worker() as worker:
        await world.add(world.subject(0))
        await world.rest()

        async def bounds(topics: object, partition: int) -> Mapping[str, Bounds]:
            raise TransientError("the client's metadata synchronizer has died")

        monkeypatch.setattr(worker.log, "bounds", bounds)
        await ends_as_stuck(worker)


@pytest.mark.usefixtures("impatient")
async def test_p6_a_worker_whose_openings_fail_again_and_again_ends_whatever_they_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "REOPEN_WAITS_S", (0.3,))
    async with world.opened(), world.worker() as worker:
        await world.add(*map(world.subject, range(PARTITIONS)))
        await world.rest()
        tries, publish = [], worker.log.publish

        async def publish_none_of_it(
            outgoing: Sequence[Outgoing], journal: Topic, mark: Mark
        ) -> int | None:
            if mark.partition:
                return await publish(outgoing, journal, mark)
            tries.append(mark)
            worker.log.read += 10
            raise TransientError("it is too large")

        monkeypatch.setattr(worker.log, "publish", publish_none_of_it)
        await world.add(world.subject(0))
        await ends_as_stuck(worker)
        assert len(tries) > 1


@pytest.mark.usefixtures("impatient")
async def test_p6_a_worker_whose_batch_fails_again_and_again_after_it_was_read_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "REOPEN_WAITS_S", (0.3,))
    tries: list[str] = []

    async def fail(step: str) -> None:
        if step == "decided":
            tries.append(step)
            raise KeyError("a bug")

    async with world.opened(), world.worker(fail) as worker:
        await world.add(world.subject(0))
        await ends_as_stuck(worker)
        assert len(tries) > 1


@pytest.mark.usefixtures("impatient")
async def test_p6_a_look_that_fails_now_and_then_hides_no_standstill(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.opened(), world.worker() as worker:
        await world.add(world.subject(0))
        await world.rest()
        asked, bounds = Counter[int](), worker.log.bounds

        async def away_now_and_then(topics: Iterable[str], partition: int) -> Mapping[str, Bounds]:
            asked[partition] += 1
            if asked[partition] % 5 == 0:
                raise TransientError("its leader is away")
            return await bounds(topics, partition)

        monkeypatch.setattr(worker.log, "bounds", away_now_and_then)
        worker.log.pause([world.topics.left.name], 0)
        await world.add(world.subject(0))
        await ends_as_stuck(worker)
