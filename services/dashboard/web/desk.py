"""Tells Kafka what operators do."""

import asyncio
from datetime import datetime

from aiokafka import AIOKafkaProducer

from shared.decode import partition_of
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
        async with self._turn, asking():
            producer = await self._opened()
            try:
                await producer.send_and_wait(
                    topic.name, value, subject.encode(), partition, headers=_HEADERS
                )
            except BaseException:
                await self.close()
                raise

    async def _opened(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await started(producer_of(self._servers))
        return self._producer
