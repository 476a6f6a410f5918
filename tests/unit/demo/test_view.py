"""The screen of a run fits its terminal, and shows what lies on the topics."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console

from services.cli.demo import stories
from services.cli.demo.script import OPENING
from services.cli.demo.seen import Seen
from services.cli.demo.stories import STORIES
from services.cli.demo.timeline import timeline
from services.cli.demo.view import Frame, progress, screen
from shared.clock import Step, Timeline, from_ms, to_ms
from tests.support.theatre import Records, seen_in

WALL_MS = to_ms(OPENING) + 7_000
"""The wall clock has its own time; what counts are differences."""
NOON = OPENING + timedelta(days=2, hours=7)


def frame(rate: int = 86_400) -> Frame:
    timeline = Timeline((Step(WALL_MS, to_ms(NOON), rate),))
    return Frame(NOON, "a day per second", 42.4, timeline, WALL_MS)


@pytest.fixture
def early(records: Records) -> Seen:
    """What had been said by noon of day 2."""
    return seen_in(record for record in records if from_ms(record.timestamp) <= NOON)


def lines(seen: Seen, width: int, height: int, now: Frame | None = None) -> list[str]:
    shown = StringIO()
    console = Console(file=shown, width=width, height=height)
    console.print(screen(now or frame(), seen, STORIES, width, height), height=height)
    return shown.getvalue().splitlines()


@pytest.mark.parametrize("size", [(120, 45), (100, 36), (80, 40), (80, 24), (60, 20), (200, 60)])
@pytest.mark.parametrize("full", [True, False])
def test_it_fills_its_terminal_and_no_more(early: Seen, size: tuple[int, int], full: bool) -> None:
    width, height = size

    shown = lines(early if full else Seen(), width, height)

    assert len(shown) == height
    assert max(map(len, shown)) <= width


def test_a_deadline_beyond_what_the_clock_may_run_by_now_counts_down_in_the_present_gear() -> None:
    now = frame()
    leased = now.timeline.then(Step(WALL_MS + 900, to_ms(NOON) + 900 * 86_400, 0))

    assert replace(now, timeline=leased).seconds_to(NOON + timedelta(days=3)) == 3
    assert frame(rate=0).seconds_to(NOON + timedelta(days=3)) is None
    assert now.seconds_to(NOON - timedelta(days=3)) == 0


def test_the_screen_counts_days_from_where_timelines_do(seen: Seen) -> None:
    order = seen.orders[stories.DELAYED.orders[0].order_id]
    last = timeline(order, seen)[-1]

    assert f"{last.when} {last.words}" in "\n".join(lines(seen, 200, 60))


def test_it_shows_clock_gear_statuses_stock_notices_deadlines_and_stories(early: Seen) -> None:
    shown = "\n".join(lines(early, 120, 45))

    for part in (
        "Wed 03 Mar 23:00  business time, day 2 07:00   a day per second",
        "orders 15",
        "a second 42",
        "Unshipped         3",
        "Shipped           7",
        "LANTERN-LAST                   0",
        "✉ buyer: arrives by day 9",
        "✓  The card is declined, silently",
        "●  A late seller, two new dates",
        "ship by      day 2 07:59",
        "3 orders",
    ):
        assert part in shown, f"{part!r} is not in\n{shown}"


def test_a_deadline_counts_down_in_wall_time_and_not_while_the_clock_stands(early: Seen) -> None:
    (running,) = [line for line in lines(early, 120, 45) if "ship by  " in line]
    (standing,) = [line for line in lines(early, 120, 45, frame(0)) if "ship by  " in line]

    assert "0.0 s" in running  # an hour at a day per second
    assert " s " not in standing.partition("07:59")[2].partition("orders")[0]


def test_a_low_screen_keeps_statuses_deadlines_and_stories(early: Seen) -> None:
    shown = "\n".join(lines(early, 80, 24))

    assert "Pending 0   Unshipped 3   PartiallyShipped 0   Shipped 7   Canceled 5" in shown
    assert "deadlines" in shown
    assert all(story.title in shown for story in STORIES)


def test_a_run_in_one_line_is_plain_text(early: Seen) -> None:
    line = progress(frame(), early, STORIES)

    assert line.startswith("day 2 07:00  15 orders: 0 Pending, 3 Unshipped, ")
    assert line.endswith("of 14 stories done")
    assert line.isprintable()
