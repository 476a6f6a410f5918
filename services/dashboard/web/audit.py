"""Audit: who did what, when, on these pages or by the command line; as the events on Kafka tell."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.state import Entry
from services.dashboard.web.filters import MAX_PAGE
from services.dashboard.web.index import Index
from services.dashboard.web.pages import page, parts_of
from services.dashboard.web.query import choice, number, text
from services.dashboard.web.words import reason, words_of
from shared.events.dashboard import COMMANDS, person_of
from shared.events.inventory import StockLevelChanged
from shared.events.topics import PUBLISHED

PAGE_SIZE = 50

LETTER_WORDS: Mapping[str, str] = {
    "letter.replayed": "Dead letter replayed",
    "letter.edited": "An edited copy of a dead letter sent",
    "letter.discarded": "Dead letter discarded",
}
KINDS = (*LETTER_WORDS, *(fact.TYPE for topic in PUBLISHED for fact in topic.facts))


class Asked(NamedTuple):
    """Whose acts, about what, and of which kind; empty is all."""

    person: str = ""
    about: str = ""
    kind: str = ""


class Line(NamedTuple):
    """One act: `address` is the page of what it was about, `record` where its fact lies."""

    at_ms: int
    person: str
    where: str
    words: str
    about: str
    address: str
    record: str


async def audit(request: Request) -> Response:
    """The page."""
    index, query = parts_of(request).index, request.query_params
    asked = Asked(text(query, "person"), text(query, "about"), choice(query, "kind", KINDS, ""))
    nth = number(query, "page", 1, MAX_PAGE)
    total = index.one(f"SELECT count(*) AS n FROM acts WHERE {_FITS}", **_values(asked))["n"]  # noqa: S608
    return page(
        request,
        "audit.html",
        live=("order", "stock", "handled"),
        lines=lines(index, asked, PAGE_SIZE, (nth - 1) * PAGE_SIZE),
        asked=asked,
        total=total,
        number=nth,
        pages=max(1, -(-total // PAGE_SIZE)),
        people=sorted({person_of(row["source"]) for row in _distinct(index, "source")}),
        kinds=[(each["type"], _kind(each["type"])) for each in _distinct(index, "type")],
    )


def lines(index: Index, asked: Asked, most: int, skip: int = 0) -> list[Line]:
    """What was done, the last first."""
    rows = index.ask(
        f"SELECT * FROM acts WHERE {_FITS} ORDER BY at_ms DESC LIMIT :most OFFSET :skip",  # noqa: S608
        **_values(asked),
        most=most,
        skip=skip,
    )
    return [_line(row) for row in rows]


_FITS = (
    ":person IN ('', replace(replace(source, 'dashboard/', ''), 'orderflow-cli/', ''))"
    " AND :about IN ('', about, record_key) AND :kind IN ('', type)"
)


def _values(asked: Asked) -> dict[str, str]:
    return asked._asdict()


def _distinct(index: Index, column: str) -> Sequence[Any]:
    return index.ask_lately(f"SELECT DISTINCT {column} FROM acts ORDER BY {column}")  # noqa: S608


def _kind(type_: str) -> str:
    return reason(type_.removesuffix(".v1").replace(".", " "))


def _line(row: Any) -> Line:
    said = from_json(row["said"])
    if row["type"] in LETTER_WORDS:
        because = f": {said['reason']}" if said["reason"] else ""
        words = LETTER_WORDS[row["type"]] + because
        address = f"/letters/{row['about'].replace(':', '/')}"
    elif row["type"] == StockLevelChanged.TYPE:
        words = f"Stock {said['on_hand_change']:+d}, now {said['on_hand']} on hand"
        address = f"/stock/{row['about']}"
    else:
        said.pop("amount", None)  # of an order that may be Pending (R3)
        words = words_of(Entry(row["type"], 0, 0, "", 0, "", "", "", said))
        address = f"/orders/{row['about']}"
    where = "command line" if row["source"].startswith(COMMANDS) else ""
    at = row["offset"]
    record = f"{row['topic']}/{row['part']}/{at}" if at >= 0 else ""
    return Line(row["at_ms"], person_of(row["source"]), where, words, row["about"], address, record)
