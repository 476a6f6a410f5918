"""Produces records as other clients do to whom a header's name is any bytes."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from shared.batch import StoredRecord

GZIP, PLAIN = 1, 0


class Name(str):
    """A name that is encoded to the bytes which are no UTF-8 in it (PEP 383)."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return super().encode("utf-8", "surrogateescape")


async def produce_as_one(
    servers: str, topic: str, partition: int, records: Sequence[StoredRecord], codec: int = PLAIN
) -> int:
    """Produce records in one batch, with their keys, values and headers; the first one's offset."""
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    batch = producer.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=2**20,
    )
    for record in records:
        headers = [(Name(name), value) for name, value in record.headers]
        batch.append(timestamp=None, key=record.key, value=record.value, headers=headers)
    ack = await (await producer.send_batch(batch, topic, partition=partition))
    await producer.stop()
    return int(ack.offset)
