"""What a log has to do for a partition task: one suite, for Kafka and for the one in memory."""

from collections.abc import Sequence
from typing import Protocol

import pytest

from shared.batch import DeadLetter, Outgoing
from shared.dead_letters import read_letter
from shared.decode import REROUTED_HEADER, Record, partition_of
from shared.events.envelope import Topic
from shared.log import Log
from shared.marks import Mark
from tests.support.toy import Add
from tests.support.toy_story import record

PARTITIONS = 3
OTHERS, JOURNAL, LETTERS = "others", "journal", "dead-letters"


class Rig(Protocol):
    """A log, topics of a test's own, and one who reads and writes them beside it."""

    @property
    def log(self) -> Log: ...

    def name(self, topic: str) -> str:
        """What this test's topic is called."""

    async def append(self, topic: str, partition: int, value: bytes) -> None:
        """A record comes from outside."""

    async def read(self, topic: str) -> Sequence[Record]:
        """All that lies on a topic, partition by partition."""

    async def fetched(self, topic: str, partition: int) -> list[bytes | None]:
        """The values that the log's consumer hands out now, up to the end."""


class LogBehaviour:
    """Inherit it with a fixture `rig`."""

    def facts(self, rig: Rig, *values: bytes, topic: str = JOURNAL) -> list[Outgoing]:
        return [Outgoing(rig.name(topic), 1, b"250-1", value) for value in values]

    def journal(self, rig: Rig) -> Topic:
        return Topic(name=rig.name(JOURNAL), facts=(), publisher="toy")

    async def publish(self, rig: Rig, number: int, *facts: Outgoing) -> int | None:
        mark = Mark("toy", 1, "claim", number, {"orders": 17})
        return await rig.log.publish(facts, self.journal(rig), mark)

    async def test_bounds_are_the_first_offset_and_the_one_behind_the_last(self, rig: Rig) -> None:
        names = [rig.name(OTHERS), rig.name(JOURNAL)]
        before = await rig.log.bounds(names, 1)
        await rig.append(OTHERS, 1, b"x")
        await rig.append(OTHERS, 1, b"y")
        await rig.append(OTHERS, 2, b"z")

        after = await rig.log.bounds(names, 1)

        assert before == dict.fromkeys(names, (0, 0))
        assert after == {names[0]: (0, 2), names[1]: (0, 0)}

    async def test_publishing_returns_the_journals_end(self, rig: Rig) -> None:
        first = await self.publish(rig, 1, *self.facts(rig, b"a", b"b"))
        none = await self.publish(rig, 2, *self.facts(rig, b"c", topic=OTHERS))
        nothing = await self.publish(rig, 3)
        last = await self.publish(rig, 4, *self.facts(rig, b"d"))

        assert (first, none, nothing, last) == (2, None, None, 3)
        assert [r.value for r in await rig.read(JOURNAL)] == [b"a", b"b", b"d"]
        assert [(r.partition, r.key, r.value) for r in await rig.read(OTHERS)] == [
            (1, b"250-1", b"c")
        ]

    async def test_the_last_commit_is_the_highest_from_an_offset_on(self, rig: Rig) -> None:
        assert await rig.log.last_commit(rig.name(JOURNAL), 1, None) == (0, 0)
        await self.publish(rig, 7, *self.facts(rig, b"a", b"b"))
        await self.publish(rig, 9, *self.facts(rig, b"c"))
        await self.publish(rig, 8, *self.facts(rig, b"again"))

        assert await rig.log.last_commit(rig.name(JOURNAL), 1, None) == (9, 4)
        assert await rig.log.last_commit(rig.name(JOURNAL), 1, 3) == (8, 4)
        assert await rig.log.last_commit(rig.name(JOURNAL), 1, 4) == (0, 4)
        assert await rig.log.last_commit(rig.name(JOURNAL), 2, None) == (0, 0)

    async def test_p6_what_is_kept_is_kept_byte_for_byte(self, rig: Rig) -> None:
        odd = record(Add(amount=1), "id-1", "S-1")._replace(
            topic=rig.name(OTHERS), value=None, key=b"\xff", headers=(("x", None), ("x", b"\xfe"))
        )

        await rig.log.keep([DeadLetter(odd, "tombstone", "no value", "")], "toy")

        mine = [read_letter(r) for r in await rig.read(LETTERS)]
        (kept,) = [letter for letter in mine if letter.topic == rig.name(OTHERS)]
        assert (kept.key, kept.value, kept.headers) == (odd.key, odd.value, odd.headers)
        assert (kept.partition, kept.offset, kept.reason) == (
            odd.partition,
            odd.offset,
            "tombstone",
        )

    async def test_a_misrouted_record_goes_to_its_subjects_partition(self, rig: Rig) -> None:
        stray = record(Add(amount=1), "id-1", "S-1")._replace(
            topic=rig.name(OTHERS), key=b"S-1", value=b"v", headers=(("x", b"\xff"),)
        )

        await rig.log.reroute([stray], ["S-1"])

        (sent,) = await rig.read(OTHERS)
        assert (sent.partition, sent.key, sent.value) == (
            partition_of("S-1", PARTITIONS),
            b"S-1",
            b"v",
        )
        assert tuple(sent.headers) == (
            ("x", b"\xff"),
            (REROUTED_HEADER, b"%d" % stray.timestamp),
        )

    async def test_reading_goes_on_where_it_was_sought_and_stops_while_paused(
        self, rig: Rig
    ) -> None:
        for value in (b"a", b"b", b"c"):
            await rig.append(OTHERS, 1, value)
        name = rig.name(OTHERS)
        rig.log.seek({name: 1}, 1)
        found = await rig.fetched(OTHERS, 1)
        passed = await rig.log.passed([name], 1)
        rig.log.seek({name: 0}, 1)
        rig.log.pause([name], 1)
        paused = await rig.fetched(OTHERS, 1)
        rig.log.resume([name], 1)

        assert (found, passed, paused) == ([b"b", b"c"], {name: 3}, [])
        assert await rig.fetched(OTHERS, 1) == [b"a", b"b", b"c"]
        assert await rig.log.passed([], 1) == {}

    @pytest.mark.parametrize("times", [2])
    async def test_what_is_published_again_lies_there_again(self, rig: Rig, times: int) -> None:
        for _ in range(times):
            await self.publish(rig, 1, *self.facts(rig, b"a"))

        assert [r.value for r in await rig.read(JOURNAL)] == [b"a"] * times
