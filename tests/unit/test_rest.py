"""At rest means that nothing is on its way, whatever happens between one look and the next.

Two services on one partition: `toy` reads the outside's topic, `deadlines` reads toy's. Kafka and
Redis are dictionaries; between any two commands of a trip something else may happen.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from services.deadlines.store import ledger_key
from shared.clock import BusinessClock
from shared.decode import Reading
from shared.errors import TransientError
from shared.events.deadlines import DEADLINES_EVENTS
from shared.log_reader import LogReader
from shared.rest import MAX_SHOWN, Lag, Part, Rest
from shared.service import Service
from tests.support import toy

pytestmark = pytest.mark.asyncio

NOW_MS = 1_000
IN, JOURNAL, DUE = "in", "toy.events", "deadlines.events"


class Kafka:
    """Where topics end; `looks` counts the questions, the next `outages` of them have no answer."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.end: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.looks = 0
        self.outages = 0

    async def ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        self.looks += 1
        if self.outages:
            self.outages -= 1
            raise TransientError("Kafka is not available")
        return {(t, p): self.end[t, p] for t in topics for p in range(self.partitions)}


class Store:
    """Redis, as far as rest looks at it: hashes, lists and sorted sets, one command at a time.

    `happens` runs before the command of that number in a trip.
    """

    def __init__(self) -> None:
        self.hashes: defaultdict[str, dict[bytes, bytes]] = defaultdict(dict)
        self.lists: defaultdict[str, list[bytes]] = defaultdict(list)
        self.sets: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.happens: dict[int, Callable[[], object]] = {}
        self.trips = 0
        self._commands: list[tuple[Any, ...]] = []

    def pipeline(self, *, transaction: bool) -> "Store":
        self._commands = []
        return self

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        self.trips += bool(self._commands)
        replies = []
        for n, command in enumerate(self._commands):
            self.happens.pop(n, lambda: None)()
            replies.append(self._reply(*command))
        return replies

    def _reply(self, name: str, key: str, *args: Any) -> Any:
        match name:
            case "HGETALL":
                return dict(self.hashes[key])
            case "HLEN":
                return len(self.hashes[key])
            case "LLEN":
                return len(self.lists[key])
            case "ZCOUNT":
                return sum(due <= args[1] for due in self.sets[key].values())
        raise AssertionError(name)


class Clock:
    async def read(self) -> int:
        return NOW_MS


COMMANDS = 7
"""Of one look: two positions, a ledger, twice the calls, two outboxes."""


class System:
    """Both services, and what they do."""

    def __init__(self, partitions: int = 1) -> None:
        self.kafka, self.store = Kafka(partitions), Store()
        service = toy.service()
        reads = {
            "toy": (IN, DUE),
            "deadlines": (JOURNAL,),
        }
        self.parts = [
            Part(_named(service, name, topics), cast(Redis, self.store))
            for name, topics in reads.items()
        ]
        self.rest = Rest(
            self.parts,
            cast(LogReader, self.kafka),
            cast(BusinessClock, Clock()),
            ledger_key,
        )

    def produce(self, topic: str = IN, partition: int = 0) -> None:
        self.kafka.end[topic, partition] += 1

    def commit(
        self,
        service: str,
        topic: str | None,
        facts: int = 0,
        partition: int = 0,
        calls: int = 0,
        **armed: int | None,
    ) -> None:
        """A task's commit, one step: position, outbox, pending calls, ledger."""
        tag = f"{{{service}:{partition}}}"
        if topic is not None:
            meta, field = self.store.hashes[f"{tag}:meta"], f"next:{topic}".encode()
            meta[field] = b"%d" % (int(meta.get(field, b"0")) + 1)
        self.store.lists[f"{tag}:outbox"] = [b"fact"] * facts
        self.store.hashes[f"{tag}:calls"] = {b"%d" % n: b"fact" for n in range(calls)}
        ledger = self.store.sets[ledger_key(partition)]
        for member, due in armed.items():
            if due is None:
                ledger.pop(member, None)
            else:
                ledger[member] = due

    def publish(self, service: str, topic: str) -> None:
        """All of a task's outbox is published, and not yet noted to be."""
        self.kafka.end[topic, 0] += len(self.store.lists[f"{{{service}:0}}:outbox"])

    def settle(self, service: str) -> None:
        self.store.lists[f"{{{service}:0}}:outbox"] = []


def _named(service: Service[Any], name: str, topics: Sequence[str]) -> Service[Any]:
    readings = tuple(Reading(replace(DEADLINES_EVENTS, name=t)) for t in topics)
    return replace(service, name=name, reads=readings)


async def test_a_system_that_was_told_nothing_is_at_rest() -> None:
    assert await System().rest.at_rest()


async def test_a_record_is_on_its_way_until_all_that_follows_from_it_is_decided() -> None:
    system = System()
    steps: list[Callable[[], object]] = [
        system.produce,
        lambda: system.commit("toy", IN, facts=1),
        lambda: system.publish("toy", JOURNAL),
        lambda: system.settle("toy"),
    ]
    for step in steps:
        step()
        assert not await system.rest.at_rest()

    system.commit("deadlines", JOURNAL)
    assert await system.rest.at_rest()


@pytest.mark.parametrize(("due_ms", "at_rest"), [(NOW_MS, False), (NOW_MS + 1, True)])
async def test_a_deadline_is_on_its_way_from_the_millisecond_at_which_it_is_due(
    due_ms: int, at_rest: bool
) -> None:
    system = System()
    system.commit("deadlines", None, member=due_ms)

    assert await system.rest.at_rest() is at_rest


@pytest.mark.parametrize("before", range(COMMANDS))
async def test_a_deadline_that_is_announced_between_two_commands_is_not_missed(
    before: int,
) -> None:
    system = System()
    system.commit("deadlines", None, member=NOW_MS)
    system.store.happens[before] = lambda: system.commit("deadlines", None, 1, member=None)

    assert not await system.rest.at_rest()


@pytest.mark.parametrize("before", range(COMMANDS))
async def test_a_due_deadline_that_is_armed_between_two_commands_is_not_missed(
    before: int,
) -> None:
    system = System()
    system.produce(JOURNAL)
    system.store.happens[before] = lambda: system.commit("deadlines", JOURNAL, member=NOW_MS)

    assert not await system.rest.at_rest()


@pytest.mark.parametrize("before", range(COMMANDS))
async def test_a_fact_that_is_published_between_two_commands_is_not_missed(before: int) -> None:
    system = System()
    system.commit("toy", None, facts=1)

    def publish_and_settle() -> None:
        system.publish("toy", JOURNAL)
        system.settle("toy")

    system.store.happens[before] = publish_and_settle

    assert not await system.rest.at_rest()


@pytest.mark.parametrize("before", range(COMMANDS))
async def test_a_record_that_passes_through_between_two_commands_is_not_missed(
    before: int,
) -> None:
    system = System()

    def decide_a_new_record() -> None:
        system.produce()
        system.commit("toy", IN, facts=1)

    system.store.happens[before] = decide_a_new_record

    assert not await system.rest.at_rest()


@pytest.mark.parametrize("before", range(COMMANDS))
async def test_a_call_that_is_answered_between_two_commands_is_not_missed(before: int) -> None:
    system = System()
    system.commit("toy", None, calls=1)
    system.store.happens[before] = lambda: system.commit("toy", None, facts=1)

    assert not await system.rest.at_rest()


@pytest.mark.parametrize("before", range(COMMANDS))
async def test_a_call_that_begins_between_two_commands_is_not_missed(before: int) -> None:
    system = System()
    system.produce()

    def decide_and_publish() -> None:
        system.commit("toy", IN, facts=1, calls=1)
        system.publish("toy", "of no interest")
        system.settle("toy")

    system.store.happens[before] = decide_and_publish

    assert not await system.rest.at_rest()


async def test_who_does_not_ask_for_calls_waits_for_none() -> None:
    system = System()
    system.commit("toy", None, calls=1)

    assert await system.rest.at_rest(calls=False)
    system.produce()
    assert not await system.rest.at_rest(calls=False)


async def test_lag_says_what_each_partition_has_to_do() -> None:
    system = System(partitions=2)
    for _ in range(3):
        system.produce(partition=1)
    system.commit("toy", IN, facts=2, partition=1, calls=7)
    system.commit("deadlines", None, partition=1, first=NOW_MS - 5, second=NOW_MS, third=2_000)

    assert await system.rest.lag() == [
        Lag("toy", 0, {}),
        Lag("toy", 1, {IN: 2}, outbox=2, calls=7),
        Lag("deadlines", 0, {}),
        Lag("deadlines", 1, {}, due=2),
    ]


async def test_waiting_goes_on_through_an_outage_until_all_is_still() -> None:
    system = System()
    system.produce()
    system.kafka.outages = 2
    system.store.happens[0] = lambda: system.commit("toy", IN)

    await system.rest.wait_for_rest(timeout_s=30)

    assert system.kafka.outages == 0


async def test_waiting_in_vain_says_what_is_not_at_rest() -> None:
    system = System()
    system.produce()
    system.commit("toy", None, calls=3)
    system.commit("deadlines", None, facts=4, member=NOW_MS)

    with pytest.raises(TransientError) as waited:
        await system.rest.wait_for_rest(timeout_s=0)

    assert str(waited.value) == (
        "not at rest after 0 s: toy, partition 0: 1 records of in, 3 calls to answer; "
        "deadlines, partition 0: 4 facts to publish, 1 deadlines due"
    )


async def test_of_many_partitions_that_are_not_at_rest_a_few_are_named() -> None:
    system = System(partitions=MAX_SHOWN + 3)
    for p in range(MAX_SHOWN + 3):
        system.produce(partition=p)

    with pytest.raises(TransientError, match=r"partition 4: 1 records of in and 3 more$"):
        await system.rest.wait_for_rest(timeout_s=0)


async def test_waiting_through_an_outage_says_what_is_away() -> None:
    system = System()
    system.kafka.outages = 1

    with pytest.raises(TransientError, match="not at rest after 0 s: Kafka is not available"):
        await system.rest.wait_for_rest(timeout_s=0)


async def test_a_look_at_what_is_still_behind_asks_kafka_nothing() -> None:
    system = System()
    system.produce()
    await system.rest.at_rest()
    looks = system.kafka.looks
    for _ in range(10):
        assert not await system.rest.at_rest()

    assert system.kafka.looks == looks
    assert system.store.trips == 11
