"""What a fetch finds is read whatever its header names are: all of it, each once, in order (P6)."""

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition

from shared import kafka_headers
from tests.support.other_clients import Name

ODD, FINE = "\udcff\udcfe", "née"
BANK = 7
"""A transactional producer's id."""

kafka_headers.read_every_header()


def batch(first: int, names: Sequence[str], *, producer: int = -1) -> bytes:
    """One batch, a record for each name of a header; its offsets begin at `first`."""
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=0,
        is_transactional=int(producer >= 0),
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=2**20,
    )
    for nth, name in enumerate(names):
        builder.append(nth, 1, b"key", b"%d" % (first + nth), [(Name(name), b"\xff")])
    packed = builder.build()
    struct.pack_into(">q", packed, 0, first)
    return bytes(packed)


def read(fetched: bytes, offset: int, aborted: Sequence[tuple[int, int]] = ()) -> list[Any]:
    return list(
        fetcher.PartitionRecords(
            TopicPartition("t", 0),
            vars(fetcher)["MemoryRecords"](fetched),
            list(aborted),
            offset,
            None,
            None,
            True,
            fetcher.READ_COMMITTED,
        )
    )


def test_p6_odd_names_are_read_with_what_is_before_between_and_behind_them() -> None:
    fetched = (
        batch(10, [FINE] * 3)
        + batch(13, [FINE, ODD, FINE, ODD])
        + batch(17, [FINE])
        + batch(18, [ODD])
    )

    found = read(fetched, 11)

    assert [record.offset for record in found] == list(range(11, 19))
    assert [record.value for record in found] == [b"%d" % at for at in range(11, 19)]
    odd = {14, 16, 18}
    assert [record.headers for record in found] == [
        ((ODD if record.offset in odd else FINE, b"\xff"),) for record in found
    ]


def test_p6_of_a_transaction_that_was_aborted_nothing_is_read_whatever_its_names_are() -> None:
    fetched = (
        batch(0, [FINE])
        + batch(1, [ODD, FINE], producer=BANK)
        + batch(3, [ODD])
        + batch(4, [ODD], producer=BANK)
        + batch(5, [FINE])
    )

    assert [record.offset for record in read(fetched, 0, [(BANK, 1)])] == [0, 3, 5]


def test_p6_without_aiokafkas_compiled_parser_all_is_read_as_well() -> None:
    here = [f"{__file__}::{test.__name__}" for test in READING]

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *here],
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
        capture_output=True,
        check=False,
        text=True,
    )

    assert ran.returncode == 0, ran.stdout
    assert f"{len(READING)} passed" in ran.stdout


def test_p6_what_is_corrupt_is_told_as_corrupt() -> None:
    fetched = bytearray(batch(0, [FINE]) + batch(1, [ODD]))
    fetched[-1] ^= 1

    with pytest.raises(CorruptRecordException):
        read(bytes(fetched), 0)


READING = (
    test_p6_odd_names_are_read_with_what_is_before_between_and_behind_them,
    test_p6_of_a_transaction_that_was_aborted_nothing_is_read_whatever_its_names_are,
    test_p6_what_is_corrupt_is_told_as_corrupt,
)
