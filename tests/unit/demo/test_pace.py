"""How far business time runs: on while everybody keeps up, and for nobody beyond his lease."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.cli.demo.pace import LEASE_MS, CertainClock, Clock, Pace
from services.cli.demo.script import OPENING
from services.cli.demo.stage import FIRST_RATE, LATER_RATE
from services.simulator.loop import VirtualLoop
from shared.clock import GEARED_LEAD_S, Step, Timeline, from_ms, to_ms

DAY_MS = 86_400_000
REQUEST_EVERY_MS = 70
UNTIL = OPENING + timedelta(days=5)


class Town:
    """A business clock in virtual time, and a provider who needs `answers_ms` for each request.

    Somebody asks something of it now and then; at rest is who owes no answer.
    """

    def __init__(self, answers_ms: Callable[[int], int]) -> None:
        self.stands = Step(0, to_ms(OPENING), 0)
        self.timeline = Timeline((self.stands,))
        self.longest_ms = 0
        self.asked = 0
        self._answers_ms = answers_ms
        self._owed: set[asyncio.Task[None]] = set()

    @property
    def certain_until_ms(self) -> int:
        return self.wall_ms() + round(GEARED_LEAD_S * 1000)

    def wall_ms(self) -> int:
        return cast(VirtualLoop, asyncio.get_running_loop()).now_ms()

    def now_ms(self) -> int:
        return self.timeline.business_ms(self.wall_ms())

    async def run_until(self, rate: int, business_ms: int) -> Step:
        last = self.timeline.steps[-1]
        wall_ms = max(self.wall_ms() + round(GEARED_LEAD_S * 1000), last.wall_ms + 1)
        ends_ms = wall_ms + max((business_ms - last.business_ms) // rate, 1)
        run = Step(wall_ms, last.business_ms, rate)
        ends = Step(ends_ms, run.at(ends_ms), 0)
        self.timeline = self.timeline.then(run, ends)
        return ends

    async def at_rest(self, *, calls: bool) -> bool:
        return not (calls and self._owed)

    async def rest(self, *, calls: bool) -> None:
        if calls and self._owed:
            await asyncio.wait(self._owed)

    async def ask(self) -> None:
        """Ask the provider for something again and again while business time passes."""
        while True:
            if self.timeline.rate_at(self.wall_ms()):
                request = asyncio.create_task(self._answer(self._answers_ms(self.asked)))
                self.asked += 1
                self._owed.add(request)
                request.add_done_callback(self._owed.discard)
            await asyncio.sleep(REQUEST_EVERY_MS / 1000)

    async def _answer(self, answers_ms: int) -> None:
        asked_ms = self.now_ms()
        await asyncio.sleep(answers_ms / 1000)
        self.longest_ms = max(self.longest_ms, self.now_ms() - asked_ms)


@dataclass
class Passed:
    """Some days that have passed in a town."""

    town: Town
    waits: int
    took_ms: int
    ended: bool


def days(answers_ms: Callable[[int], int], rate: int = LATER_RATE, *, calls: bool = True) -> Passed:
    town = Town(answers_ms)

    async def pass_() -> Passed:
        asking = asyncio.create_task(town.ask())
        pace = Pace(town, town, town.stands)
        await pace.let_pass(rate, UNTIL, calls=calls)
        await pace.stand()
        asking.cancel()
        ended = town.now_ms() + rate > to_ms(UNTIL)
        return Passed(town, pace.waits, town.wall_ms(), ended)

    return _in_virtual_time(pass_())


def _in_virtual_time(what: Coroutine[Any, Any, Passed]) -> Passed:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(what)
    finally:
        loop.close()


def test_time_passes_without_standing_still_while_everybody_keeps_up() -> None:
    passed = days(lambda _: 20)

    assert (passed.ended, passed.waits) == (True, 0)
    assert 5_000 < passed.took_ms < 5_300


@pytest.mark.parametrize("answers_ms", [900, 5_000])
def test_no_call_has_a_day_of_business_time_however_long_it_takes_on_the_wall(
    answers_ms: int,
) -> None:
    passed = days(lambda _: answers_ms)

    assert passed.ended
    assert passed.waits > 0
    assert passed.town.asked > 10
    assert passed.town.longest_ms <= LEASE_MS * LATER_RATE < DAY_MS


def test_one_slow_call_among_quick_ones_is_waited_for() -> None:
    passed = days(lambda nth: 3_000 if nth == 20 else 20)

    assert (passed.ended, passed.waits) == (True, 1)
    assert passed.town.longest_ms <= LEASE_MS * LATER_RATE


def test_a_provider_that_is_silent_in_a_story_holds_up_nothing() -> None:
    passed = days(lambda _: 10_000, calls=False)

    assert (passed.ended, passed.waits) == (True, 0)


def test_gears_follow_each_other_without_a_stop() -> None:
    town = Town(lambda _: 5)
    hour = timedelta(hours=1)

    async def pass_() -> Passed:
        pace = Pace(town, town, town.stands)
        await pace.let_pass(FIRST_RATE, OPENING + hour)
        await pace.let_pass(LATER_RATE, UNTIL)
        await pace.stand()
        return Passed(town, pace.waits, town.wall_ms(), True)

    passed = _in_virtual_time(pass_())

    assert passed.waits == 0
    gear = next(step for step in town.timeline.steps if step.rate == LATER_RATE)
    assert gear.business_ms == to_ms(OPENING + hour)
    assert town.timeline.business_ms(gear.wall_ms - 2) == gear.business_ms - FIRST_RATE


def test_nobody_speaks_by_a_time_that_a_step_unknown_here_may_have_ended() -> None:
    seen_ms = to_ms(OPENING)
    asleep = SimpleNamespace(
        timeline=Timeline((Step(seen_ms, seen_ms, LATER_RATE),)),
        wall_ms=lambda: seen_ms + 3_000,
        certain_until_ms=seen_ms + 200,
    )

    certain = CertainClock(cast(Clock, asleep))

    assert certain.now() == from_ms(seen_ms + 200 * LATER_RATE)
    asleep.certain_until_ms = seen_ms + 4_000
    assert certain.now() == OPENING + timedelta(days=3)
