"""Shows a run while it goes on."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live

from services.cli.demo.stage import Stage
from services.cli.demo.story import Story
from services.cli.demo.view import Frame, progress, screen

FRAME_S = 0.16
"""Six pictures a second; at a day per second each is four hours later than the last."""

LINE_S = 1.0
"""Between two lines where there is no screen."""

RATE_S = 1.0
"""Facts per second are those of the last second."""


async def show(stage: Stage, stories: Sequence[Story], console: Console) -> None:
    """Show the run, for ever: as a screen where the console is a terminal, else as lines."""
    await stage.opened.wait()
    if console.is_terminal and not console.is_dumb_terminal:
        await _screens(stage, stories, console)
    await _lines(stage, stories, console)


async def _screens(stage: Stage, stories: Sequence[Story], console: Console) -> None:
    totals: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            now_s = time.monotonic()
            totals.append((now_s, stage.seen.total))
            while totals[0][0] < now_s - RATE_S:
                totals.popleft()
            rate = (totals[-1][1] - totals[0][1]) / RATE_S
            width, height = console.size
            picture = screen(_frame(stage, rate), stage.seen, stories, width, height)
            live.update(picture, refresh=True)
            await asyncio.sleep(FRAME_S)


async def _lines(stage: Stage, stories: Sequence[Story], console: Console) -> None:
    while True:
        console.print(progress(_frame(stage), stage.seen, stories), soft_wrap=True)
        await asyncio.sleep(LINE_S)


def _frame(stage: Stage, facts_per_s: float = 0) -> Frame:
    return Frame(
        now=stage.clock.now(),
        gear=stage.gear,
        facts_per_s=facts_per_s,
        timeline=stage.clock.timeline,
        wall_ms=stage.clock.wall_ms(),
    )
