"""A run: the clock, the actors and the ears, from the opening until all is at rest."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from services.cli.demo.cast import Cast
from services.cli.demo.pace import CertainClock, Pace
from services.cli.demo.script import DAY, HOUR, OPENING, Errand, Script
from services.cli.demo.seen import Seen
from services.cli.demo.tap import ALL, Tap
from services.cli.observer import Observer, observe
from services.cli.producer import Producer
from services.cli.provider_server import ProviderServer
from services.cli.server import HOST
from shared.clock import BusinessClock, to_ms
from shared.errors import RefusedStart, TransientError
from shared.events.topics import FROM_OUTSIDE
from shared.kafka import Servers, reader_of, servers_of
from shared.log_reader import LogReader
from shared.settings import Settings

FIRST_HOUR, FIRST_RATE = HOUR, 180
LAST_DAY, LATER_RATE = 32 * DAY, 86_400
"""Day 30 cancels what was never confirmed (R13); two days later all of that is done."""

GEARS = {FIRST_RATE: "an hour in 20 s", LATER_RATE: "a day per second", 0: "the clock stands still"}

REST_LIMIT_S = 60.0
"""For what is on its way when the clock stops: some 100 ms on an idle machine."""

POLL_S = 0.005
"""Between two looks at actors that are not at rest."""

_SOURCES = {
    "orders": "storefront",
    "payments": "gateway",
    "shipments": "sellers",
    "tracking": "carrier",
    "stock": "warehouse",
}


@dataclass(frozen=True)
class Everybody:
    """All who have something to do at an instant: actors and services, seen from outside."""

    cast: Cast
    tap: Tap
    observer: Observer
    producers: Sequence[Producer]

    async def at_rest(self, *, calls: bool) -> bool:
        """Whether nobody has; where Kafka or Redis can not be asked, somebody may."""
        said = self.cast.said
        try:
            for producer in self.producers:
                await producer.flush()
            return await self.observer.rest.at_rest(calls=calls) and await self._heard_all(said)
        except TransientError:
            return False

    async def rest(self, *, calls: bool = True) -> None:
        """Wait for that; raises TransientError after REST_LIMIT_S."""
        deadline_s = time.monotonic() + REST_LIMIT_S
        while not await self.at_rest(calls=calls):
            if time.monotonic() >= deadline_s:
                busy = [str(lag) for lag in await self.observer.rest.lag() if not lag.still]
                todo = "; ".join(busy) or "the actors"
                raise TransientError(f"not at rest after {REST_LIMIT_S:g} s: {todo}")
            await asyncio.sleep(POLL_S)

    async def _heard_all(self, said: int) -> bool:
        """Whether all was read that lies on the topics, and nothing follows from it now."""
        ends = await self.observer.reader.ends(ALL)
        return self.tap.reached(ends) and self.cast.idle() and self.cast.said == said


@dataclass(frozen=True)
class Stage:
    """What is open during a run; `opened` is set once the business clock is."""

    clock: BusinessClock
    everybody: Everybody
    seen: Seen
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def gear(self) -> str:
        """The present gear in words."""
        rate = self.clock.timeline.rate_at(self.clock.wall_ms())
        return GEARS.get(rate, f"{rate} x wall time")

    async def play(self) -> int:
        """Fill the shelves, let a month pass, and wait until all has come to its end; how often
        business time stood still meanwhile for who could not keep up.

        Business time stands still at the opening until the shelves are full. In the first hour the
        provider may be silent, as in a story: what is asked of it then waits for minutes, or days.
        Raises TransientError if coming to rest takes too long, RefusedStart if somebody has set the
        clock before.
        """
        stands = await self.clock.begin(to_ms(OPENING), 0)
        pace = Pace(self.clock, self.everybody, stands)
        await pace.stand()
        await self.clock.refresh()
        self.opened.set()
        await self.everybody.rest()
        await pace.let_pass(FIRST_RATE, OPENING + FIRST_HOUR, calls=False)
        await pace.let_pass(LATER_RATE, OPENING + LAST_DAY)
        await pace.stand()
        await self.clock.refresh()
        await self.everybody.rest()
        return pace.waits


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
    servers = servers_of(settings)
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(observe(settings))
        await _check_empty(observer.reader, servers)
        producers = await open_producers(stack, servers)
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
        tap = Tap(consumer, observer.reader.partitions, seen, (cast.hear,))
        everybody = Everybody(cast, tap, observer, tuple(producers.values()))
        yield Stage(observer.clock, everybody, seen)


async def open_producers(stack: AsyncExitStack, servers: Servers) -> dict[str, Producer]:
    """A producer for each topic from outside, by its name, until the stack is closed."""
    return {
        topic.name: await stack.enter_async_context(
            Producer(servers, _SOURCES[topic.name], [topic])
        )
        for topic in FROM_OUTSIDE
    }


async def _check_empty(reader: LogReader, servers: Servers) -> None:
    ends = await reader.ends(ALL)
    if used := sorted({topic for (topic, _), end in ends.items() if end}):
        raise RefusedStart(
            f"Kafka at {servers} holds events already, on {', '.join(used)}",
            "The demo needs a Kafka and a Redis of its own: unset KAFKA_BOOTSTRAP_SERVERS and "
            "REDIS_URL, and it starts them",
        )
