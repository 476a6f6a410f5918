"""A record as it lies in Kafka: as text, as JSON and in hex; nothing of it is interpreted."""

from typing import Any

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.web.access import session_of
from services.dashboard.web.pages import not_found, page, parts_of
from shared.decode import Record

MAX_SHOWN = 200_000
MAX_HEX = 16_384
"""Bytes of a record that a page shows."""
HEX_COLUMNS = 16


async def record(request: Request) -> Response:
    """The page of a record."""
    path = request.path_params
    topic, partition, offset = path["topic"], path["partition"], path["offset"]
    parts = parts_of(request)
    found = None
    if partition < parts.views.partitions:
        found = await parts.records.record(topic, partition, offset)
    if found is None:
        return not_found(request, f"There is no record {topic}:{partition}:{offset} any more.")
    return page(
        request,
        "record.html",
        topic=topic,
        partition=partition,
        offset=offset,
        **record_values(found, revealed=may_reveal(request)),
    )


def may_reveal(request: Request) -> bool:
    """Whether an operator has asked for what may name people."""
    asked = request.query_params.get("show") == "personal"
    return asked and session_of(request).who.operates


def record_values(found: Record | None, *, revealed: bool) -> dict[str, Any]:
    """What a page shows of a record; `found` False where it is not there any more.

    Its value may hold names, addresses and prices, of Pending orders too (R3): it is shown where it
    is to be `revealed`.
    """
    if found is None:
        return {"found": False}
    value = found.value or b""
    return {
        "found": True,
        "revealed": revealed,
        "written_ms": found.timestamp,
        "key": _text(found.key),
        "headers": [(name, _text(raw)) for name, raw in found.headers],
        "size": len(value),
        "text": _text(value[:MAX_SHOWN]) if revealed else "",
        "json": _indented(value) if revealed else "",
        "hex": hex_lines(value[:MAX_HEX]) if revealed else [],
        "cut": len(value) > MAX_HEX,
    }


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode(errors="backslashreplace")


def _indented(value: bytes) -> str:
    """The value as JSON, laid out; empty where it is none, or too long to lay out."""
    if len(value) > MAX_SHOWN:
        return ""
    try:
        return to_json(from_json(value), indent=2).decode()
    except ValueError:
        return ""


def hex_lines(value: bytes) -> list[str]:
    """Bytes as hex and as what they print, sixteen a line."""
    lines = []
    for at in range(0, len(value), HEX_COLUMNS):
        row = value[at : at + HEX_COLUMNS]
        printed = "".join(chr(each) if 0x20 <= each < 0x7F else "." for each in row)
        lines.append(f"{at:08x}  {row.hex(' '):<{3 * HEX_COLUMNS}} {printed}")
    return lines
