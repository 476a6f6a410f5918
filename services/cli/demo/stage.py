"""A run: the clock, the actors and the ears, from the opening until all is at rest."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.cli.demo.cast import Cast
from services.cli.demo.pace import Pace
from services.cli.demo.script import DAY, HOUR, Errand, Script
from services.cli.demo.seen import Seen
from services.cli.demo.tap import ALL, Tap
from services.cli.observer import Observer, observe
from services.cli.producer import Producer
from services.cli.provider_server import ProviderServer
from services.cli.server import HOST
from shared.clock import GEARED_LEAD_S, BusinessClock, Step, from_ms, to_ms
from shared.errors import RefusedStart, TransientError
from shared.events.topics import FROM_OUTSIDE
from shared.kafka import reader_of
from shared.log_reader import LogReader
from shared.settings import Settings

OPENING = datetime(2027, 3, 1, 16, tzinfo=UTC)
"""A Monday without holidays near: which days are working days changes dates and with them stories,
so every run has the same."""

FIRST_HOUR, FIRST_RATE = HOUR, 180
LAST_DAY, LATER_RATE = 32 * DAY, 86_400
"""Day 30 cancels what was never confirmed (R13); two days later all of that is done."""

GEARS = {FIRST_RATE: "an hour in 20 s", LATER_RATE: "a day per second", 0: "the clock stands still"}

MAX_BEHIND_MS = 500
"""Of the services, before business time waits for them: twice what a machine with other things to
do comes to (p99 250 ms), and with the lead of a step still below a second, the shortest time that a
story depends on (a day, between two notices of R12)."""

REST_LIMIT_S = 60.0
"""For what is on its way when the clock stops: some 100 ms on an idle machine."""

POLL_S = 0.02
"""Between two looks at the clock and at what is behind: some 30 minutes of business time in the
fastest gear, well below what services may be behind (MAX_BEHIND_MS)."""

_SOURCES = {
    "orders": "storefront",
    "payments": "gateway",
    "shipments": "sellers",
    "tracking": "carrier",
    "stock": "warehouse",
}


@dataclass(frozen=True)
class Stage:
    """What is open during a run; `opened` is set once the business clock is."""

    clock: BusinessClock
    cast: Cast
    seen: Seen
    tap: Tap
    pace: Pace
    observer: Observer
    producers: Sequence[Producer]
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def gear(self) -> str:
        """The present gear in words."""
        rate = self.clock.timeline.rate_at(self.clock.wall_ms())
        return GEARS.get(rate, f"{rate} x wall time")

    async def play(self) -> None:
        """Fill the shelves, let a month pass, and wait until all has come to its end.

        Business time stands still at the opening until the shelves are full. Raises TransientError
        if coming to rest takes too long, RefusedStart if somebody has set the clock before.
        """
        await self._begun(await self.clock.begin(to_ms(OPENING), 0))
        self.opened.set()
        await self._rest()
        self.pace.restart()
        await self._let_pass(FIRST_RATE, OPENING + FIRST_HOUR)
        await self._let_pass(LATER_RATE, OPENING + LAST_DAY)
        await self._begun(await self.clock.stop())
        await self._rest()

    async def _let_pass(self, rate: int, until: datetime) -> None:
        """Run at this rate, and return when a step that is written then begins at `until`.

        Time stands still for services that can not keep up, until they have.
        """
        step = await self.clock.shift(rate)
        while not await self._keeps_up(step, until):
            self.pace.waits += 1
            await self._begun(await self.clock.stop())
            await self._rest()
            self.pace.restart()
            step = await self.clock.shift(rate)

    async def _keeps_up(self, step: Step, until: datetime) -> bool:
        """Wait for that, or for services that fall behind."""
        passes_ms = (to_ms(until) - step.business_ms) // step.rate
        ends_ms = step.wall_ms + passes_ms - round(GEARED_LEAD_S * 1000)
        while self.clock.wall_ms() < ends_ms:
            if self.pace.behind_ms() > MAX_BEHIND_MS:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _begun(self, step: Step) -> None:
        await self._sleep_until(step.wall_ms)
        await self.clock.refresh()

    async def _sleep_until(self, wall_ms: int) -> None:
        await asyncio.sleep(max(0, wall_ms - self.clock.wall_ms()) / 1000)

    async def _rest(self) -> None:
        """Wait until actors and services have nothing left to do at this instant."""
        deadline_s = time.monotonic() + REST_LIMIT_S
        while time.monotonic() < deadline_s:
            said = self.cast.said
            for producer in self.producers:
                await producer.flush()
            await self.observer.rest.wait_for_rest(REST_LIMIT_S)
            ends = await self.observer.reader.ends(ALL)
            if self.tap.reached(ends) and self.cast.idle() and self.cast.said == said:
                return
            await asyncio.sleep(POLL_S)
        raise TransientError(f"the actors are not at rest after {REST_LIMIT_S:g} s")


@dataclass(frozen=True)
class CertainClock:
    """Business time as far as it is certain here: on a busy machine a step may have begun of which
    this process has not heard, and who speaks by the time before it speaks of the future.
    """

    clock: BusinessClock

    def now(self) -> datetime:
        wall_ms = min(self.clock.wall_ms(), self.clock.certain_until_ms)
        return from_ms(self.clock.timeline.business_ms(wall_ms))


@dataclass(frozen=True)
class Desk:
    """Where the payment provider of a run is found, on 127.0.0.1, and with which token."""

    port: int
    token: str

    def environment(self) -> dict[str, str]:
        """What the payment service is told of it."""
        return {
            "PAYMENT_PROVIDER_URL": f"http://{HOST}:{self.port}",
            "PAYMENT_PROVIDER_TOKEN": self.token,
        }


@asynccontextmanager
async def open_stage(
    settings: Settings, desk: Desk, scripts: Sequence[Script], errands: Iterable[Errand]
) -> AsyncIterator[Stage]:
    """Connect everything; raises RefusedStart where Kafka holds somebody's events already."""
    servers = settings.kafka_bootstrap_servers
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(observe(settings))
        await _check_empty(observer.reader, servers)
        producers = {
            topic.name: await stack.enter_async_context(
                Producer(servers, _SOURCES[topic.name], [topic])
            )
            for topic in FROM_OUTSIDE
        }
        consumer = reader_of(servers)
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        cast = Cast(scripts, errands, OPENING, CertainClock(observer.clock), producers)
        provider = ProviderServer(desk.token, cast.tell, otherwise="defers")
        for script in scripts:
            for operation, answers in script.provider.items():
                provider.plan(script.order_id, operation, *answers)
        await stack.enter_async_context(provider.serving(desk.port))
        seen = Seen(provider.ledger)
        pace = Pace(observer.clock, seen)
        yield Stage(
            clock=observer.clock,
            cast=cast,
            seen=seen,
            tap=Tap(consumer, observer.reader.partitions, seen, (cast.hear, pace.hear)),
            pace=pace,
            observer=observer,
            producers=tuple(producers.values()),
        )


async def _check_empty(reader: LogReader, servers: str) -> None:
    ends = await reader.ends(ALL)
    if used := sorted({topic for (topic, _), end in ends.items() if end}):
        raise RefusedStart(
            f"Kafka at {servers} holds events already, on {', '.join(used)}",
            "The demo needs a Kafka and a Redis of its own: unset KAFKA_BOOTSTRAP_SERVERS and "
            "REDIS_URL, and it starts them",
        )
