"""The TTL keys follow the business clock, whatever its record says next."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from services.deadlines import clock as deadlines_clock
from services.deadlines.clock import keep_ttl_keys
from shared.clock import Step, Timeline
from shared.errors import TransientError
from shared.worker import Worker

STANDS = Timeline((Step(1_000, 5_000, 0),))


@dataclass
class Clock:
    """Says that it changed, as often as it is told to."""

    timeline: Timeline = STANDS
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def adopt(self, *steps: Step) -> None:
        self.timeline = self.timeline.then(*steps)
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()
        for _ in range(10):
            await asyncio.sleep(0)


class Keys:
    """The TTL keys of three partitions, set anew."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.rearmed: list[int] = []
        self.away = False
        monkeypatch.setattr(deadlines_clock, "rearm", self._rearm)
        self.worker = cast(Worker, self)
        self.tasks = dict.fromkeys(range(3))
        self.redis = None

    async def _rearm(self, _redis: Any, partition: int, timeline: Timeline) -> None:
        assert timeline is self.clock.timeline
        if self.away:
            raise TransientError("Redis is not available")
        self.rearmed.append(partition)

    async def after(self, *steps: Step) -> list[int]:
        """What is set anew when these steps become known together."""
        keeping = asyncio.create_task(keep_ttl_keys(self.worker))
        await asyncio.sleep(0)
        await self.clock.adopt(*steps)
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        return self.rearmed


@pytest.mark.asyncio
async def test_a_run_that_ends_by_itself_sets_the_keys_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, end = Step(2_000, 5_000, 180), Step(3_000, 185_000, 0)

    assert await Keys(monkeypatch).after(run, end) == [0, 1, 2]


@pytest.mark.asyncio
async def test_a_clock_that_jumps_and_stands_still_expires_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await Keys(monkeypatch).after(Step(2_000, 9_000, 0), Step(3_000, 10_000, 0)) == []


@pytest.mark.asyncio
async def test_an_outage_while_the_keys_are_set_anew_is_logged_once_and_the_next_gear_sets_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = Keys(monkeypatch)
    keys.away = True
    with capture_logs() as logs:
        assert await keys.after(Step(2_000, 5_000, 180)) == []
    keys.away = False

    assert await keys.after(Step(3_000, 185_000, 60)) == [0, 1, 2]
    assert logs == [
        {
            "event": "TTL keys go by the gear before",
            "error": "Redis is not available",
            "log_level": "warning",
        }
    ]
