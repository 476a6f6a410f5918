"""Which orders a page asks for: read from its address, written back into it, and as SQL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, get_args
from urllib.parse import urlencode

from shared.clock import to_ms
from shared.events.fulfillment import OrderStatus
from shared.urgency import TO_SHIP

PAGE_SIZE = 50
MAX_TEXT = 80
"""Characters of a search: longer than any id, SKU or tracking number that people type."""

STATUSES: tuple[str, ...] = get_args(OrderStatus)
_TO_SHIP = f"({', '.join(map(repr, sorted(TO_SHIP)))})"

URGENCIES: Mapping[str, str] = {
    "late": f"status IN {_TO_SHIP} AND ship_by_ms <= :now",
    "today": f"status IN {_TO_SHIP} AND ship_by_ms > :now AND ship_by_ms <= {{today}}",
    "open": f"status IN {_TO_SHIP}",
    "ending": f"status IN {_TO_SHIP} AND warn_ms <= :now AND cancel_ms > 0",
    "asked": "cancel_asked = 1",
    "returns": "returns_open > 0",
    "stuck": "stuck != ''",
}
"""What a seller is to do first, as SQL of what `shared/urgency.py` says; `today` is when the
marketplace's day ends; `warn_ms` is 0 once the seller was warned."""
SOURCES: tuple[str, ...] = tuple(
    f"{channel} {site}"
    for channel in ("organic", "advertisement", "direct")
    for site in ("on_site", "off_site")
)
SORTS: Mapping[str, str] = {
    "-purchase": "purchase_ms DESC, order_id DESC",
    "purchase": "purchase_ms, order_id",
    "ship_by": "ship_by_ms = 0, ship_by_ms, order_id",
    "-updated": "updated_ms DESC, order_id DESC",
    "-total": "total_minor * was_seller DESC, order_id DESC",
}
NEWEST = "-purchase"


class Problem(NamedTuple):
    """A part of an address that says nothing, and what is allowed."""

    name: str
    allowed: str


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What the list of orders is asked for; empty is everything, the newest first."""

    status: str = ""
    urgency: str = ""
    sku: str = ""
    source: str = ""
    seller: str = ""
    since: date | None = None
    until: date | None = None
    text: str = ""
    sort: str = NEWEST
    page: int = 1
    problems: tuple[Problem, ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "Filter":
        """The filter of an address; what it can not mean is left out, and named in `problems`."""
        problems: list[Problem] = []
        given: dict[str, Any] = {}
        for name, allowed in _CHOICES.items():
            value = asked.get(name, "").strip()
            if value and value not in allowed:
                problems.append(Problem(name, ", ".join(allowed)))
            elif value:
                given[name] = value
        given |= (texts := {name: asked.get(name, "").strip() for name in _TEXTS})
        problems += [
            Problem(n, f"at most {MAX_TEXT} characters")
            for n, text in texts.items()
            if len(text) > MAX_TEXT
        ]
        for name in ("since", "until"):
            if value := asked.get(name, "").strip():
                if (day := read_day(value)) is None:
                    problems.append(Problem(name, "a day such as 2026-03-11"))
                else:
                    given[name] = day
        page = asked.get("page", "").strip()
        if page and not (PAGE.fullmatch(page) and 1 <= int(page) <= MAX_PAGE):
            problems.append(Problem("page", f"a number from 1 to {MAX_PAGE}"))
        elif page:
            given["page"] = int(page)
        return cls(**given, problems=tuple(problems))

    def address(self, **changes: Any) -> str:
        """The address of the list that this asks for, with changes; their page is the first."""
        other = replace(self, **{"page": 1, **changes})
        default = Filter()
        parts = {
            name: value.isoformat() if isinstance(value, date) else value
            for name in _NAMES
            if (value := getattr(other, name)) != getattr(default, name)
        }
        return "/orders" + (f"?{urlencode(parts)}" if parts else "")

    @property
    def narrowed(self) -> bool:
        """Whether it leaves anything out."""
        return any(getattr(self, name) for name in _NAMES if name not in {"sort", "page"})

    def where(self, now_ms: int, today_ms: Mapping[str, int]) -> tuple[str, dict[str, Any]]:
        """The condition, and its values; `today_ms` is when each marketplace's day ends, under ""
        that of all others.
        """
        terms = ["1"]
        values: dict[str, Any] = {"now": now_ms}
        if self.status:
            terms.append("status = :status")
        if self.urgency:
            terms.append(URGENCIES[self.urgency].format(today=_case(today_ms, values)))
        if self.sku:
            terms.append("order_id IN (SELECT order_id FROM skus WHERE sku = :sku)")
        if self.source:
            terms.append("source = :source")
        if self.seller:
            terms.append("seller_id = :seller")
        if self.since:
            terms.append("purchase_ms >= :since")
        if self.until:
            terms.append("purchase_ms < :until")
        if self.text:
            terms.append("order_id IN (SELECT order_id FROM texts WHERE instr(text, :text))")
        values |= {
            "status": self.status,
            "sku": self.sku,
            "source": self.source,
            "seller": self.seller,
            "since": _midnight_ms(self.since) if self.since else 0,
            "until": _midnight_ms(self.until + A_DAY) if self.until else 0,
            "text": self.text.lower(),
        }
        return " AND ".join(f"({term})" for term in terms), values


A_DAY = timedelta(days=1)
MAX_PAGE = 100_000
PAGE = re.compile(r"[0-9]{1,6}")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "status": STATUSES,
    "urgency": tuple(URGENCIES),
    "source": SOURCES,
    "sort": tuple(SORTS),
}
_TEXTS = ("sku", "seller", "text")
_NAMES = ("status", "urgency", "sku", "source", "seller", "since", "until", "text", "sort", "page")


def _case(today_ms: Mapping[str, int], values: dict[str, Any]) -> str:
    """When the day of an order's marketplace ends, as SQL."""
    cases = []
    for nth, (marketplace, ends_ms) in enumerate(today_ms.items()):
        values[f"m{nth}"], values[f"e{nth}"] = marketplace, ends_ms
        cases.append(
            f"WHEN marketplace_id = :m{nth} THEN :e{nth}" if marketplace else f"ELSE :e{nth}"
        )
    cases.sort(reverse=True)  # WHEN before ELSE
    return f"(CASE WHEN 0 THEN 0 {' '.join(cases)} END)"


def read_day(text: str) -> date | None:
    """The day that a text names; None where it is none that another follows."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return None if day == date.max else day


def _midnight_ms(day: date) -> int:
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
