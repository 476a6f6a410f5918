"""Tells Kafka what operators do."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.dashboard.web.parts import Word
from shared.decode import Record, partition_of
from shared.events.envelope import CONTENT_TYPE, Fact, Topic, encode
from shared.kafka import Servers
from shared.kafka_sender import KafkaSender

_HEADERS = (("content-type", CONTENT_TYPE.encode()),)


class _Said(NamedTuple):
    """A fact as a record."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...] = _HEADERS


class KafkaDesk:
    """What operators do, written to Kafka."""

    def __init__(self, servers: Servers, partitions: int) -> None:
        self._sender = KafkaSender(servers)
        self._partitions = partitions

    async def close(self) -> None:
        """Give the producer back."""
        await self._sender.close()

    async def say(
        self, topic: Topic, fact: Fact, *, id_: str, source: str, subject: str, time: datetime
    ) -> None:
        """Tell a fact, and wait until Kafka has it. Raises TransientError: it may have it or not,
        and saying the same again under the same id is harmless.
        """
        await self.say_all(topic, [Word(id_, subject, fact)], source=source, time=time)

    async def say_all(
        self, topic: Topic, words: Sequence[Word], *, source: str, time: datetime
    ) -> None:
        """Tell facts of several subjects, and wait until Kafka has all. Raises TransientError: it
        may have some of them, and saying the same again under the same ids is harmless.
        """
        said = []
        for id_, subject, fact in words:
            value = encode(fact, id_=id_, source=source, subject=subject, time=time)
            at = partition_of(subject, self._partitions)
            said.append(_Said(topic.name, at, subject.encode(), value))
        await self._sender.send(said)

    async def send(self, record: Record) -> int:
        """Send a record as it is, to its topic and partition; its offset there. Raises
        TransientError like `say`.
        """
        (offset,) = await self._sender.send([record])
        return offset
