"""What a run looks like while it goes on: a screen, or a line now and then where there is none."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, islice

from rich.console import Group, JustifyMethod, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.cli.demo.seen import Seen
from services.cli.demo.story import Story
from services.cli.demo.timeline import in_causal_order
from services.cli.demo.verdict import differences
from services.cli.demo.words import notice, since, words_of
from shared.clock import Timeline
from shared.events.notices import NOTICES

STATUSES: Mapping[str, str] = {
    "Pending": "yellow",
    "Unshipped": "cyan",
    "PartiallyShipped": "blue",
    "Shipped": "green",
    "Canceled": "red",
}
"""In the order of an order's life, with their colours."""

WIDE = 110
"""Columns from which on order ids are shown beside what happened to them."""
LOW = 36
"""Lines; below it stock and the bars are left out."""
STOCK_WIDTH = 40
"""Columns in which every SKU can be read."""

URGENT_S = 1.0
"""Wall time from which on a deadline is shown in red."""

_FRAME, _HEADER = 2, 4
_KINDS = {
    "pending_too_long": "pending",
    "ship_by": "ship by",
    "cancel_warning": "warning",
    "shipment_unconfirmed": "unconfirmed",
    "cancel_unanswered": "answer",
    "package_lost": "lost",
    "return_overdue": "return",
}
"""Kinds of deadlines, in a word."""


@dataclass(frozen=True)
class Frame:
    """An instant of a run. `now` is business time, `wall_ms` what it is on the wall."""

    now: datetime
    gear: str
    facts_per_s: float
    timeline: Timeline
    wall_ms: int

    def seconds_to(self, due: datetime) -> float | None:
        """Wall seconds until then in the present gear; None while the clock stands still."""
        rate = self.timeline.rate_at(self.wall_ms)
        return max(timedelta(), due - self.now).total_seconds() / rate if rate else None


def progress(frame: Frame, seen: Seen, stories: Sequence[Story]) -> str:
    """The run in one line."""
    by_status = seen.statuses()
    statuses = ", ".join(f"{by_status[status]} {status}" for status in STATUSES)
    as_told = sum(not differences(story, seen) for story in stories)
    return (
        f"{since(frame.now)}  {len(seen.orders)} orders: {statuses} | "
        f"{seen.counts[NOTICES.name]} notices, {len(seen.waiting())} deadlines open, "
        f"{seen.total} facts | {as_told} of {len(stories)} stories done"
    )


def screen(
    frame: Frame, seen: Seen, stories: Sequence[Story], width: int, height: int
) -> RenderableType:
    """The run as a screen of so many columns and lines; on a low one statuses are a line."""
    low = height < LOW
    header_height = _HEADER + low
    stories_height = min(len(stories) + _FRAME, height - header_height - _FRAME)
    top_height = len(STATUSES) + 1 + _FRAME
    bottom_height = height - header_height - stories_height - (0 if low else top_height)
    deadlines_height = bottom_height if low else top_height
    deadlines = Layout(_deadlines(frame, seen, deadlines_height - _FRAME, width), ratio=3)
    ours = {script.order_id for story in stories for script in story.orders}
    notices = Layout(_notices(seen, bottom_height - _FRAME, width, ours), ratio=4)

    top, bottom = Layout(size=top_height, visible=not low), Layout()
    top.split_row(Layout(_statuses(seen, width), ratio=2), deadlines)
    if low:
        bottom.split_row(deadlines, notices)
    else:
        bottom.split_row(
            Layout(
                _stock(seen, stories, bottom_height - _FRAME), ratio=3, minimum_size=STOCK_WIDTH
            ),
            notices,
        )
    layout = Layout()
    layout.split_column(
        Layout(_header(frame, seen, low), size=header_height),
        top,
        bottom,
        Layout(_stories(seen, stories), size=stories_height),
    )
    return layout


def _header(frame: Frame, seen: Seen, with_statuses: bool) -> Panel:
    clock = Text.assemble(
        (f"{frame.now:%a %d %b %H:%M}", "bold"),
        ("  business time, ", "dim"),
        (since(frame.now), "bold cyan"),
        "   ",
        (frame.gear, "magenta"),
    )
    counts = {
        "orders": len(seen.orders),
        "facts": seen.total,
        "a second": round(frame.facts_per_s),
        "notices": seen.counts[NOTICES.name],
        "dead letters": seen.dead_letters.total(),
    }
    lines = [clock, _listed(counts, {})]
    if with_statuses:
        by_status = seen.statuses()
        lines.append(_listed({status: by_status[status] for status in STATUSES}, STATUSES))
    return Panel(Group(*lines), title="orderflow demo", title_align="left", border_style="blue")


def _listed(counts: Mapping[str, int], colours: Mapping[str, str]) -> Text:
    pairs = (
        Text.assemble((f"{name} ", colours.get(name, "dim")), (str(count), "bold"))
        for name, count in counts.items()
    )
    line = Text("   ").join(pairs)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _statuses(seen: Seen, width: int) -> Panel:
    by_status = seen.statuses()
    most = max(by_status.values(), default=0) or 1
    room = max(4, width * 2 // 5 - 30)
    grid = _grid("left", "right", "left", elastic=2)
    for status, colour in STATUSES.items():
        bar = "█" * -(-by_status[status] * room // most)
        grid.add_row(status, Text(str(by_status[status]), "bold"), Text(bar, colour))
    return _panel("orders by status", grid)


def _deadlines(frame: Frame, seen: Seen, rows: int, width: int) -> Panel:
    waiting = seen.waiting()
    grid = _grid("left", "left", "right", "left", elastic=3)
    for (due, kind), run in islice(groupby(waiting, key=lambda each: each[:2]), max(0, rows)):
        orders = [each.subject for each in run]
        wall_s = frame.seconds_to(due)
        urgency = "bold red" if wall_s is not None and wall_s < URGENT_S else "bold"
        shown = "-" if wall_s is None else f"{wall_s:.1f} s"
        alone = orders[0] if width >= WIDE else ""
        whose = f"{len(orders)} orders" if len(orders) > 1 else alone
        grid.add_row(_KINDS.get(kind, kind), since(due), Text(shown, urgency), Text(whose, "dim"))
    return _panel(f"deadlines: {len(waiting)} open, the next", grid)


def _stock(seen: Seen, stories: Iterable[Story], rows: int) -> Panel:
    """The stories' shelves, those that changed last where there is no room for all."""
    grid = _grid("left", "right", "right", "right", elastic=0)
    grid.add_row(*(Text(name, "dim") for name in ("SKU", "avail.", "held", "on hand")))
    ours = {f"{story.seller_id}/{story.sku}" for story in stories}
    levels = [level for subject, level in seen.levels.items() if subject in ours]
    for level in islice(reversed(levels), max(0, rows - 2)):
        available = Text(str(level.available), "bold red" if level.available == 0 else "bold")
        grid.add_row(level.sku, available, str(level.reserved), str(level.on_hand))
    levels = [*seen.levels.values()]
    grid.add_row(
        Text(f"all {len(levels)} SKUs", "dim"),
        str(sum(level.available for level in levels)),
        str(sum(level.reserved for level in levels)),
        str(sum(level.on_hand for level in levels)),
    )
    return _panel("stock, the newest change first", grid)


def _notices(seen: Seen, rows: int, width: int, ours: Container[str]) -> Panel:
    grid = _grid("left", "left", "left", elastic=1)
    for told in list(seen.notices)[-rows:] if rows > 0 else ():
        subject = told.event.subject
        grid.add_row(
            Text(since(told.event.time), "cyan"),
            Text(notice(told.event.data), "bold" if subject in ours else ""),
            Text(subject if width >= WIDE else "", "dim"),
        )
    return _panel("notices, the newest last", grid)


def _stories(seen: Seen, stories: Sequence[Story]) -> Panel:
    grid = _grid("left", "left", "left", "left", elastic=3)
    for story in stories:
        orders = [seen.orders[s.order_id] for s in story.orders if s.order_id in seen.orders]
        state = Text(" + ").join(Text(o.status, STATUSES[o.status]) for o in orders)
        done = bool(orders) and not differences(story, seen)
        mark = Text("✓", "bold green") if done else Text("●" if orders else "·", "yellow")
        grid.add_row(mark, story.title, state, Text(_latest(seen, story), "dim"))
    return _panel("stories", grid)


def _latest(seen: Seen, story: Story) -> str:
    """The latest thing that happened in a story."""
    facts = [told for script in story.orders for told in seen.of(script.order_id)]
    for told in reversed(in_causal_order(facts)):
        order = seen.orders.get(told.event.subject)
        if order and (line := words_of(told, order)):
            return f"{since(told.event.time)} {line.words}"
    return ""


def _grid(*justify: JustifyMethod, elastic: int) -> Table:
    """Columns of fixed width but one, which takes the rest and gives way first."""
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for nth, side in enumerate(justify):
        grid.add_column(no_wrap=True, justify=side, overflow="ellipsis")
        if nth == elastic:
            grid.columns[nth].ratio = 1
    return grid


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="dim", padding=(0, 1))
