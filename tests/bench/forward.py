"""The floor's workers: bare aiokafka, consume and produce, without a decision and without Redis.

    python -m tests.bench.forward SERVERS NAME SCRIPT

They play the life of an order again, as it was seen: whoever consumed a record produces what that
service produced because of it, to the same topics, as large, with another order's id. The acks of
a batch are waited for before the next, as a service does; no state, no position is kept.
"""

import asyncio
import pickle
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition

from shared.kafka import BATCH_BYTES, MAX_RECORDS, reader_of
from tests.bench.sizes import PARTITIONS

_ID = b'"id":"'


class Line(NamedTuple):
    """A record to produce; without a partition it goes to that of the record that leads to it."""

    topic: str
    partition: int | None
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Part(NamedTuple):
    """What one of them plays: its topics, and what it produces for each id that it reads.

    The ids stay those of the life that was seen; the order's id is exchanged for the record's key.
    """

    reads: Sequence[str]
    lines: Mapping[bytes, Sequence[Line]]
    orders: Mapping[bytes, bytes]
    """The order id in the lines of each id."""


class Forwarder:
    """One of them; `seen` counts the ids that it has read."""

    def __init__(self, servers: str, part: Part) -> None:
        self.seen: Counter[bytes] = Counter()
        self._part = part
        self.consumer = reader_of(servers)
        self.producer = AIOKafkaProducer(
            bootstrap_servers=servers,
            acks="all",
            enable_idempotence=True,
            max_batch_size=2 * BATCH_BYTES,
            max_request_size=4 * BATCH_BYTES,
        )

    async def start(self) -> None:
        """Connect, and read all partitions from their beginnings."""
        await self.producer.start()
        await self.consumer.start()
        self.consumer.assign(
            [TopicPartition(topic, p) for topic in self._part.reads for p in range(PARTITIONS)]
        )

    async def stop(self) -> None:
        """Disconnect."""
        await self.producer.stop()
        await self.consumer.stop()

    async def run(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Consume and produce while `goes_on`."""
        while goes_on():
            out: defaultdict[tuple[str, int], list[Line]] = defaultdict(list)
            polled = await self.consumer.getmany(timeout_ms=100, max_records=MAX_RECORDS)
            for tp, records in polled.items():
                for record in records:
                    for line in self._lines(record.key or b"", record.value or b""):
                        at = tp.partition if line.partition is None else line.partition
                        out[line.topic, at].append(line)
            await asyncio.gather(*(self.send(*at, lines) for at, lines in out.items()))

    async def send(self, topic: str, partition: int, lines: Sequence[Line]) -> None:
        """Produce lines to one partition, in batches, and wait for the acks."""
        acks = []
        batch = self.producer.create_batch()
        for line in lines:
            if batch.size() > BATCH_BYTES:
                acks.append(await self.producer.send_batch(batch, topic, partition=partition))
                batch = self.producer.create_batch()
            batch.append(key=line.key, value=line.value, timestamp=None, headers=line.headers)
        acks.append(await self.producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*acks)

    def _lines(self, key: bytes, value: bytes) -> Sequence[Line]:
        at = value.index(_ID) + len(_ID)
        id_ = value[at : value.index(b'"', at)]
        self.seen[id_] += 1
        lines = self._part.lines.get(id_, ())
        return for_order(lines, self._part.orders[id_], key) if lines else ()


def for_order(lines: Sequence[Line], seen: bytes, order: bytes) -> list[Line]:
    """The lines with the order id that was `seen` exchanged."""
    return [
        line._replace(key=line.key.replace(seen, order), value=line.value.replace(seen, order))
        for line in lines
    ]


async def _main(servers: str, name: str, script: bytes) -> None:
    forwarder = Forwarder(servers, pickle.loads(script)[name])
    await forwarder.start()
    await forwarder.run()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes()))
