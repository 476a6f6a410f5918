"""A toy on a Kafka and a Redis: its topics, its workers, what it is told and how far it is."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from pydantic_core import from_json
from redis.asyncio import Redis

from shared import kafka
from shared.decode import partition_of
from shared.documents import Document
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import Fact, encode
from shared.partition import Step, no_step
from shared.policy import Policies
from shared.redis import Pipeline, connect
from shared.settings import Settings
from shared.worker import Worker
from tests.support import toy, toy_books, toy_worker
from tests.support.toy import NOON, Add, Sum
from tests.support.toy_books import Books, Found
from tests.support.toy_worker import At, ToyProcess

PARTITIONS = 3
SHARED_TOPICS = (DEADLINES_EVENTS.name, kafka.DEAD_LETTERS)
WITHIN_S = 60.0
"""For what takes seconds on a quiet machine: a poll ends as soon as it is there."""
POLL_S = 0.1

_runs = count()


async def until(
    reached: Callable[[], Awaitable[Any]], what: str, within_s: float = WITHIN_S
) -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + within_s
    while not await reached():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(POLL_S)


AT_ONCE = 5
"""Cases that run at the same time: most of each is waiting, and they share two cores."""
Result = TypeVar("Result")
Cases: TypeAlias = Mapping[str, asyncio.Task[Result]]


@asynccontextmanager
async def at_once(
    cases: Mapping[str, Callable[[], Awaitable[Result]]],
) -> AsyncIterator[Cases[Result]]:
    """Run cases side by side, some at a time; each test awaits its own."""
    places = asyncio.Semaphore(AT_ONCE)

    async def run(case: Callable[[], Awaitable[Result]]) -> Result:
        async with places:
            return await case()

    running = {name: asyncio.create_task(run(case)) for name, case in cases.items()}
    yield running
    for task in running.values():
        task.cancel()
    await asyncio.gather(*running.values(), return_exceptions=True)


class Stored(NamedTuple):
    """What Redis holds of a partition: commit number, next offsets, facts in the outbox, and the
    ids of pending calls.
    """

    commit: int
    positions: Mapping[str, int]
    outbox: int
    calls: frozenset[str]


@dataclass
class World:
    """One toy with topics, group and keys of its own; `sums`, `counts` and `bombs` were told."""

    bootstrap_servers: str
    redis_url: str
    logs: Path
    name: str = field(default_factory=lambda: f"toy{uuid4().hex[:8]}")
    perform: toy.Perform | None = None
    processes: list[ToyProcess] = field(default_factory=list)
    sums: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    bombs: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.service = toy.service(self.name, self.perform)
        self.topics = toy.topics(self.name)
        self.redis: Redis = connect(self.redis_url)
        self._ids = count()
        self._producer: AIOKafkaProducer | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["World"]:
        """With its topics made; in the end all its workers are gone."""
        await self.make_topics()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, enable_idempotence=True, linger_ms=2
        )
        await self._producer.start()
        try:
            yield self
        finally:
            for process in self.processes:
                process.end()
            await self._producer.stop()
            await self.redis.aclose()

    async def make_topics(self) -> None:
        """Make its own topics, and those that all toys share where nobody has yet."""
        own = (self.topics.left, self.topics.right, self.topics.events, self.topics.notes)
        settings = {topic.name: kafka.topic_settings(topic) for topic in (*own, DEADLINES_EVENTS)}
        settings |= {kafka.DEAD_LETTERS: kafka.topic_settings(None)}
        failed = await kafka.create_topics(self.bootstrap_servers, settings, PARTITIONS, 1)
        assert all("already exists" in why for why in failed.values()), failed

    # -- what it is told ----------------------------------------------------------------------

    def subject(self, partition: int, nth: int = 0) -> str:
        """The n-th subject that belongs to a partition."""
        names = map("S-{}".format, count())
        own = (name for name in names if partition_of(name, PARTITIONS) == partition)
        return next(islice(own, nth, None))

    async def add(self, *subjects: str, to: str = "left") -> None:
        """One addition for each subject named, each with an amount of its own; acked."""
        sent = []
        for subject in subjects:
            number = next(self._ids)
            amount = 1 + number * 7 % 1009
            self.sums[subject] += amount
            self.counts[subject] += 1
            sent.append(await self._send(Add(amount=amount), f"id-{number}", subject, to))
        await asyncio.gather(*sent)

    @asynccontextmanager
    async def added_in_transaction(
        self, subject: str, ends_with: str = "commit"
    ) -> AsyncIterator[None]:
        """An addition by a transactional producer, which ends its transaction after what is inside:
        its control record then ends the topic.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, transactional_id=f"{self.name}-bank"
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            value = encode(Add(amount=5), id_="in-bank", source="bank", subject=subject, time=NOON)
            partition = partition_of(subject, PARTITIONS)
            await producer.send_and_wait(
                self.topics.right.name, value, key=subject.encode(), partition=partition
            )
            yield
            if ends_with == "commit":
                await producer.commit_transaction()
            else:
                await producer.abort_transaction()
        finally:
            await producer.stop()

    async def add_in_transaction(self, subject: str, ends_with: str = "commit") -> None:
        """An addition in a transaction of its own."""
        async with self.added_in_transaction(subject, ends_with):
            pass

    async def bomb(self, subject: str) -> None:
        """Something that no decision survives: a dead letter."""
        offset = await self.tell(toy.Bomb(), subject)
        self.bombs.add(f"{self.topics.left.name}:{partition_of(subject, PARTITIONS)}:{offset}")

    async def tell(self, fact: Fact, subject: str, *, to: str = "left") -> int:
        """One fact under an id of its own; its offset."""
        return int((await (await self._send(fact, f"id-{next(self._ids)}", subject, to))).offset)

    async def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> "asyncio.Future[Any]":
        """One record, just as it is; the future of its ack."""
        assert self._producer is not None
        if key is None and value is None:  # aiokafka sends that only in a batch
            batch = self._producer.create_batch()
            batch.append(key=None, value=None, timestamp=None, headers=list(headers))
            batch.close()
            sent = await self._producer.send_batch(batch, topic, partition=partition)
        else:
            sent = await self._producer.send(
                topic, value, key=key, partition=partition, headers=list(headers)
            )
        future: asyncio.Future[Any] = sent
        return future

    async def _send(self, fact: Fact, id_: str, subject: str, to: str) -> "asyncio.Future[Any]":
        value = encode(fact, id_=id_, source="test", subject=subject, time=NOON)
        partition = partition_of(subject, PARTITIONS)
        return await self.produce(f"{self.name}-{to}", subject.encode(), value, partition)

    # -- its workers --------------------------------------------------------------------------

    def start(
        self, at: At | None = None, environment: Mapping[str, str] | None = None
    ) -> ToyProcess:
        """Start a worker as a process."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "REDIS_URL": self.redis_url,
            "PARTITIONS": str(PARTITIONS),
            "LOG_FORMAT": "console",
        }
        log = self.logs / f"{self.name}-{next(_runs)}.log"
        process = toy_worker.start(self.name, {**settings, **(environment or {})}, log, at)
        self.processes.append(process)
        return process

    @asynccontextmanager
    async def worker(self, step: Step = no_step, **settings: Any) -> AsyncIterator[Worker]:
        """A worker in this process; it leaves its group in the end."""
        known = {
            "kafka_bootstrap_servers": self.bootstrap_servers,
            "redis_url": self.redis_url,
            "partitions": PARTITIONS,
        }
        loaded = Settings.load(**(known | settings))
        worker = Worker(self.service, Policies(), loaded, PARTITIONS, step)
        await worker.clock.refresh()
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.ended.set()
            await running

    # -- how far it is ------------------------------------------------------------------------

    async def stored(self) -> list[Stored]:
        """What Redis holds of each partition."""
        pipeline = Pipeline(self.redis)
        for tag in (f"{{{self.name}:{partition}}}" for partition in range(PARTITIONS)):
            pipeline.queue("HGETALL", f"{tag}:meta")
            pipeline.queue("LLEN", f"{tag}:outbox")
            pipeline.queue("HKEYS", f"{tag}:calls")
        replies = await pipeline.run()
        thirds = zip(replies[::3], replies[1::3], replies[2::3], strict=True)
        return [_stored(*third) for third in thirds]

    async def document(self, subject: str) -> Document[Sum]:
        """A subject's document, as it lies in Redis."""
        documents = self.service.documents
        key = documents.key(partition_of(subject, PARTITIONS), subject)
        stored: Any = await self.redis.get(key)
        return documents.read(subject, stored)

    async def rest(self, within_s: float = WITHIN_S) -> None:
        """Wait until every input is passed, every fact published and every call answered."""
        servers, inputs = self.bootstrap_servers, self.service.inputs
        ends = await toy_books.ends(servers, inputs, PARTITIONS)

        async def at_rest() -> bool:
            return all(
                not found.outbox
                and not found.calls
                and all(found.positions.get(t, 0) >= ends[t][p] for t in inputs)
                for p, found in enumerate(await self.stored())
            )

        await until(at_rest, f"rest; see {[str(p.log) for p in self.processes]}", within_s)

    async def read(self, topic: str) -> list[Found]:
        """All records of a topic."""
        return await toy_books.read(self.bootstrap_servers, topic, PARTITIONS)

    async def journal(self) -> Books:
        """The journal, read as its consumers do."""
        return Books(await self.read(self.topics.events.name))

    async def dead_letters(self) -> list[Found]:
        """The dead letters of this toy."""
        mine = ("deadletter-service", self.name.encode())
        return [r for r in await self.read(kafka.DEAD_LETTERS) if mine in r.headers]

    async def books(self) -> Books:
        """P3, P6: no input is lost, none applied twice, every fact has one id, every bomb is kept.

        Raises AssertionError; documents and notes have to agree with the journal.
        """
        books = await self.journal()
        books.check(self.sums, self.counts)
        for subject in self.counts:
            document = await self.document(subject)
            assert document.version == books.versions[subject]
            state = self.service.documents.dump_state(document.state)
            assert from_json(state) == books.last[subject]["data"]["sum"]
        letters = {dict(letter.headers)["deadletter-id"] for letter in await self.dead_letters()}
        assert letters == {bomb.encode() for bomb in self.bombs}
        notes = {from_json(r.value or b"")["id"] for r in await self.read(self.topics.notes.name)}
        assert len(notes) == sum(self.counts.values())
        return books


def _stored(meta: Mapping[bytes, bytes], outbox: int, calls: Sequence[bytes]) -> Stored:
    texts = {name.decode(): value for name, value in meta.items()}
    nexts = {k.removeprefix("next:"): int(v) for k, v in texts.items() if k.startswith("next:")}
    ids = frozenset(call.decode() for call in calls)
    return Stored(int(texts.get("commit", 0)), nexts, outbox, ids)
