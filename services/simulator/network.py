"""The way from a process to a server in memory: requests and replies are late, or lost.

A request on its way arrives whether its sender still lives or not: what a dead worker or a zombie
had sent may still take effect.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from services.simulator.fate import Fate

T = TypeVar("T")

USUAL_MS, SLOW_MS = (0, 1, 4), (80, 900, 7_000)
"""How long a request or a reply takes at most, drawn anew each time. Slow reaches beyond the time
limit of a trip to Redis."""
LOST_S = 6.0
"""What is lost is known to be so after this: longer than a trip to Redis is waited for."""


class Way(Protocol):
    """How a process' requests come to a server."""

    async def ask(self, do: Callable[[int], T], parts: int = 1) -> T:
        """Have the server do something at one instant, and wait for its reply.

        `do` is called with how many of the `parts` of the request have arrived.
        """


class Beside:
    """The way of one who looks at a server's memory: nothing is late, or lost."""

    async def ask(self, do: Callable[[int], T], parts: int = 1) -> T:
        return do(parts)


class Server:
    """What processes talk to: Kafka, or a Redis. `away`: it answers nobody.

    `error` makes what a client raises of a sentence about an outage.
    """

    def __init__(self, name: str, fate: Fate, error: Callable[[str], Exception]) -> None:
        self.name = name
        self.fate = fate
        self.away = False
        self._error = error

    def come_back(self) -> None:
        """Answer again."""
        self.away = False

    async def ask(self, do: Callable[[int], T], parts: int = 1) -> T:
        """As `Way.ask`; raises what `error` makes of an outage or a loss, done or not."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[T] = loop.create_future()
        if self.fate.strikes("request lost", self.name):
            loop.call_later(LOST_S, self._fail, reply)
        else:
            loop.call_later(self._way_s(), self._arrive, do, parts, reply)
        return await reply

    def _arrive(self, do: Callable[[int], T], parts: int, reply: "asyncio.Future[T]") -> None:
        loop = asyncio.get_running_loop()
        if self.away:
            loop.call_later(self._way_s(), self._fail, reply)
        elif parts > 1 and self.fate.strikes("trip cut", self.name):
            do(self.fate.random.randrange(parts))
            loop.call_later(self._way_s(), self._fail, reply)
        else:
            done = do(parts)
            if self.fate.strikes("reply lost", self.name):
                loop.call_later(LOST_S, self._fail, reply)
            else:
                loop.call_later(self._way_s(), _resolve, reply, done)

    def _way_s(self) -> float:
        slow = self.fate.strikes("slow", self.name)
        return self.fate.seconds(*(SLOW_MS if slow else USUAL_MS))

    def _fail(self, reply: "asyncio.Future[T]") -> None:
        if not reply.done():
            reply.set_exception(self._error(f"{self.name} does not answer"))


def _resolve(reply: "asyncio.Future[T]", done: T) -> None:
    if not reply.done():
        reply.set_result(done)
