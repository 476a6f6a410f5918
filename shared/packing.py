"""Documents packed for Redis: JSON, compressed by what documents of ours look like.

Most of a document is names, dates and what is still at its default, so a dictionary of some whole
documents (`packing.dictionary`) leaves an eighth of it (ADR 25). The dictionary is part of every
packed document: its file never changes.

    redis-cli --raw GET KEY | python -m shared.packing
"""

import sys
from pathlib import Path

from zstandard import DICT_TYPE_RAWCONTENT, ZstdCompressionDict, ZstdCompressor, ZstdDecompressor

LEVEL = 3
"""zstd's own default; 1 is no quicker on so few bytes."""

_DICTIONARY = ZstdCompressionDict(
    Path(__file__).with_name("packing.dictionary").read_bytes(), dict_type=DICT_TYPE_RAWCONTENT
)
_COMPRESSOR = ZstdCompressor(level=LEVEL, dict_data=_DICTIONARY)
_DECOMPRESSOR = ZstdDecompressor(dict_data=_DICTIONARY)


def pack(document: bytes) -> bytes:
    """A document's JSON, packed."""
    return _COMPRESSOR.compress(document)


def unpack(stored: bytes) -> bytes:
    """The JSON of a packed document; of one that a person has written as JSON, that.

    Raises ZstdError for what is neither.
    """
    return stored if stored.startswith(b"{") else _DECOMPRESSOR.decompress(stored)


if __name__ == "__main__":
    sys.stdout.buffer.write(unpack(sys.stdin.buffer.read()) + b"\n")
