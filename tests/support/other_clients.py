"""Produces records as other clients can: any bytes as a header's name, packed tighter."""

from collections.abc import Sequence
from unittest.mock import patch

import cramjam
from aiokafka import AIOKafkaProducer
from aiokafka.record import default_records

from shared.batch import StoredRecord

PLAIN, GZIP, ZSTD = 0, 1, 4
TIGHTEST = 22
"""Zstandard's last level, which looks back over 128 MB; a producer in Python has the third."""


class Name(str):
    """A name that is encoded to the bytes which are no UTF-8 in it (PEP 383)."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return super().encode("utf-8", "surrogateescape")


def _packed_tightly(raw: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(raw, TIGHTEST))


async def produce_as_one(
    servers: str, topic: str, partition: int, records: Sequence[StoredRecord], codec: int = PLAIN
) -> int:
    """Produce records in one batch, with their keys, values and headers; the first one's offset."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_request_size=64 * 2**20)
    await producer.start()
    batch = producer.create_batch()
    batch._builder = default_records._DefaultRecordBatchBuilderPy(
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
    with patch.object(default_records, "zstd_encode", _packed_tightly):
        batch._build()
    ack = await (await producer.send_batch(batch, topic, partition=partition))
    await producer.stop()
    return int(ack.offset)
