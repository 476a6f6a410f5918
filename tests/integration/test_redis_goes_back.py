"""P1: a Redis that comes back as it was before sells nothing twice, whoever asks it first.

Inventory's tasks of two partitions, on a real Redis whose files are put back; topics in memory.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.cli.redis_server import LocalRedis
from services.inventory.app import build
from services.inventory.store import all_holdings, all_levels
from services.simulator.fate import Allowed, Fate
from services.simulator.network import Server
from services.simulator.topics import Consumer, MemoryLog, Topics
from shared.batch import Desk, Outgoing
from shared.clock import BusinessClock, to_ms
from shared.decode import Decoder, partition_of
from shared.errors import RefusedStart, TransientError
from shared.events.envelope import Fact, Topic, encode
from shared.events.inventory import STOCK_LEVELS, StockDepleted, StockRejected, StockReserved
from shared.events.storefront import ORDERS
from shared.events.warehouse import STOCK, stock_subject
from shared.marks import Mark
from shared.partition import PartitionTask, look_at_tokens
from shared.partition_store import PartitionStore
from shared.policy import Policies
from shared.redis import connect
from shared.restoring import Restoring
from tests.support.stock import LAMP, NOON, SELLER, adjusted, counted, placed
from tests.support.toy_world import until

PARTITIONS = 2
WAREHOUSE = partition_of(stock_subject(SELLER, LAMP), PARTITIONS)


def order_in(partition: int, name: str) -> str:
    """An order's id of that partition."""
    ids = (f"902-{n}-{name}" for n in range(99))
    return next(order_id for order_id in ids if partition_of(order_id, PARTITIONS) == partition)


SOLD, NEXT, ELSEWHERE = order_in(0, "sold"), order_in(0, "next"), order_in(1, "elsewhere")
"""Orders for the last lamp: two of one partition, and one of another, where nothing was lost."""
HERE, AWAY = order_in(WAREHOUSE, "here"), order_in(1 - WAREHOUSE, "away")
"""Orders of the partition in which the lamps' stock commands are, and of the other."""

pytestmark = pytest.mark.asyncio


@dataclass
class Inventory:
    """The service's tasks, opened again when they are lost, as a worker does."""

    url: str
    topics: Topics = field(default_factory=lambda: Topics(PARTITIONS, lambda: to_ms(NOON)))
    tasks: dict[int, PartitionTask[Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.service = build()
        self.redis = connect(self.url)
        self.went_back = asyncio.Event()
        self.log = MemoryLog(
            self.topics, Server("Kafka", Fate(1, Allowed(kinds=())), TransientError)
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator["Inventory"]:
        keeping = [asyncio.create_task(self._keep_open(p)) for p in range(PARTITIONS)]
        keeping.append(asyncio.create_task(self._look_at_tokens()))
        try:
            await until(self.at_rest, "both partitions are open")
            yield self
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            await self.redis.aclose()

    async def _keep_open(self, partition: int) -> None:
        while True:
            consumer = Consumer(self.topics, self.service.inputs, partition)
            self.log.consumers[partition] = consumer
            task = self.tasks[partition] = PartitionTask(
                Desk(self.service, Policies(), partition, PARTITIONS),
                Decoder(self.service.name, self.service.reads, PARTITIONS),
                PartitionStore(self.redis, self.service.name, partition),
                self.log,
                BusinessClock(self.redis),
            )
            reading = asyncio.create_task(_read(consumer, task))
            try:
                await task.run()
            except TransientError:
                await asyncio.sleep(0.05)
            except RefusedStart as error:
                self.refused.append(str(error))
                return
            finally:
                reading.cancel()
                consumer.close()

    async def _look_at_tokens(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            with suppress(TransientError):
                await look_at_tokens(self.redis, [*self.tasks.values()])

    def say(self, fact: Fact, subject: str) -> None:
        topic = STOCK if subject.startswith(SELLER) else ORDERS
        id_ = f"said-{len(self.topics.appended)}"
        value = encode(fact, id_=id_, source="test", subject=subject, time=NOON, version=None)
        at = partition_of(subject, PARTITIONS)
        self.topics.append(topic.name, at, subject.encode(), value)

    async def at_rest(self) -> bool:
        """Whether all that was said is decided and published."""
        ends = {
            p: {name: self.topics.end(name, p) for name in self.service.inputs}
            for p in range(PARTITIONS)
        }
        tasks = [self.tasks.get(p) for p in range(PARTITIONS)]
        return all(
            task is not None and task.idle and task.opened and task.positions == ends[p]
            for p, task in enumerate(tasks)
        )

    async def rest(self) -> None:
        await until(self.at_rest, "what was said is decided")

    def publish_only(self, partition: int, topics: Container[str]) -> None:
        """Let the task that holds a partition now publish in these topics only, and be lost once
        its Redis has gone back.
        """
        task, publish = self.tasks[partition], self.log.publish

        async def cut(facts: Sequence[Outgoing], journal: Topic, mark: Mark) -> int | None:
            if self.tasks[partition] is not task or mark.partition != partition:
                return await publish(facts, journal, mark)
            await publish([fact for fact in facts if fact.topic in topics], journal, mark)
            await self.went_back.wait()
            raise TransientError("publishing failed")

        self.log.publish = cut  # type: ignore[method-assign, assignment]

    async def has(self, stock: tuple[int, dict[str, Any]]) -> bool:
        """Whether so many lamps are on hand and these orders hold some; as many are reserved."""
        try:
            levels = [level async for level in all_levels(self.redis)]
            held = {h.order_id: dict(h.units) async for h in all_holdings(self.redis)}
        except TransientError:  # a connection to the server that crashed
            return False
        reserved = sum(units[LAMP] for units in held.values())
        return [(v.on_hand, held, v.reserved) for v in levels] == [(*stock, reserved)]

    def sold(self) -> set[str]:
        """The orders that were told that they have their stock."""
        return self.told(StockReserved)

    def rejected(self) -> set[str]:
        return self.told(StockRejected)

    def told(self, fact: type[Fact]) -> set[str]:
        """The subjects of which such a fact is told."""
        return {
            (record.key or b"").decode()
            for record in self.topics.appended
            if f'"{fact.TYPE}"'.encode() in (record.value or b"")
        }


async def _read(consumer: Consumer, task: PartitionTask[Any]) -> None:
    while True:
        await asyncio.sleep(0.01)
        for name in consumer.readable() if task.opened else ():
            if records := consumer.take(name, 100):
                task.offer(records)


@dataclass
class Disk:
    """What a Redis has on disk, kept once, to go back to."""

    server: LocalRedis
    data_dir: Path

    def keep(self) -> None:
        """While nothing is written; what was acked is in the file, if not on the disk itself."""
        shutil.copytree(self.data_dir, self._kept)

    def go_back(self) -> None:
        """The server crashes, and comes back with what was kept."""
        self.server.kill()
        shutil.rmtree(self.data_dir)
        shutil.copytree(self._kept, self.data_dir)
        self.server.start()

    @property
    def _kept(self) -> Path:
        return self.data_dir.with_name("kept")


@pytest.fixture
def disk(redis_of_its_own: LocalRedis, tmp_path: Path) -> Disk:
    return Disk(redis_of_its_own, tmp_path / "redis")


@pytest.mark.parametrize("second", [NEXT, ELSEWHERE])
async def test_p1_the_last_unit_is_sold_once_although_redis_forgot_that_it_was(
    disk: Disk, second: str
) -> None:
    async with Inventory(disk.server.redis_url).working() as inventory:
        inventory.say(counted(LAMP, 1), stock_subject(SELLER, LAMP))
        await inventory.rest()
        disk.keep()
        inventory.say(placed((LAMP, 1), order_id=SOLD), SOLD)
        await inventory.rest()
        assert inventory.sold() == {SOLD}

        disk.go_back()
        inventory.say(placed((LAMP, 1), order_id=second), second)
        await until(lambda: _has(inventory.rejected(), second), "it gets its answer")
        # Nobody asked the partition that lost it: its own orders are found as they were.
        inventory.say(placed((LAMP, 1), order_id=f"{SOLD}-9"), f"{SOLD}-9")
        await inventory.rest()

        assert inventory.sold() == {SOLD}
        levels = [level async for level in all_levels(inventory.redis)]
        held = [holding async for holding in all_holdings(inventory.redis)]
        assert [(level.on_hand, level.reserved) for level in levels] == [(1, 1)]
        assert [(holding.order_id, holding.units) for holding in held] == [(SOLD, {LAMP: 1})]
        assert inventory.refused == []


async def test_p1_nor_where_it_forgets_between_the_check_and_the_question(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Inventory(disk.server.redis_url).working() as inventory:
        inventory.say(counted(LAMP, 1), stock_subject(SELLER, LAMP))
        await inventory.rest()
        disk.keep()
        inventory.say(placed((LAMP, 1), order_id=SOLD), SOLD)
        await inventory.rest()

        _goes_back_once_after("load", disk, monkeypatch)
        inventory.say(placed((LAMP, 1), order_id=ELSEWHERE), ELSEWHERE)
        await until(lambda: _has(inventory.rejected(), ELSEWHERE), "it gets its answer")

        assert inventory.sold() == {SOLD}


async def test_p1_nor_where_it_forgets_between_the_answer_and_the_commit(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Inventory(disk.server.redis_url).working() as inventory:
        inventory.say(counted(LAMP, 1), stock_subject(SELLER, LAMP))
        await inventory.rest()
        disk.keep()

        _goes_back_once_after("ask", disk, monkeypatch)
        inventory.say(placed((LAMP, 1), order_id=ELSEWHERE), ELSEWHERE)
        await until(lambda: _has(inventory.sold(), ELSEWHERE), "it gets its answer")
        inventory.say(placed((LAMP, 1), order_id=NEXT), NEXT)
        await inventory.rest()

        assert inventory.sold() == {ELSEWHERE}
        assert inventory.rejected() == {NEXT}


def _goes_back_once_after(name: str, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next trip of this name, of the partition where nothing was lost, be its Redis' last
    before it goes back; of an opening's trips none.
    """
    trip = getattr(PartitionStore, name)
    armed = True

    async def last(store: PartitionStore, asked: Any, *token: str) -> Any:
        nonlocal armed
        done = await trip(store, asked, *token)
        if armed and store._partition == 1 and (all(token) if token else asked):
            armed = False
            await asyncio.to_thread(disk.go_back)
        return done

    monkeypatch.setattr(PartitionStore, name, last)


async def test_p1_a_partition_may_go_back_to_before_its_first_commit(disk: Disk) -> None:
    async with Inventory(disk.server.redis_url).working() as inventory:
        inventory.say(counted(LAMP, 1), stock_subject(SELLER, LAMP))
        await inventory.rest()
        disk.keep()
        inventory.say(placed((LAMP, 1), order_id=AWAY), AWAY)
        await inventory.rest()
        assert inventory.sold() == {AWAY}

        disk.go_back()
        inventory.say(placed((LAMP, 1), order_id=HERE), HERE)
        await until(lambda: _has(inventory.rejected(), HERE), "it gets its answer")
        known = (1, {AWAY: {LAMP: 1}})
        await until(lambda: inventory.has(known), "what was told before is known")

        assert inventory.sold() == {AWAY}
        assert inventory.refused == []


async def test_p1_what_was_asked_and_never_told_is_counted_once_beside_levels_that_hold_it(
    disk: Disk,
) -> None:
    async with Inventory(disk.server.redis_url).working() as inventory:
        inventory.say(counted(LAMP, 2), stock_subject(SELLER, LAMP))
        await inventory.rest()
        disk.keep()
        inventory.publish_only(WAREHOUSE, ())
        inventory.say(adjusted(LAMP, 2), stock_subject(SELLER, LAMP))
        inventory.say(placed((LAMP, 1), order_id=HERE), HERE)
        asked = (4, {HERE: {LAMP: 1}})
        await until(lambda: inventory.has(asked), "the stock is asked")
        inventory.say(placed((LAMP, 1), order_id=AWAY), AWAY)
        await until(lambda: _has(inventory.sold(), AWAY), "it gets its answer, and the level")
        assert inventory.sold() == {AWAY}

        disk.go_back()
        inventory.went_back.set()
        both = (4, {AWAY: {LAMP: 1}, HERE: {LAMP: 1}})
        await until(lambda: inventory.has(both), "what was not told is decided again")

        assert inventory.sold() == {AWAY, HERE}
        inventory.say(placed((LAMP, 3), order_id=NEXT), NEXT)
        await inventory.rest()
        assert inventory.rejected() == {NEXT}


async def test_p1_a_level_whose_commit_was_never_told_is_no_change(disk: Disk) -> None:
    """Levels are published before the journal: who dies between the two has told only them."""
    async with Inventory(disk.server.redis_url).working() as inventory:
        inventory.say(counted(LAMP, 1), stock_subject(SELLER, LAMP))
        await inventory.rest()
        disk.keep()
        inventory.publish_only(WAREHOUSE, {STOCK_LEVELS.name})
        inventory.say(placed((LAMP, 1), order_id=HERE), HERE)
        await until(lambda: _has(inventory.told(StockDepleted), f"{SELLER}/{LAMP}"), "told")
        assert inventory.sold() == set()

        disk.go_back()
        inventory.went_back.set()
        await until(lambda: _has(inventory.sold(), HERE), "it is decided again")

        assert inventory.sold() == {HERE}
        assert inventory.rejected() == set()
        held = (1, {HERE: {LAMP: 1}})
        await until(lambda: inventory.has(held), "nothing else is counted")


async def test_partitions_that_open_side_by_side_look_at_what_was_told_once(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, look = [], Restoring._restore

    async def noted(restoring: Restoring, *args: Any) -> None:
        looked.append(restoring)
        await asyncio.sleep(0.2)
        await look(restoring, *args)

    async with Inventory(disk.server.redis_url).working() as inventory:
        inventory.say(counted(LAMP, 1), stock_subject(SELLER, LAMP))
        await inventory.rest()
        monkeypatch.setattr(Restoring, "_restore", noted)

        disk.server.kill()
        disk.server.start()
        for order in (SOLD, ELSEWHERE):
            inventory.say(placed((LAMP, 1), order_id=order), order)
        await until(lambda: _has(inventory.sold() | inventory.rejected(), 2), "both are decided")

        assert len(looked) == 1


async def test_p1_a_redis_that_is_emptied_under_a_worker_answers_no_order(disk: Disk) -> None:
    async with Inventory(disk.server.redis_url).working() as inventory:
        inventory.say(counted(LAMP, 2), stock_subject(SELLER, LAMP))
        await inventory.rest()
        inventory.say(placed((LAMP, 1), order_id=SOLD), SOLD)
        await inventory.rest()

        await inventory.redis.flushall()
        for order in (NEXT, ELSEWHERE):
            inventory.say(placed((LAMP, 1), order_id=order), order)
        await until(lambda: _has(inventory.refused, PARTITIONS), "both partitions are refused")

        assert all("Redis is empty for inventory, partition" in why for why in inventory.refused)
        assert inventory.rejected() == set()
        assert await inventory.redis.keys("{stock:*") == []


async def _has(found: Any, what: Any) -> bool:
    return len(found) == what if isinstance(what, int) else what in found
