"""What stands outside of the system: a storefront, a gateway, a seller, a carrier, a warehouse.

It produces their events to Kafka, and remembers which of them were acknowledged: one side of the
books.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from shared.clock import fresh_token
from shared.decode import partition_of
from shared.errors import TransientError
from shared.events.envelope import CONTENT_TYPE, Fact, Topic, encode
from shared.events.topics import FROM_OUTSIDE
from shared.kafka import Servers, checked_partitions, producer_of

MAX_ACKNOWLEDGED = 500_000
"""Events that a producer remembers, below 1 KB each. A feed of 10 000 orders has 50 000."""

FLUSH_LIMIT_S = 30.0
"""For all acks that are still out: a broker that restarts is back by then."""

CLOSE_LIMIT_S = 2.0
"""For closing: without a broker, what is not acked would be waited for without end."""

_HEADERS = [("content-type", CONTENT_TYPE.encode())]


class Accepted(NamedTuple):
    """An event that Kafka has acknowledged, and where it lies."""

    topic: str
    partition: int
    offset: int
    type: str
    subject: str
    id: str
    time: datetime


class Producer:
    """Events from outside, as CloudEvents, each on the partition of its subject.

    Use it as an asynchronous context manager: leaving it waits for all acks. `source` is the
    CloudEvents source, `topics` are those it may produce to. `acknowledged` holds what Kafka has
    acknowledged, in the order of the acks.
    """

    def __init__(
        self, servers: Servers, source: str, topics: Sequence[Topic] = FROM_OUTSIDE
    ) -> None:
        self.acknowledged: list[Accepted] = []
        self._servers = servers
        self._source = source
        self._topics = [topic.name for topic in topics]
        self._unacked: set[asyncio.Future[RecordMetadata]] = set()
        self._failure: BaseException | None = None

    def counts(self) -> Counter[tuple[str, str]]:
        """How many events were acknowledged, by topic and type."""
        return Counter((event.topic, event.type) for event in self.acknowledged)

    async def __aenter__(self) -> Self:
        """Connect; raises RefusedStart for a missing topic, TransientError if Kafka is away."""
        self._partitions = await checked_partitions(self._servers, self._topics)
        self._producer = producer_of(self._servers)
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._close()
            raise TransientError(f"Kafka at {self._servers} is not available: {error}") from error
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.flush()
        finally:
            await self._close()

    async def send(
        self, topic: Topic, fact: Fact, *, subject: str, time: datetime, id_: str | None = None
    ) -> asyncio.Future[Accepted]:
        """Hand an event to Kafka's client; the future is its ack, TransientError if it is refused.

        `time` is business time; without an `id_` the event gets a new one. Waits while a whole
        batch for its partition is out.
        """
        assert type(fact) in topic.facts, f"{fact.TYPE} does not belong on {topic.name}"
        assert len(self.acknowledged) + len(self._unacked) < MAX_ACKNOWLEDGED
        id_ = id_ or fresh_token()
        partition = partition_of(subject, self._partitions)
        sent = await self._producer.send(
            topic.name,
            encode(fact, id_=id_, source=self._source, subject=subject, time=time),
            subject.encode(),
            partition,
            headers=_HEADERS,
        )
        event = Accepted(topic.name, partition, -1, fact.TYPE, subject, id_, time)
        ack: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._unacked.add(sent)
        sent.add_done_callback(partial(self._done, ack, event))
        return ack

    async def flush(self) -> None:
        """Wait for all acks that are out. Raises TransientError: not all events were accepted."""
        pending: set[asyncio.Future[RecordMetadata]] = set()
        if self._unacked:
            _, pending = await asyncio.wait(self._unacked, timeout=FLUSH_LIMIT_S)
        if pending:
            raise TransientError(
                f"Kafka at {self._servers} has not acknowledged {len(pending)} events "
                f"within {FLUSH_LIMIT_S:.0f} s"
            )
        if self._failure is not None:
            raise TransientError(f"Kafka has refused an event: {self._failure!r}")

    def _done(
        self,
        ack: asyncio.Future[Accepted],
        event: Accepted,
        sent: asyncio.Future[RecordMetadata],
    ) -> None:
        """Note what Kafka said, whether anybody still waits for it or not."""
        self._unacked.discard(sent)
        error = sent.exception()
        if error is None:
            event = event._replace(offset=sent.result().offset)
            self.acknowledged.append(event)
            if not ack.done():
                ack.set_result(event)
        else:
            self._failure = self._failure or error
            if not ack.done():
                ack.set_exception(TransientError(f"Kafka has refused an event: {error!r}"))

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._producer.stop()
        except TimeoutError:
            await self._producer.client.close()
