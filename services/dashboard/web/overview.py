"""The overview: what there is, what is late, what is wrong, and how far the services are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.web.filters import STATUSES, Filter
from services.dashboard.web.index import Index
from services.dashboard.web.pages import page, parts_of
from services.dashboard.web.parts import SOON_MS
from services.dashboard.web.show import MINUTE_MS
from shared.retention import DAY_MS

MINUTES_SHOWN = 60
REFUSALS_SHOWN = 10
WINDOW_DAYS = 30
"""Seller metrics look back so far, as Amazon's do."""


class StatusLine(NamedTuple):
    """How many orders are in a status, and since when the oldest."""

    status: str
    n: int
    oldest_ms: int


class Metric(NamedTuple):
    """A seller metric: a share of orders or packages, and the target that it has to keep."""

    name: str
    part: int
    whole: int
    unit: str
    target: str
    kept: bool
    says: str


class Count(NamedTuple):
    """A number that somebody may have to act on, and where its list is."""

    name: str
    n: int
    address: str
    says: str


async def overview(request: Request) -> Response:
    """The page."""
    parts = parts_of(request)
    index, now_ms = parts.index, parts.clock.now_ms()
    return page(
        request,
        "overview.html",
        live=("order", "stock", "letters", "handled", "refused"),
        statuses=by_status(index),
        counts=counts(index, now_ms, parts.today_ms()),
        metrics=metrics(index, now_ms),
        minutes=per_minute(index, now_ms),
        refusals=latest_refusals(index),
        services=parts.standing.services,
    )


def by_status(index: Index) -> list[StatusLine]:
    """Orders by status, each with the oldest purchase; those without an order, too."""
    found = {
        row["status"]: StatusLine(row["status"], row["n"], row["oldest"])
        for row in index.ask(
            "SELECT status, count(*) AS n, min(purchase_ms) AS oldest FROM orders GROUP BY status"
        )
    }
    return [found.get(status, StatusLine(status, 0, 0)) for status in STATUSES]


def counts(index: Index, now_ms: int, today_ms: dict[str, int]) -> list[Count]:
    """What a person may have to act on."""

    def listed(name: str, urgency: str, says: str) -> Count:
        filter_ = Filter(urgency=urgency, sort="ship_by")
        where, values = filter_.where(now_ms, today_ms)
        sql = f"SELECT count(*) AS n FROM orders WHERE {where}"  # noqa: S608
        return Count(name, index.one(sql, **values)["n"], filter_.address(), says)

    holds = index.one(
        "SELECT count(*) AS n FROM waits WHERE kind = 'hold' AND due_ms < :soon",
        soon=now_ms + SOON_MS,
    )["n"]
    refused = index.one(
        "SELECT count(*) AS n FROM refused WHERE time_ms > :since", since=now_ms - DAY_MS
    )["n"]
    (letters,) = index.ask_lately("SELECT count(*) AS n FROM letters_now WHERE state = 'open'")
    return [
        listed("Late", "late", "past their ship-by date"),
        listed("Due today", "today", "late unless confirmed today"),
        listed("Near cancellation", "ending", "warned, and still unconfirmed"),
        listed("Cancel asked", "asked", "a buyer waits for the seller's answer"),
        listed("Returns open", "returns", "goods on their way back"),
        listed("Stuck", "stuck", "wait for what does not come"),
        Count("Holds ending", holds, "/deadlines?kind=hold", "within the hour"),
        Count("Refusals", refused, "#refusals", "in the last day"),
        Count("Dead letters", letters["n"], "/letters", "could not be handled"),
    ]


def metrics(index: Index, now_ms: int) -> list[Metric]:
    """What Amazon measures sellers by, over the last days."""
    (row,) = index.ask_lately(
        """
        SELECT
          sum(confirmed_ms >= :since) AS confirmed,
          sum(confirmed_ms >= :since AND confirmed_ms > ship_by_ms) AS late,
          sum(released_ms >= :since) AS released,
          sum(released_ms >= :since AND status = 'Canceled' AND canceled_by != 'BUYER') AS canceled,
          sum(CASE WHEN delivered_ms >= :since OR instr(stuck, 'package_lost')
              THEN packages ELSE 0 END) AS packages,
          sum(CASE WHEN delivered_ms >= :since OR instr(stuck, 'package_lost')
              THEN packages_seen ELSE 0 END) AS seen
        FROM orders WHERE was_seller = 1
        """,
        since=now_ms // MINUTE_MS * MINUTE_MS - WINDOW_DAYS * DAY_MS,
    )
    n = {name: row[name] or 0 for name in row.keys()}  # noqa: SIM118 - a Row is no mapping

    def below(name: str, part: int, whole: int, most: float, says: str) -> Metric:
        kept = not whole or 100 * part / whole < most
        return Metric(name, part, whole, "orders", f"below {most:g} %", kept, says)

    seen, packages = n["seen"], n["packages"]
    return [
        below(
            "Late shipment rate", n["late"], n["confirmed"], 4, "confirmed after the ship-by date"
        ),
        below(
            "Pre-fulfilment cancel rate",
            n["canceled"],
            n["released"],
            2.5,
            "canceled by seller or marketplace, not as the buyer asked",
        ),
        Metric(
            "Valid tracking",
            seen,
            packages,
            "packages",
            "95 % or more",
            not packages or 100 * seen / packages >= 95,
            "packages that the carrier reported, of those delivered or lost",
        ),
    ]


def per_minute(index: Index, now_ms: int) -> list[tuple[int, int, int, int]]:
    """Orders placed, shipped and canceled in each of the last minutes; (unix s, n, n, n)."""
    first = now_ms // MINUTE_MS - MINUTES_SHOWN + 1
    found: dict[str, dict[int, int]] = {}
    for name in ("purchase_ms", "confirmed_ms", "canceled_ms"):
        sql = (
            f"SELECT {name} / {MINUTE_MS} AS minute, count(*) AS n FROM orders"  # noqa: S608
            f" WHERE {name} >= :since AND {name} > 0 GROUP BY minute"
        )
        rows = index.ask(sql, since=first * MINUTE_MS)
        found[name] = {row["minute"]: row["n"] for row in rows}
    placed, shipped, canceled = found.values()
    return [
        (minute * 60, placed.get(minute, 0), shipped.get(minute, 0), canceled.get(minute, 0))
        for minute in range(first, first + MINUTES_SHOWN)
    ]


def latest_refusals(index: Index) -> Sequence[Any]:
    """What was refused last."""
    sql = "SELECT * FROM refused ORDER BY time_ms DESC LIMIT :most"
    return index.ask(sql, most=REFUSALS_SHOWN)
