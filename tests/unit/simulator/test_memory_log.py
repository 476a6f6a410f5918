"""The log in memory does what Kafka's does (`tests/integration/test_log_behaviour.py`)."""

from collections.abc import Sequence

import pytest

from services.simulator.fate import Allowed, Fate
from services.simulator.network import Server
from services.simulator.topics import Consumer, MemoryLog, MemoryReader, Topics
from shared.decode import Record
from shared.errors import TransientError
from tests.support.log_behaviour import OTHERS, PARTITIONS, LogBehaviour, Rig

pytestmark = pytest.mark.asyncio

NO_FAULTS = Allowed(kinds=())


class MemoryRig:
    def __init__(self) -> None:
        self.topics = Topics(PARTITIONS, lambda: 1_767_225_600_123)
        self.log = MemoryLog(self.topics, Server("Kafka", Fate(1, NO_FAULTS), TransientError))
        self.log.consumers[1] = Consumer(self.topics, [OTHERS], 1)

    def name(self, topic: str) -> str:
        return topic

    async def append(self, topic: str, partition: int, value: bytes) -> None:
        self.topics.append(topic, partition, b"key", value)

    async def read(self, topic: str) -> Sequence[Record]:
        return [r for p in range(PARTITIONS) for r in self.topics.read(topic, p, 0)]

    async def fetched(self, topic: str, partition: int) -> list[bytes | None]:
        consumer = self.log.consumers[partition]
        return [record.value for name in consumer.readable() for record in consumer.take(name, 99)]


class TestMemoryLog(LogBehaviour):
    @pytest.fixture
    def rig(self) -> Rig:
        return MemoryRig()


async def test_what_no_consumer_hands_out_is_passed_and_counts_as_no_end() -> None:
    rig = MemoryRig()
    await rig.append(OTHERS, 1, b"a")
    rig.topics.append_control_record(OTHERS, 1)
    rig.log.seek({OTHERS: 0}, 1)

    assert await rig.fetched(OTHERS, 1) == [b"a"]
    assert await rig.fetched(OTHERS, 1) == []
    assert await rig.log.passed([OTHERS], 1) == {OTHERS: 2}
    assert (await rig.log.bounds([OTHERS], 1))[OTHERS] == (0, 2)
    assert (await MemoryReader(rig.topics).ends([OTHERS]))[OTHERS, 1] == 1


async def test_a_partition_that_is_held_no_more_is_an_outage_to_its_task() -> None:
    rig = MemoryRig()
    del rig.log.consumers[1]

    rig.log.pause([OTHERS], 1)
    rig.log.resume([OTHERS], 1)
    with pytest.raises(TransientError, match="held no more"):
        rig.log.seek({OTHERS: 0}, 1)
