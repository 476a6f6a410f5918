"""How far business time may run: a slow machine gets a slow clock, not other stories.

It runs on a lease: it stands still by itself a little beyond the last instant at which everybody
was seen at rest, with nothing to decide, to say or to answer. Who sees everybody at rest again
before that lets it run on, so on a fast machine it never stands still. However slow or stuck
somebody is, this process included: nobody has had more business time than a lease for what he had
to do.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.clock import GEARED_LEAD_S, Step, Timeline, from_ms, to_ms

LEASE_MS = 900
"""Wall time beyond the last rest: at a day per second less than a day, the shortest time that a
story depends on (an answer to a request for money, two notices of R12)."""

RENEWED_BY_MS = 150
"""A lease is made longer by at least so much: each time every process learns of two new steps. That
leaves 500 ms to find the next rest in."""

MARGIN_MS = 50
"""For a step's way to Redis: one that is written in time begins where the lease ends."""

POLL_S = 0.01
"""Between two looks at whether all is at rest; one takes some 8 ms."""


class Clock(Protocol):
    """Knows and sets business time, as `BusinessClock` does."""

    @property
    def timeline(self) -> Timeline: ...
    @property
    def certain_until_ms(self) -> int: ...
    def wall_ms(self) -> int: ...
    async def run_until(self, rate: int, business_ms: int) -> Step: ...


@dataclass(frozen=True)
class CertainClock:
    """Business time as far as it is certain here: on a busy machine a step may have begun of which
    this process has not heard, and who speaks by the time before it speaks of the future.
    """

    clock: Clock

    def now(self) -> datetime:
        wall_ms = min(self.clock.wall_ms(), self.clock.certain_until_ms)
        return from_ms(self.clock.timeline.business_ms(wall_ms))


class Company(Protocol):
    """All who have something to do: services, actors, and the payment provider."""

    async def at_rest(self, *, calls: bool) -> bool:
        """Whether they have done it; without `calls`, the provider may owe answers."""

    async def rest(self, *, calls: bool) -> None:
        """Wait until they have."""


class Pace:
    """Lets business time pass, from where it stands still.

    `waits` counts how often it has stood still for somebody.
    """

    def __init__(self, clock: Clock, company: Company, stands: Step) -> None:
        self.waits = 0
        self._clock = clock
        self._certain = CertainClock(clock)
        self._company = company
        self._ends = stands

    async def let_pass(self, rate: int, until: datetime, *, calls: bool = True) -> None:
        """Let business time run at this rate until then; return when that is written."""
        while to_ms(until) - self._ends.business_ms >= rate:
            rested_ms = await self._rested(rate, calls=calls)
            ends_ms = min(rested_ms + rate * LEASE_MS, to_ms(until))
            self._ends = await self._clock.run_until(rate, ends_ms)

    async def stand(self) -> None:
        """Wait until the present lease has ended."""
        await asyncio.sleep(max(0, self._ends.wall_ms - self._clock.wall_ms()) / 1000)

    async def _rested(self, rate: int, *, calls: bool) -> int:
        """When everybody was at rest, in business ms: in time for a longer lease, or at its end."""
        running = self._clock.wall_ms() < self._ends.wall_ms
        too_late_ms = self._ends.wall_ms - round(GEARED_LEAD_S * 1000) - MARGIN_MS
        longer_ms = self._ends.business_ms - rate * (LEASE_MS - RENEWED_BY_MS)
        while self._clock.wall_ms() < too_late_ms:
            now_ms = to_ms(self._certain.now())
            if now_ms >= longer_ms and await self._company.at_rest(calls=calls):
                return now_ms
            await asyncio.sleep(POLL_S)
        self.waits += running
        await self.stand()
        await self._company.rest(calls=calls)
        return self._ends.business_ms
