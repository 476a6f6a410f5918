"""What the toy's topics hold, and whether it adds up (P3, P6)."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic_core import from_json

from tests.support import toy

Found = ConsumerRecord[Any, Any]


@asynccontextmanager
async def reader(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group."""
    client = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=25,
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def ends(
    bootstrap_servers: str, topics: Sequence[str], partitions: int
) -> dict[str, list[int]]:
    """The end offset of each partition of the topics."""
    all_ = [TopicPartition(topic, p) for topic in topics for p in range(partitions)]
    async with reader(bootstrap_servers) as client:
        found = await client.end_offsets(all_)
    return {t: [found[TopicPartition(t, p)] for p in range(partitions)] for t in topics}


async def read(bootstrap_servers: str, topic: str, partitions: int) -> list[Found]:
    """All records of a topic, partition by partition."""
    found: list[Found] = []
    until = (await ends(bootstrap_servers, [topic], partitions))[topic]
    async with reader(bootstrap_servers) as client:
        for partition, end in enumerate(until):
            tp = TopicPartition(topic, partition)
            client.assign([tp])
            await client.seek_to_beginning(tp)
            while await client.position(tp) < end:
                for records in (await client.getmany(timeout_ms=500)).values():
                    found += [record for record in records if record.offset < end]
    return found


class Books:
    """A journal as its consumers read it, by id and by version.

    Raises AssertionError where a fact is there under two ids, an id has two facts or a version is
    left out. `doubled` counts the facts that came again, with their id.
    """

    def __init__(self, journal: Iterable[Found]) -> None:
        self.values: dict[str, bytes] = {}
        self.doubled = 0
        self.versions: Counter[str] = Counter()
        self.last: dict[str, dict[str, Any]] = {}
        for record in journal:
            self._enter(record.value or b"")

    def _enter(self, value: bytes) -> None:
        fact = from_json(value)
        id_, subject = fact["id"], fact["subject"]
        if id_ in self.values:
            self.doubled += 1
            assert self.values[id_] == value, "one id, two facts"
            return
        self.values[id_] = value
        self.versions[subject] += 1
        assert fact["subjectversion"] == self.versions[subject], "one fact, two ids; or one missing"
        self.last[subject] = fact

    @property
    def facts(self) -> list[dict[str, Any]]:
        """Each fact once, in the order of the journal."""
        return [from_json(value) for value in self.values.values()]

    def said(self, subject: str) -> list[str]:
        """The types of a subject's facts, shortened: `added`."""
        return [f["type"].split(".")[1] for f in self.facts if f["subject"] == subject]

    def check(self, sums: Counter[str], counts: Counter[str]) -> None:
        """What was added is what was told, each addition once."""
        told: defaultdict[str, list[int]] = defaultdict(list)
        for fact in self.facts:
            if fact["type"] == toy.Added.TYPE:
                told[fact["subject"]].append(fact["data"]["amount"])
                assert fact["data"]["total"] == sum(told[fact["subject"]])
        assert {subject: len(amounts) for subject, amounts in told.items()} == counts
        assert {subject: sum(amounts) for subject, amounts in told.items()} == sums
