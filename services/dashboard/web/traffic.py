"""Traffic: orders and revenue by where they came from (R20); and policies in sentences (R24)."""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.web.index import Index
from services.dashboard.web.pages import page, parts_of
from services.dashboard.web.query import choice
from services.dashboard.web.show import MINUTE_MS
from shared.policy_sentences import sentences
from shared.retention import DAY_MS

SPANS = {"day": 1, "week": 7, "month": 30, "all": 0}
"""Days that the page looks back."""


class Source(NamedTuple):
    """One traffic source: its orders, and its revenue by currency, in minor units."""

    name: str
    n: int
    released: int
    canceled: int
    revenue: tuple[tuple[int, str], ...]


async def traffic(request: Request) -> Response:
    """The page of traffic sources."""
    parts = parts_of(request)
    span = choice(request.query_params, "span", SPANS, "month")
    minute_ms = parts.clock.now_ms() // MINUTE_MS * MINUTE_MS
    since = minute_ms - SPANS[span] * DAY_MS if SPANS[span] else 0
    sources = by_source(parts.index, since)
    return page(
        request,
        "traffic.html",
        live=("order",),
        sources=sources,
        total=sum(each.n for each in sources),
        span=span,
        spans=list(SPANS),
    )


def by_source(index: Index, since_ms: int) -> list[Source]:
    """Each source with its orders since a moment, the largest first."""
    found: dict[str, Source] = {}
    for row in index.ask_lately(
        """
        SELECT source, currency, count(*) AS n, sum(was_seller) AS released,
          sum(status = 'Canceled') AS canceled,
          sum(CASE WHEN was_seller = 1 AND status != 'Canceled' THEN total_minor END) AS minor
        FROM orders WHERE purchase_ms >= :since GROUP BY source, currency ORDER BY source, currency
        """,
        since=since_ms,
    ):
        known = found.get(row["source"], Source(row["source"], 0, 0, 0, ()))
        revenue = ((row["minor"], row["currency"]),) if row["minor"] else ()
        found[known.name] = Source(
            known.name,
            known.n + row["n"],
            known.released + row["released"],
            known.canceled + row["canceled"],
            known.revenue + revenue,
        )
    return sorted(found.values(), key=lambda each: -each.n)


async def policies(request: Request) -> Response:
    """The page of policies: what every field says, and where it differs from the default."""
    policies_ = parts_of(request).policies
    every = {"default": policies_.default, **policies_.by_marketplace}
    chosen = choice(request.query_params, "of", every, "default")
    return page(
        request,
        "policies.html",
        names=list(every),
        chosen=chosen,
        says=list(sentences(every[chosen])),
    )
