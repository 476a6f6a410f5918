"""A run is shown as a screen on a terminal, and as plain lines where there is none."""

import asyncio
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, cast

import pytest
from rich.console import Console

from services.cli.demo.live import show
from services.cli.demo.script import OPENING
from services.cli.demo.seen import Seen
from services.cli.demo.stage import Stage
from services.cli.demo.stories import STORIES
from shared.clock import Timeline

ALTERNATE_SCREEN, BACK = "\x1b[?1049h", "\x1b[?1049l"


class Clock:
    timeline = Timeline()

    def now(self) -> Any:
        return OPENING

    def wall_ms(self) -> int:
        return 0


@dataclass
class FakeStage:
    seen: Seen
    clock: Clock = field(default_factory=Clock)
    gear: str = "an hour in 20 s"
    opened: asyncio.Event = field(default_factory=asyncio.Event)


async def shown(seen: Seen, *, opened: bool = True, **console: Any) -> str:
    """What is shown within 50 ms, which is once."""
    out = StringIO()
    stage = FakeStage(seen)
    if opened:
        stage.opened.set()
    showing = show(cast(Stage, stage), STORIES, Console(file=out, **console))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(showing, timeout=0.05)
    return out.getvalue()


@pytest.mark.asyncio
async def test_a_terminal_gets_a_screen_and_its_own_back_at_the_end(seen: Seen) -> None:
    text = await shown(seen, force_terminal=True, width=100, height=40)

    assert text.startswith(ALTERNATE_SCREEN)
    assert "orders by status" in text
    assert text.rpartition(BACK)[1] == BACK
    assert ALTERNATE_SCREEN not in text.rpartition(BACK)[2]


@pytest.mark.asyncio
async def test_a_log_gets_plain_lines(seen: Seen) -> None:
    text = await shown(seen, force_terminal=False, width=40)

    (line,) = text.splitlines()
    assert line.startswith("day 0 00:00  15 orders: ")
    assert line.isprintable()


@pytest.mark.asyncio
@pytest.mark.parametrize("terminal", [True, False])
async def test_nothing_is_shown_before_business_time_has_opened(seen: Seen, terminal: bool) -> None:
    assert await shown(seen, opened=False, force_terminal=terminal) == ""
