"""Dead letters: a record as it came, and in headers where it came from and why it was kept (P6).

Key, value and partition are the record's own. Headers are text: `deadletter-id` (its origin, as
topic:partition:offset), `-topic`, `-partition`, `-offset`, `-timestamp-ms`, `-service`, `-reason`,
`-field`, `-detail`, `-headers` (the record's own, as JSON, values in base64) and `-value` ("null"
where the record had none).
"""

import json
from base64 import b64decode, b64encode
from typing import NamedTuple

from shared.batch import DeadLetter
from shared.decode import Record

_NULL = "null"


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

    @property
    def origin(self) -> str:
        """Where the record lies."""
        return f"{self.topic}:{self.partition}:{self.offset}"


def letter_headers(letter: DeadLetter, service: str) -> dict[str, str]:
    """The headers of a dead letter."""
    record = letter.record
    own = [[name, None if v is None else b64encode(v).decode()] for name, v in record.headers]
    return {
        "deadletter-id": f"{record.topic}:{record.partition}:{record.offset}",
        "deadletter-topic": record.topic,
        "deadletter-partition": str(record.partition),
        "deadletter-offset": str(record.offset),
        "deadletter-timestamp-ms": str(record.timestamp),
        "deadletter-service": service,
        "deadletter-reason": letter.reason,
        "deadletter-field": letter.field,
        "deadletter-detail": letter.detail,
        "deadletter-headers": json.dumps(own),
        "deadletter-value": _NULL if record.value is None else "bytes",
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
        )
    except KeyError as missing:
        raise ValueError(f"it has no header {missing}") from missing
