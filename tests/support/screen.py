"""A dashboard without Kafka: what it is told is decoded, decided and committed as a task does it,
and its pages are asked in-process.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import httpx
import uvicorn
from redis.asyncio import Redis

from services.dashboard.accounts import Accounts, Role
from services.dashboard.app import build
from services.dashboard.sessions import Sessions
from services.dashboard.state import View
from services.dashboard.store import Views
from services.dashboard.web.access import COOKIE
from services.dashboard.web.follower import Follower
from services.dashboard.web.index import Index
from services.dashboard.web.parts import Listeners, Parts, Progress, Word
from services.dashboard.web.site import site
from services.fulfillment.app import build as build_fulfillment
from shared.batch import DeadLetter, Desk, Input, StoredRecord, input_of
from shared.clock import Timeline, to_ms
from shared.dead_letters import letter_headers
from shared.decode import Decoder, Record, partition_of
from shared.documents import Document
from shared.events.envelope import Event, Fact, Topic, encode
from shared.http_server import HttpServer, listen
from shared.kafka import DEAD_LETTERS
from shared.partition_store import Commit, PartitionStore
from shared.policy import Policies
from shared.redis import connect
from shared.service import Received, Service

PARTITIONS = 3


class Teller:
    """Tells facts as records on topics, and keeps these; `records` are all of them, in order."""

    def __init__(self, policies: Policies | None = None) -> None:
        self.records: list[StoredRecord] = []
        self._offsets: Counter[tuple[str, int]] = Counter()
        self._fulfillment = Desk(build_fulfillment(), policies or Policies(), 0, PARTITIONS)
        self._orders: dict[str, Document[Any]] = {}

    def tell(self, topic: str, subject: str, value: bytes, at: datetime) -> StoredRecord:
        """One record on its subject's partition, written at an instant."""
        partition = partition_of(subject, PARTITIONS)
        return self._record(topic, partition, subject.encode(), value, to_ms(at), ())

    def say(
        self,
        topic: Topic,
        fact: Fact,
        subject: str,
        at: datetime,
        version: int | None = None,
        **event: Any,
    ) -> StoredRecord:
        """A fact of one of our services."""
        n = len(self.records)
        value = encode(
            fact, id_=event.pop("id_", f"{n:08x}-said"), source=f"orderflow/{topic.publisher}",
            subject=subject, time=at, version=version, **event,
        )  # fmt: skip
        return self.tell(topic.name, subject, value, at)

    def live(self, order_id: str, *events: Received, record: StoredRecord | None = None) -> None:
        """What fulfillment says when these happen to an order; `record` is an outsider's."""
        for item in events:
            event = item.event.model_copy(update={"subject": order_id})
            known = self._orders.get(order_id, Document(order_id))
            decided = self._fulfillment.decide(
                [Input(item._replace(event=event), record)], {order_id: known}, _rereads_nothing
            )
            assert not decided.dead, decided.dead
            self._orders |= decided.after
            for sent in decided.outgoing:
                self.tell(sent.topic, order_id, sent.value, event.time)

    def bury(self, letter: DeadLetter, service: str, at: datetime) -> StoredRecord:
        """A dead letter, on the partition of its record."""
        headers = letter_headers(letter, service)
        return self._record(
            DEAD_LETTERS,
            letter.record.partition,
            letter.record.key,
            letter.record.value,
            to_ms(at),
            tuple((name, text.encode()) for name, text in headers.items()),
        )

    def _record(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        headers: tuple[tuple[str, bytes | None], ...],
    ) -> StoredRecord:
        offset = self._offsets[topic, partition]
        self._offsets[topic, partition] += 1
        record = StoredRecord(topic, partition, offset, timestamp_ms, key, value, headers)
        self.records.append(record)
        return record


def _rereads_nothing(_: object) -> Input:
    raise AssertionError("nothing is parked here")


async def project(redis: Redis, records: Iterable[StoredRecord], at_once: int = 1) -> None:
    """What the projection's tasks make of records, in batches of so many."""
    service, timeline = build(), Timeline()
    decoder = Decoder(service.name, service.reads, PARTITIONS)
    read: dict[int, list[tuple[StoredRecord, Input]]] = {}
    for record in records:
        found = decoder.decode(record, timeline)
        if not isinstance(found, Event):
            continue
        item = input_of(found, record, timeline, service.publisher_of[record.topic])
        batch = read.setdefault(record.partition, [])
        batch.append((record, item))
        if len(batch) == at_once:
            await _commit(redis, service, read.pop(record.partition))
    for batch in read.values():
        await _commit(redis, service, batch)


async def _commit(
    redis: Redis, service: Service[View], batch: Sequence[tuple[StoredRecord, Input]]
) -> None:
    """One batch of a partition, as its task decides and commits it."""
    partition, items = batch[0][0].partition, [item for _, item in batch]
    store = PartitionStore(redis, service.name, partition)
    subjects = [*dict.fromkeys(item.received.event.subject for item in items)]
    stored = await store.load([service.documents.key(partition, each) for each in subjects])
    known = {
        subject: service.documents.read(subject, found)
        for subject, found in zip(subjects, stored, strict=True)
    }
    desk = Desk(service, Policies(), partition, PARTITIONS)
    decided = desk.decide(items, known, _rereads_nothing)
    assert not decided.dead, decided.dead
    ops = [
        op
        for subject, after in decided.after.items()
        for op in service.documents.write(partition, decided.before[subject], after, lambda _: None)
    ]
    claimed = await store.claim("test")
    positions = {record.topic: record.offset + 1 for record, _ in batch}
    commit = Commit(
        number=claimed.commit_number + 1, claim="test", journal=0,
        positions=positions, outbox=(), ops=ops,
    )  # fmt: skip
    assert await store.commit("test", "test", commit)


@dataclass
class StandingClock:
    """A business clock that stands at an instant."""

    at: datetime
    timeline: Timeline = field(default_factory=Timeline)

    def now_ms(self) -> int:
        return to_ms(self.at)

    def wall_ms(self) -> int:
        return to_ms(self.at)


class KeptRecords:
    """The records that were told, as Kafka has them."""

    def __init__(self, records: Iterable[StoredRecord]) -> None:
        self._records = records

    async def record(self, topic: str, partition: int, offset: int) -> StoredRecord | None:
        at = (topic, partition, offset)
        return next((r for r in self._records if (r.topic, r.partition, r.offset) == at), None)


class Said(NamedTuple):
    """What was told to Kafka."""

    topic: Topic
    fact: Fact
    id: str
    source: str
    subject: str


class KeptDesk:
    """Keeps what it is told, and what it is to send."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.sent: list[Record] = []

    async def say(
        self, topic: Topic, fact: Fact, *, id_: str, source: str, subject: str, time: datetime
    ) -> None:
        self.said.append(Said(topic, fact, id_, source, subject))

    async def send(self, record: Record) -> int:
        self.sent.append(record)
        return len(self.sent) + 100

    async def say_all(
        self, topic: Topic, words: Iterable[Word], *, source: str, time: datetime
    ) -> None:
        for id_, subject, fact in words:
            await self.say(topic, fact, id_=id_, source=source, subject=subject, time=time)


class Standing:
    """How far the services are: as far as a test says."""

    services: ClassVar = {
        "inventory": (Progress(0, 0, 0), Progress(1, 7, 0)),
        "payment": (Progress(0, 0, 0), Progress(1, 0, 0)),
        "fulfillment": (Progress(0, 0, 0), Progress(1, 0, 0)),
        "deadlines": (Progress(0, 0, 0), Progress(1, 0, 0)),
        "dashboard": (),
    }


@dataclass
class Screen:
    """The pages, asked by `get`, and what they are made with."""

    client: httpx.AsyncClient
    parts: Parts
    said: list[Said]
    sent: list[Record]

    async def get(self, address: str, status: int = 200) -> str:
        """The page at an address."""
        answer = await self.client.get(address)
        assert answer.status_code == status, answer.text
        return answer.text


@asynccontextmanager
async def open_screen(
    redis_url: str,
    at: datetime,
    records: Iterable[StoredRecord] = (),
    policies: Policies | None = None,
    role: Role | None = "operator",
) -> AsyncIterator[Screen]:
    """The pages of what lies in a Redis, at an instant of business time, for one of this role."""
    async with AsyncExitStack() as stack:
        redis, index = connect(redis_url), Index()
        stack.push_async_callback(redis.aclose)
        stack.callback(index.close)
        listeners, views = Listeners(), Views(redis, PARTITIONS)
        follower = Follower(views, index, listeners.tell)
        await follower.look()
        accounts = Accounts(redis)
        sessions = Sessions(redis, accounts)
        parts = Parts(
            index=index,
            views=views,
            follower=follower,
            clock=StandingClock(at),
            policies=policies or Policies(),
            accounts=accounts,
            sessions=sessions,
            records=KeptRecords(records),
            desk=(desk := KeptDesk()),
            standing=Standing(),
            listeners=listeners,
        )
        transport = httpx.ASGITransport(site(parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://dashboard") as client:
            if role is not None:
                who = await accounts.accept(await accounts.invite(role, role), "")
                assert who is not None
                client.cookies[COOKIE] = await sessions.begin(who)
            yield Screen(client, parts, desk.said, desk.sent)


@asynccontextmanager
async def served(parts: Parts, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The pages over HTTP, for a browser, at this address; streams are cut at the end."""
    with listen("DASHBOARD", host, port) as listening:
        config = uvicorn.Config(
            site(parts), lifespan="off", log_config=None, timeout_graceful_shutdown=0
        )
        server = HttpServer(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        yield f"http://{host}:{listening.getsockname()[1]}"
        server.end()
        await serving
