"""Tells Kafka what operators do."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from aiokafka import AIOKafkaProducer

from services.dashboard.web.parts import Word
from shared.decode import Record, partition_of
from shared.events.envelope import CONTENT_TYPE, Fact, Topic, encode
from shared.kafka import Servers, asking, producer_of, started

_HEADERS = [("content-type", CONTENT_TYPE.encode())]


class KafkaDesk:
    """One producer, made when there is something to say, and anew after an outage."""

    def __init__(self, servers: Servers, partitions: int) -> None:
        self._servers = servers
        self._partitions = partitions
        self._producer: AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Give the producer back."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def say(
        self, topic: Topic, fact: Fact, *, id_: str, source: str, subject: str, time: datetime
    ) -> None:
        """Tell a fact, and wait until Kafka has it. Raises TransientError: it may have it or not,
        and saying the same again under the same id is harmless.
        """
        value = encode(fact, id_=id_, source=source, subject=subject, time=time)
        partition = partition_of(subject, self._partitions)
        await self._send(topic.name, partition, subject.encode(), value, _HEADERS)

    async def send(self, record: Record) -> int:
        """Send a record as it is, to its topic and partition; its offset there. Raises
        TransientError like `say`.
        """
        return await self._send(
            record.topic, record.partition, record.key, record.value, record.headers
        )

    async def _send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> int:
        async with self._turn, asking():
            producer = await self._opened()
            try:
                sent = await producer.send_and_wait(
                    topic, value, key, partition, headers=[*headers]
                )
            except BaseException:
                await self.close()
                raise
        return int(sent.offset)

    async def say_all(
        self, topic: Topic, words: Sequence[Word], *, source: str, time: datetime
    ) -> None:
        """Tell facts of several subjects, and wait until Kafka has all. Raises TransientError: it
        may have some of them, and saying the same again under the same ids is harmless.
        """
        async with self._turn, asking():
            producer = await self._opened()
            try:
                acks = []
                for id_, subject, fact in words:
                    value = encode(fact, id_=id_, source=source, subject=subject, time=time)
                    at = partition_of(subject, self._partitions)
                    key = subject.encode()
                    acks.append(await producer.send(topic.name, value, key, at, headers=_HEADERS))
                await asyncio.gather(*acks)
            except BaseException:
                await self.close()
                raise

    async def _opened(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await started(producer_of(self._servers))
        return self._producer
