"""Dead letters: a record as it came, and in headers where it came from and why it was kept (P6).

Key, value and partition are the record's own. Headers are text: `deadletter-id` (its origin, as
topic:partition:offset), `-topic`, `-partition`, `-offset`, `-timestamp-ms`, `-service`, `-reason`,
`-field`, `-detail`, `-headers` (the record's own, as JSON, values in base64) and `-value` ("null"
where the record had none). Field and detail are one line each, see `_one_line`. Of a record
that is too large for the topic, packed or not, it holds what fits; `-truncated` then says how many
headers, and bytes of key and value, the record has.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import NamedTuple

from shared.batch import DeadLetter, StoredRecord
from shared.decode import Record

MAX_DETAIL_BYTES = 16_000
"""Of a detail as it is sent: the longest traceback, 4 bytes a character. With all else but the
record's own parts it has 128 KB, below what a letter is cut to (CUT_LETTER_BYTES)."""

_NULL = "null"
_TRUNCATED = "deadletter-truncated"


class Kept(NamedTuple):
    """A dead letter as it was read: the record as it came, by whom and why it was kept."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    service: str
    reason: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    truncated: bool = False
    field: str = ""
    detail: str = ""

    @property
    def origin(self) -> str:
        """Where the record lies."""
        return f"{self.topic}:{self.partition}:{self.offset}"


def cut_letter(letter: DeadLetter, room: int) -> DeadLetter:
    """The letter with the first so many bytes of the record's headers (as text), key and value."""
    record = letter.record
    headers: list[tuple[str, bytes | None]] = []
    for name, value in record.headers:
        room -= len(json.dumps(_as_text(name, value))) + len(", ")
        if room < 0:
            return letter._replace(record=_part(record, headers, 0))
        headers.append((name, value))
    return letter._replace(record=_part(record, headers, room))


def _part(record: Record, headers: Sequence[tuple[str, bytes | None]], room: int) -> StoredRecord:
    key = None if record.key is None else record.key[:room]
    value = None if record.value is None else record.value[: room - len(key or b"")]
    return StoredRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=key,
        value=value,
        headers=tuple(headers),
    )


def _as_text(name: str, value: bytes | None) -> list[str | None]:
    return [name, None if value is None else b64encode(value).decode()]


def letter_headers(letter: DeadLetter, service: str, whole: Record | None = None) -> dict[str, str]:
    """The headers of a dead letter; of one that was cut, `whole` is the record."""
    record = letter.record
    own = [_as_text(name, value) for name, value in record.headers]
    return {
        "deadletter-id": f"{record.topic}:{record.partition}:{record.offset}",
        "deadletter-topic": record.topic,
        "deadletter-partition": str(record.partition),
        "deadletter-offset": str(record.offset),
        "deadletter-timestamp-ms": str(record.timestamp),
        "deadletter-service": service,
        "deadletter-reason": letter.reason,
        "deadletter-field": _one_line(letter.field),
        "deadletter-detail": _one_line(letter.detail),
        "deadletter-headers": json.dumps(own),
        "deadletter-value": _NULL if record.value is None else "bytes",
        **({} if whole is None else {_TRUNCATED: json.dumps(_sizes(whole))}),
    }


def _one_line(text: str) -> str:
    """A text that any client can show: control characters and lone surrogates escaped as in Python;
    of one that is too long, its ends.
    """
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text.strip()
    ).encode()
    if (left_out := len(shown) - MAX_DETAIL_BYTES) <= 0:
        return shown.decode()
    begin = shown[: MAX_DETAIL_BYTES // 2].decode(errors="ignore")
    end = shown[left_out + MAX_DETAIL_BYTES // 2 :].decode(errors="ignore")
    return f"{begin} [{left_out} bytes are left out] {end}"


def _sizes(record: Record) -> dict[str, int]:
    return {
        "headers": len(record.headers),
        "key": len(record.key or b""),
        "value": len(record.value or b""),
    }


def read_letter(record: Record) -> Kept:
    """A record of the dead-letter topic; ValueError where its headers are not ours."""
    texts = {name: (value or b"").decode() for name, value in record.headers}
    try:
        own: list[tuple[str, str | None]] = json.loads(texts["deadletter-headers"])
        return Kept(
            topic=texts["deadletter-topic"],
            partition=int(texts["deadletter-partition"]),
            offset=int(texts["deadletter-offset"]),
            timestamp_ms=int(texts["deadletter-timestamp-ms"]),
            service=texts["deadletter-service"],
            reason=texts["deadletter-reason"],
            key=record.key,
            value=None if texts["deadletter-value"] == _NULL else record.value,
            headers=tuple((name, None if v is None else b64decode(v)) for name, v in own),
            truncated=_TRUNCATED in texts,
            field=texts["deadletter-field"],
            detail=texts["deadletter-detail"],
        )
    except KeyError as missing:
        raise ValueError(f"it has no header {missing}") from missing
