"""Calls to the outside: what a committed fact asks of others is performed until it is answered.

A fact whose type a service names in `calls` stores a pending call in its own commit
(`shared/partition_store.py`), under its id, which is the idempotency key. Once the fact is
published, too, the caller of the process performs it, some calls at a time. The answer is one more
input of the partition, in memory, and the commit that decides it removes the pending call. So a
call is performed at least once, always with the same key, and its answer decided exactly once:
whoever claims the partition goes on with what is pending, and a zombie's commit is refused.

An answer that is *unknown* (too late, an error, a connection lost, a bug of ours) says nothing
about what was done: it is decided as such, once, and the call performed again, until its own
deadline.
"""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import structlog
from pydantic_core import from_json

from shared.batch import Input
from shared.errors import TransientError
from shared.events.envelope import Event, Fact, derived_id
from shared.service import Call, Received
from shared.tracing import Traces

MAX_AT_ONCE = 32
"""Calls of one process that are on their way at the same time: at 200 ms each 160 a second, and
few enough for the limits that providers set. The others wait their turn, the oldest first."""
TRY_TIMEOUT_S = 15.0
"""Of wall time, for one try: providers wait up to 10 s for the bank behind them."""
AGAIN_MIN_S = 1.0
AGAIN_MAX_S = 300.0
"""After an unknown answer a call is performed again in 1, 2, 4 … s: soon where one reply was lost,
every 5 minutes where the outside is away for hours."""

CALL_STEPS = ("calling", "answered")
"""The named points of a try: before the outside hears of it, and when its answer is in hand."""

_log = structlog.get_logger()


@dataclass
class PendingCall:
    """A call that has no final answer yet: its fact, and how far this process is with it."""

    event: Event[Any]
    wait_s: float = 0.0
    """Before it is performed next."""
    told: bool = False
    """Whether the partition was told that the answer is unknown."""


class Bug(NamedTuple):
    """A bug of ours about a call, in performing it or in deciding its answer: nothing else shows
    it, the call is only performed again.
    """

    what: str
    call: Event[Any]
    error: BaseException | str


def log_bug(bug: Bug) -> None:
    """What a running service does with a bug about a call."""
    if isinstance(bug.error, BaseException):
        _log.error(bug.what, **_named(bug.call), exc_info=bug.error)
    else:
        _log.error(bug.what, **_named(bug.call), error=bug.error)


def _named(call: Event[Any]) -> dict[str, str]:
    """What every line about a call says of it."""
    return {"order": call.subject, "event_id": call.id, "type": call.type}


class Asker(Protocol):
    """Whose calls they are: a partition task."""

    @property
    def pending(self) -> Container[str]:
        """The ids of its pending calls; of a task that has ended there are none."""

    def offer_answer(self, answer: Input) -> None:
        """Hand over an answer; a call that it does not end is pursued again once it is decided."""


class Clock(Protocol):
    """Knows business time."""

    def now(self) -> datetime: ...


class _Turn(NamedTuple):
    """When a call is performed next, in seconds of the running loop."""

    at_s: float
    nth: int
    call: PendingCall
    asker: Asker


class Caller:
    """Performs the calls of all partitions of one process, MAX_AT_ONCE at a time.

    `hear` is told of each bug, `traces` of each call that was answered for good.
    """

    def __init__(
        self,
        calls: Mapping[type[Fact], Call],
        clock: Clock,
        step: Callable[[str], Awaitable[None]],
        again_max_s: float = AGAIN_MAX_S,
        *,
        hear: Callable[[Bug], None] = log_bug,
        traces: Traces | None = None,
    ) -> None:
        self.hear = hear
        self._traces = traces
        self._calls = calls
        self._models = {fact.TYPE: Event[fact] for fact in calls}  # type: ignore[valid-type]
        self._clock = clock
        self._step = step
        self._again_max_s = again_max_s
        self._turns: list[_Turn] = []
        self._numbers = itertools.count()
        self._come = asyncio.Event()
        self._choosing = asyncio.Lock()

    def read(self, value: bytes) -> PendingCall | None:
        """A call as it was stored; None for one that this process does not know how to perform."""
        model = self._models.get(from_json(value)["type"])
        return None if model is None else PendingCall(model.model_validate_json(value))

    def pursue(self, call: PendingCall, asker: Asker) -> None:
        """Perform a call: at once the first time, later and later after that."""
        now_s = asyncio.get_running_loop().time()
        turn = _Turn(now_s + call.wait_s, next(self._numbers), call, asker)
        call.wait_s = min(call.wait_s * 2 or AGAIN_MIN_S, self._again_max_s)
        heapq.heappush(self._turns, turn)
        self._come.set()

    async def run(self) -> None:
        """Perform what is to be performed, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_AT_ONCE):
                group.create_task(self._perform_turns())

    async def _perform_turns(self) -> None:
        while True:
            turn = await self._next()
            call, asker = turn.call, turn.asker
            if call.event.id not in asker.pending:
                continue
            await self._step("calling")
            began_s = asyncio.get_running_loop().time()
            trying = asyncio.ensure_future(self._try(call))
            try:
                await asyncio.wait([trying])
            finally:
                trying.cancel()
            if bug := trying.exception():
                self.hear(Bug("performing a call failed", call.event, bug))
            answer = None if bug else trying.result()
            if self._traces is not None and answer is not None and answer.final:
                self._traces.call(call.event, asyncio.get_running_loop().time() - began_s)
            await self._step("answered")
            if call.event.id not in asker.pending:
                continue  # the task ended meanwhile: whoever opens next asks again
            if answer is None:
                self.pursue(call, asker)
            else:
                asker.offer_answer(answer)

    async def _next(self) -> _Turn:
        """The next turn, when its time has come; one at a time waits for it."""
        loop = asyncio.get_running_loop()
        async with self._choosing:
            while True:
                wait_s = self._turns[0].at_s - loop.time() if self._turns else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._turns)
                self._come.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._come.wait()

    async def _try(self, call: PendingCall) -> Input | None:
        """Perform a call once: its answer, None for an unknown one that changes nothing more."""
        how, event = self._calls[type(call.event.data)], call.event
        try:
            async with asyncio.timeout(TRY_TIMEOUT_S):
                answer = await how.perform(event)
        except TimeoutError:
            why = f"no answer within {TRY_TIMEOUT_S:g} s"
        except TransientError as error:
            why = str(error)
        except Exception as bug:  # noqa: BLE001 - the outside is asked again, or given up
            self.hear(Bug("performing a call failed", event, bug))
            why = type(bug).__name__
        else:
            return self._answer(call, answer, final=True)
        _log.warning("a call has no answer", **_named(event), why=why)
        if self._clock.now() >= how.until(event):
            return self._answer(call, how.given_up(event, why), final=True)
        if call.told or how.unknown is None:
            return None
        call.told = True
        return self._answer(call, how.unknown(event, why), final=False)

    def _answer(self, call: PendingCall, fact: Fact, *, final: bool) -> Input:
        asked, now = call.event, self._clock.now()
        event = Event[Any](
            id=answer_id(asked.id, final=final),
            source=f"{asked.source}/calls",
            type=fact.TYPE,
            subject=asked.subject,
            time=now,
            correlationid=asked.correlationid,
            causationid=asked.id,
            traceparent=asked.traceparent,
            data=fact,
        )
        return Input(Received(event, now), call=asked.id, final=final)


def answer_id(call_id: str, *, final: bool) -> str:
    """The id of the answer to a call, or of its being unknown: whoever asks again gets the same."""
    return derived_id(call_id, "calls", "answer" if final else "unknown", "", 0)
