"""How far the services are behind business time: a slow machine gets a slow clock, not other
stories.
"""

from typing import Protocol

from services.cli.demo.seen import Seen, Told
from shared.clock import Timeline, to_ms
from shared.events.topics import PUBLISHED

_OURS = {topic.name for topic in PUBLISHED}


class WallClock(Protocol):
    """Knows wall time, and how business time goes with it, as `BusinessClock` does."""

    @property
    def timeline(self) -> Timeline: ...
    def wall_ms(self) -> int: ...


class Pace:
    """Measures by what was read: how late facts come, and which deadline nobody has acted on.

    `waits` counts how often business time has stood still for the services.
    """

    def __init__(self, clock: WallClock, seen: Seen) -> None:
        self._clock = clock
        self._seen = seen
        self.waits = 0
        self._latest_ms = 0

    def hear(self, told: Told) -> None:
        """Take note of how late a fact of our services comes."""
        if told.topic in _OURS:
            self._latest_ms = max(self._latest_ms, self._ago_ms(to_ms(told.event.time)))

    def restart(self) -> None:
        """Forget how late facts came until now."""
        self._latest_ms = 0

    def behind_ms(self) -> int:
        """How far the services are behind, in wall ms: the worst since the last restart."""
        waiting = self._seen.waiting()
        overdue_ms = self._ago_ms(to_ms(waiting[0].due)) if waiting else 0
        return max(self._latest_ms, overdue_ms)

    def _ago_ms(self, business_ms: int) -> int:
        """How long ago on the wall that was; not above 0 if it is still to come."""
        then_ms = self._clock.timeline.wall_ms(business_ms)
        return 0 if then_ms is None else self._clock.wall_ms() - then_ms
