"""Deadlines: what is due next, what is overdue, and how late they were announced."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.web.index import Index
from services.dashboard.web.order import DEADLINE_NAMES
from services.dashboard.web.pages import page, parts_of
from services.dashboard.web.query import choice

SHOWN = 50
OVERDUE_MS = 2_000
"""Longer over than this, a deadline is overdue: until then its announcement is on its way."""
LATEST = 500
"""Announcements whose lateness is plotted."""


class Lateness(NamedTuple):
    """How late deadlines were announced, in business ms: half of them, nearly all, the worst."""

    n: int
    p50: int
    p99: int
    worst: int


async def deadlines(request: Request) -> Response:
    """The page, of all deadlines or of one kind."""
    parts = parts_of(request)
    index, now_ms = parts.index, parts.clock.now_ms()
    kind = choice(request.query_params, "kind", DEADLINE_NAMES, "")
    reached = latest(index, kind)
    return page(
        request,
        "deadlines.html",
        live=("order",),
        kind=kind,
        kinds=kinds(index),
        names=DEADLINE_NAMES,
        overdue=open_(index, kind, 0, now_ms - OVERDUE_MS),
        following=open_(index, kind, now_ms - OVERDUE_MS, 2**62),
        lateness=lateness([row["late_ms"] for row in reached]),
        reached=reached,
    )


def kinds(index: Index) -> Sequence[Any]:
    """How many deadlines of each kind are open, and when the next one is due."""
    return index.ask(
        "SELECT kind, waits_by, count(*) AS n, min(due_ms) AS next_ms FROM waits"
        " GROUP BY kind, waits_by ORDER BY next_ms"
    )


def open_(index: Index, kind: str, since_ms: int, before_ms: int) -> Sequence[Any]:
    """Open deadlines due in a span, the first ones."""
    return index.ask(
        "SELECT * FROM waits WHERE due_ms >= :since AND due_ms < :before AND :kind IN ('', kind)"
        " ORDER BY due_ms, order_id LIMIT :most",
        since=since_ms,
        before=before_ms,
        kind=kind,
        most=SHOWN,
    )


def latest(index: Index, kind: str) -> Sequence[Any]:
    """The deadlines that were announced last, the oldest first."""
    found = index.ask(
        "SELECT * FROM reached WHERE :kind IN ('', kind) ORDER BY due_ms DESC LIMIT :most",
        kind=kind,
        most=LATEST,
    )
    return found[::-1]


def lateness(late_ms: Sequence[int]) -> Lateness:
    """The quantiles of some latenesses."""
    ordered = sorted(late_ms) or [0]
    n = len(ordered)
    return Lateness(len(late_ms), ordered[n // 2], ordered[n * 99 // 100], ordered[-1])
