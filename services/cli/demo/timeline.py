"""An order's timeline: what happened, on which topic it was said, and the rule (R22)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from services.cli.demo.seen import Seen, Told
from services.cli.demo.words import since, words_of
from shared.events.fulfillment import Order
from shared.events.notices import NoticeRequested
from shared.events.topics import FROM_OUTSIDE, TOPICS

SHOWN_LATE = 2
"""Notices of a run of late ones that are shown, one to the seller and one to the buyer; the others
are counted."""

_RANKS = {topic.name: rank for rank, topic in enumerate(TOPICS)}
_OUTSIDE = {topic.name for topic in FROM_OUTSIDE}


class Row(NamedTuple):
    """A line of a timeline; `late` where it is one of many notices of the same kind."""

    when: str
    words: str
    topic: str
    rule: str
    late: bool = False


def in_causal_order(facts: Iterable[Told]) -> list[Told]:
    """An order's facts, by their time; at the same instant the cause before what it led to.

    They lie on several topics, so offsets tell the order only within one.
    """
    facts = tuple(facts)
    by_id = {told.event.id: told for told in facts}

    def depth(told: Told) -> int:
        cause = by_id.get(told.event.causationid or "")
        return 1 + depth(cause) if cause else 0

    return sorted(facts, key=lambda t: (t.event.time, depth(t), _RANKS[t.topic], t.offset))


def timeline(order: Order, seen: Seen) -> list[Row]:
    """The rows of an order's timeline."""
    return list(_folded(_rows(order, in_causal_order(seen.of(order.order_id)))))


def table(rows: Iterable[Row]) -> Table:
    """The rows as a table; what comes from outside is dim, the rules stand out."""
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column(no_wrap=True, style="bold magenta")
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, style="dim")
    for row in rows:
        grid.add_row(row.when, row.rule, _styled(row), row.topic)
    return grid


def _styled(row: Row) -> Text:
    return Text(row.words, style="yellow" if row.topic in _OUTSIDE else "")


def _rows(order: Order, facts: Sequence[Told]) -> Iterator[Row]:
    for told in facts:
        if line := words_of(told, order):
            when = since(told.event.time)
            yield Row(when, line.words, told.topic, line.rule, _is_late_notice(told))


def _is_late_notice(told: Told) -> bool:
    data = told.event.data
    return isinstance(data, NoticeRequested) and data.kind in ("late_shipment", "new_delivery_date")


def _folded(rows: Iterable[Row]) -> Iterator[Row]:
    """R12 repeats its notices daily: of a long run the first are shown, and how many followed."""
    for late, run in groupby(rows, key=lambda row: row.late):
        same = list(run)
        if not late or len(same) <= 2 * SHOWN_LATE:
            yield from same
            continue
        yield from same[:SHOWN_LATE]
        more = len(same) - SHOWN_LATE
        words = f"… {more} more notices, daily a new date"
        yield same[-1]._replace(when=f"… {same[-1].when.rpartition(' ')[0]}", words=words)
