"""The business clock: one for all services, and the only place that reads wall time.

Wall time is the `TIME` of one Redis. Business time is a record there of steps (wall, business,
rate); each begins at a wall instant that is still ahead when it is written, so that everybody
knows it in time, and business time never goes back. In production nothing is written: business
time is wall time. Demos and tests change gear, jump or stop, and months pass through the same
code in minutes. All instants are whole milliseconds since 1970 UTC.

Business time: events, documents, deadlines. Wall time: Kafka's timestamps, `PXAT`, time-outs.
`Timeline` translates where the two meet.
"""

import asyncio
import math
import time
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from shared.errors import RefusedStart, TransientError
from shared.redis import Script, connect

REFRESH_S = 0.5
"""At rate 1 nothing is urgent: this costs a worker two trips a second."""

LEAD_S = 2.0
"""A step that leaves rate 1 begins this long after it is written: four refreshes."""

GEARED_REFRESH_S = 0.05
"""In gear, business time is precious: at a day per second this is 1.2 hours."""

GEARED_LEAD_S = 0.2
"""The same for a step in gear: four refreshes then. A replay of two years jumps from day to day,
and waits this long each time."""

MAX_STEPS = 20_000
"""Two hours of jumping without a pause, and about 2 MB in Redis and in each worker."""

MAX_RATE = 86_400_000
"""A day per millisecond; beyond that a clock has no instants left between the days."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_MS: Final = timedelta(milliseconds=1)
_RECORD: Final = "clock:steps"

_READ = Script(Path(__file__).with_name("clock_read.lua"))
_SHIFT = Script(Path(__file__).with_name("clock_shift.lua"))
_BEGIN = Script(Path(__file__).with_name("clock_begin.lua"))

_log = structlog.get_logger()


def to_ms(instant: datetime) -> int:
    """Return an aware datetime as whole milliseconds since 1970 UTC, cut off, exactly."""
    return (instant - _EPOCH) // _ONE_MS


def from_ms(instant_ms: int) -> datetime:
    """Return milliseconds since 1970 UTC as an aware UTC datetime, exactly."""
    return _EPOCH + instant_ms * _ONE_MS


END_MS: Final = to_ms(datetime(9000, 1, 1, tzinfo=UTC))
"""A forgotten demo's clock stops here: dates computed from business time must stay in the
calendar, which ends in 9999."""


def fresh_token() -> str:
    """Return what nobody has had before: 32 hex digits. For fences, never for decisions."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Step:
    """From `wall_ms` on, business time is `business_ms` and runs `rate` times as fast as wall."""

    wall_ms: int
    business_ms: int
    rate: int

    def at(self, wall_ms: int) -> int:
        """Return the business ms at `wall_ms`, at or after this step's own, while it holds."""
        return min(self.business_ms + (wall_ms - self.wall_ms) * self.rate, END_MS)


_WALL_OF = attrgetter("wall_ms")
_BUSINESS_OF = attrgetter("business_ms")


@dataclass(frozen=True, slots=True)
class Timeline:
    """All known steps, oldest first: translates between wall time and business time.

    Before its first step business time runs at rate 1. Both translations never go back, and at
    rate 1 they are exact inverses.
    """

    steps: tuple[Step, ...] = (Step(wall_ms=0, business_ms=0, rate=1),)

    def then(self, *steps: Step) -> "Timeline":
        """Return this timeline with `steps` after it, without those beyond MAX_STEPS ago.

        Raises RefusedStart if time would go back: then the record was not written by `shift`.
        """
        if not steps:
            return self
        last = self.steps[-1]
        for step in steps:
            if step.wall_ms <= last.wall_ms or step.business_ms < last.at(step.wall_ms):
                problem = f"The business clock goes back: {step} after {last}"
                raise RefusedStart(problem, f"Repair {_RECORD!r} in the clock's Redis")
            last = step
        return Timeline((*self.steps, *steps)[-MAX_STEPS:])

    def since(self, step: Step) -> tuple[Step, ...]:
        """Return that step, if it is known, and all after it."""
        return self.steps[bisect_left(self.steps, step.wall_ms, key=_WALL_OF) :]

    @property
    def geared(self) -> bool:
        """Whether the last step leaves business time running otherwise than wall time."""
        return self.steps[-1].rate != 1

    def business_ms(self, wall_ms: int) -> int:
        """Return the business ms at the wall instant `wall_ms`."""
        step = self._step_at(wall_ms)
        if step is None:
            first = self.steps[0]
            return first.business_ms - (first.wall_ms - wall_ms)
        return step.at(wall_ms)

    def wall_ms(self, business_ms: int) -> int | None:
        """Return the first wall ms at which business time is `business_ms` or later.

        None if no known step leads there: the clock is stopped before it.
        """
        steps = self.steps
        after = bisect_left(steps, business_ms, key=_BUSINESS_OF)
        if after == 0:
            return steps[0].wall_ms - (steps[0].business_ms - business_ms)
        before = steps[after - 1]
        reached = None
        if before.rate and business_ms <= END_MS:
            reached = before.wall_ms + -((before.business_ms - business_ms) // before.rate)
        if after == len(steps):
            return reached
        jumped = steps[after].wall_ms
        return jumped if reached is None else min(reached, jumped)

    def rate_at(self, wall_ms: int) -> int:
        """Return how many business ms pass per wall ms at the wall instant `wall_ms`."""
        step = self._step_at(wall_ms)
        return 1 if step is None else step.rate

    def _step_at(self, wall_ms: int) -> Step | None:
        last = self.steps[-1]
        if wall_ms >= last.wall_ms:  # nearly every question is about now
            return last
        after = bisect_right(self.steps, wall_ms, key=_WALL_OF)
        return self.steps[after - 1] if after else None


@dataclass(frozen=True, slots=True)
class WallEstimate:
    """How far Redis' wall time is from this process's monotonic one, rather late than early.

    A trip tells that Redis was at an instant somewhere between sending and receiving. The lower
    bound of that is the estimate, until a quicker trip raises it; a slow one teaches nothing.
    An estimate above the upper bound is void: Redis' clock was set back, or drifts.
    """

    offset_ms: float

    @classmethod
    def of(
        cls, before: "WallEstimate | None", sent_ms: float, wall_ms: float, received_ms: float
    ) -> "WallEstimate":
        """Return the estimate after a trip; `sent_ms` and `received_ms` are monotonic."""
        low, high = wall_ms - received_ms, wall_ms - sent_ms
        if before is not None and low <= before.offset_ms <= high:
            return before
        return cls(low)

    def wall_ms(self, monotonic_ms: float) -> int:
        """Return Redis' wall ms at a monotonic instant after the trip."""
        return math.floor(monotonic_ms + self.offset_ms)


class BusinessClock:
    """The clock as a process sees it: what `redis` (CLOCK_REDIS_URL) said last, and when.

    Await `refresh()` once, then let `run()` keep it fresh.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._trip = asyncio.Lock()
        self._timeline = Timeline()
        self._recorded = False  # whether the timeline's steps come from the record
        self._changed = asyncio.Event()
        self._estimate: WallEstimate | None = None
        self._seen_at_ms = 0

    @property
    def timeline(self) -> Timeline:
        """The steps known now; see `certain_until_ms`."""
        return self._timeline

    @property
    def certain_until_ms(self) -> int:
        """The wall ms up to which no unknown step can begin: before it, `timeline` is right."""
        lead_s = GEARED_LEAD_S if self._timeline.geared else LEAD_S
        return self._seen_at_ms + round(lead_s * 1000)

    @property
    def changed(self) -> asyncio.Event:
        """Is set when the timeline changes, and then makes room for a new one.

        Take it, use the timeline, then wait for it: so no change is missed.
        """
        return self._changed

    async def refresh(self) -> None:
        """Learn wall time and new steps in one trip; raises TransientError."""
        await self._look()

    async def read(self) -> int:
        """Return the business ms of this instant, asked for now: never ahead of the true one.

        P5: what is due by it is due. Raises TransientError.
        """
        wall_ms = await self._look()  # first: it may bring the timeline that holds then
        return self._timeline.business_ms(wall_ms)

    def wall_ms(self) -> int:
        """Return the wall time of Redis, estimated: late by at most a trip's time."""
        if self._estimate is None:
            raise RuntimeError("await clock.refresh() before asking it")
        return self._estimate.wall_ms(time.monotonic() * 1000)

    def now_ms(self) -> int:
        """Return the business time, estimated as `wall_ms` is."""
        return self._timeline.business_ms(self.wall_ms())

    def now(self) -> datetime:
        """Return `now_ms` as an aware UTC datetime."""
        return from_ms(self.now_ms())

    def describe(self) -> str:
        """Return one line about the clock, for logs and health."""
        wall_ms = self.wall_ms()
        business_ms, rate = self._timeline.business_ms(wall_ms), self._timeline.rate_at(wall_ms)
        if business_ms == wall_ms and rate == 1:
            return "business time is wall time"
        pace = f"runs {rate} x wall time" if rate else "stands still"
        return f"business time is {from_ms(business_ms).isoformat(timespec='seconds')}, {pace}"

    async def run(self) -> None:
        """Keep the clock fresh until cancelled; an outage of its Redis is waited out."""
        away = False
        while True:
            try:
                await self.refresh()
            except TransientError as error:
                if not away:
                    _log.warning("business clock out of reach", error=str(error))
                away = True
            else:
                if away:
                    _log.info("business clock back in reach", clock=self.describe())
                away = False
            await asyncio.sleep(GEARED_REFRESH_S if self._timeline.geared else REFRESH_S)

    async def shift(self, rate: int, *, jump_to_ms: int | None = None) -> Step:
        """Write a step to `rate` that begins LEAD_S (in gear GEARED_LEAD_S) from now; return it.

        With `jump_to_ms`, business time is at least that when it begins; it never goes back, so
        a jump to what is over is none, and repeating a shift whose reply was lost does no harm.
        Raises TransientError (the step may be written), ValueError for a rate or an instant out
        of range.
        """
        earliest_ms = 0 if jump_to_ms is None else jump_to_ms
        if not 0 <= rate <= MAX_RATE or not 0 <= earliest_ms <= END_MS:
            raise ValueError(f"no step to rate {rate}, instant {jump_to_ms}")
        return await self._write(rate, earliest_ms, rate)

    async def run_until(self, rate: int, business_ms: int) -> Step:
        """Write a step to `rate` as `shift` does, and the step that ends it: return this one.

        So business time stands still at `business_ms` at the latest, or after one wall ms, whatever
        becomes of who wrote it; a step that is written in time lets it run on. Raises as `shift`
        does.
        """
        if not 0 < rate <= MAX_RATE or not 0 <= business_ms <= END_MS:
            raise ValueError(f"no run at rate {rate}, to instant {business_ms}")
        return await self._write(rate, 0, 0, business_ms)

    async def begin(self, business_ms: int, rate: int) -> Step:
        """Let business time begin at an instant of one's choice, LEAD_S from now.

        Only where no step was ever written, and for a system that has seen no event yet: a replay
        of history begins in the past. Raises RefusedStart where the record is not empty.
        """
        wall = await _BEGIN(self._redis, [_RECORD], (business_ms, rate, round(LEAD_S * 1000)))
        if wall is None:
            problem = "The business clock has begun already, and never goes back"
            raise RefusedStart(problem, "Use a Redis of its own for a replay, or wipe this one")
        return Step(wall_ms=int(wall), business_ms=business_ms, rate=rate)

    async def stop(self) -> Step:
        """Let business time stand still: `shift(0)`."""
        return await self.shift(0)

    async def _write(self, rate: int, earliest_ms: int, last_rate: int, *ends_ms: int) -> Step:
        """Append a step, and one that ends it if that is asked for; return the last."""
        leads_ms = round(LEAD_S * 1000), round(GEARED_LEAD_S * 1000)
        args = (rate, earliest_ms, *leads_ms, MAX_STEPS, END_MS, *ends_ms)
        wall, business = await _SHIFT(self._redis, [_RECORD], args)
        step = Step(wall_ms=int(wall), business_ms=int(business), rate=last_rate)
        _log.debug("business clock shifts", step=step)
        return step

    async def _look(self) -> int:
        """Make the trip, take over what it says, and return Redis' wall ms."""
        async with self._trip:
            last = self._timeline.steps[-1] if self._recorded else None
            wall_ms, steps = await self._fetch(last)
            if last is not None and steps[:1] != (last,):
                _log.warning("the business clock's record was replaced: reading it anew")
                last = None
                wall_ms, steps = await self._fetch(None)
            self._seen_at_ms = wall_ms
            self._recorded = bool(steps)
            known = self._timeline if last else Timeline(steps[:1]) if steps else Timeline()
            self._adopt(known.then(*steps[1:]))
            return wall_ms

    def _adopt(self, timeline: Timeline) -> None:
        if timeline is self._timeline or timeline == self._timeline:
            return
        self._timeline = timeline
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _fetch(self, last: Step | None) -> tuple[int, tuple[Step, ...]]:
        """Return Redis' wall ms and the record's steps from `last` on, or all."""
        since = "-" if last is None else f"{last.wall_ms}-0"
        sent_ms = time.monotonic() * 1000
        seconds, micros, entries = await _READ(self._redis, [_RECORD], [since])
        wall_us = int(seconds) * 1_000_000 + int(micros)
        received_ms = time.monotonic() * 1000
        self._estimate = WallEstimate.of(self._estimate, sent_ms, wall_us / 1000, received_ms)
        return wall_us // 1000, tuple(_step(entry) for entry in entries)


@asynccontextmanager
async def clock_at(url: str) -> AsyncIterator[BusinessClock]:
    """The clock that lies in the Redis at `url` (CLOCK_REDIS_URL), refreshed once.

    Raises TransientError where that is away.
    """
    redis = connect(url)
    try:
        clock = BusinessClock(redis)
        await clock.refresh()
        yield clock
    finally:
        await redis.aclose()


def _step(entry: list[Any]) -> Step:
    """Read an entry of the stream as `clock_shift.lua` writes it."""
    entry_id, (_, business_ms, _, rate) = entry
    return Step(int(entry_id.partition(b"-")[0]), int(business_ms), int(rate))
