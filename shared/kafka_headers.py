"""Records whose header names are no UTF-8 are read like all others (P6, ADR 18).

To Kafka a header's name is any bytes. aiokafka's parsers decode names strictly, so a fetch with
another fails, is fetched again and fails again: the compiled one with the codec's error, the one in
Python, which takes its place where it is missing, with a corrupt record of that cause. Here the
rest of such a fetch, and of no other, is read by aiokafka's parser in Python, with lone surrogates
for what is no UTF-8 (PEP 383).
"""

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class _Part(bytes):
    """A part of a record, which any bytes are."""

    def decode(self, *_: object) -> str:
        return super().decode("utf-8", "surrogateescape")


class _Unpacked(bytearray):
    """The records of a batch; of their parts the parser decodes the headers' names alone."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Part(found) if isinstance(at, slice) else found


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Unpacked(self._buffer)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """The batches of a fetch, from the one on that holds an offset."""

    def __init__(self, found: bytes, offset: int) -> None:
        super().__init__(found)
        self._offset = offset

    def next_batch(self, *_: int) -> Any:
        packed, batch = self._next_slice, super().next_batch()
        while batch is not None and batch.next_offset <= self._offset:
            packed, batch = self._next_slice, super().next_batch()
        if packed is None or not isinstance(batch, DefaultRecordBatch):
            return batch
        return _LenientBatch(packed)


class _FetchedRecords(MemoryRecords):  # type: ignore[misc,valid-type]
    """The batches of a fetch; they can be read once more."""

    def __init__(self, found: bytes) -> None:
        super().__init__(found)
        self.found = found


class _PartitionRecords(fetcher.PartitionRecords):
    """The records of a fetch."""

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)
        except (UnicodeDecodeError, CorruptRecordException) as error:
            if not isinstance(error.__cause__ or error, UnicodeDecodeError):
                raise
            # The offset tells what was read; transactions seen on the way are known as before.
            self._records = _LenientRecords(self._records.found, self.next_fetch_offset)
            self._records_iterator = self._unpack_records()  # type: ignore[no-untyped-call]
            return next(self._records_iterator)


def read_every_header() -> None:
    """Let all consumers of this process read records with any header names."""
    vars(fetcher).update(MemoryRecords=_FetchedRecords, PartitionRecords=_PartitionRecords)
