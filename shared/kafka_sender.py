"""Writes records to Kafka, and waits until it has all of them."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from aiokafka import AIOKafkaProducer

from shared.kafka import Servers, asking, producer_of, started

CLOSE_LIMIT_S = 2.0
"""For closing: without a broker, what is not acked would be waited for."""


class Outgoing(Protocol):
    """What is used of a record that is to be written."""

    @property
    def topic(self) -> str: ...

    @property
    def partition(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class KafkaSender:
    """One producer for all who ask, made when there is something to write, and anew after an
    outage.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give all producers back."""
        if self._producer is not None:
            self._drop(self._producer)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await asyncio.gather(*self._closing)

    async def send(self, records: Sequence[Outgoing]) -> Sequence[int]:
        """Write records, those of a partition in their order; the offset of each, once acked.

        Raises TransientError: each may be written or not, and the same again is harmless.
        """
        async with asking():
            producer = await self._opened()
            try:
                acks = [
                    await producer.send(
                        record.topic,
                        record.value,
                        record.key,
                        record.partition,
                        headers=list(record.headers),
                    )
                    for record in records
                ]
                acked = await asyncio.gather(*acks)
            except BaseException:
                self._drop(producer)
                raise
        return [one.offset for one in acked]

    async def _opened(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await started(producer_of(self._servers))
            return self._producer

    def _drop(self, producer: AIOKafkaProducer) -> None:
        """Close a producer, beside: what others have given it is acked or fails first."""
        if self._producer is producer:
            self._producer = None
            closing = asyncio.create_task(producer.stop())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
