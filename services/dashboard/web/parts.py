"""What the pages are made with: put together once per process, handed to every handler."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from services.dashboard.accounts import Accounts
from services.dashboard.sessions import Sessions
from services.dashboard.store import Views
from services.dashboard.web.follower import Follower
from services.dashboard.web.index import Index
from shared.clock import Timeline, from_ms, to_ms
from shared.decode import Record
from shared.events.envelope import Fact, Topic
from shared.policy import Policies

SOON_MS = timedelta(hours=1) // timedelta(milliseconds=1)
"""A hold that ends within this is on the overview."""


class Clock(Protocol):
    """The business clock, as pages need it."""

    @property
    def timeline(self) -> Timeline: ...

    def now_ms(self) -> int: ...

    def wall_ms(self) -> int: ...


class Records(Protocol):
    """Looks up single records in Kafka."""

    async def record(self, topic: str, partition: int, offset: int) -> Record | None:
        """One record, None where it is not there any more; TransientError while Kafka is away."""


class Word(NamedTuple):
    """A fact that is told: its event's id and subject."""

    id: str
    subject: str
    fact: Fact


class Desk(Protocol):
    """Takes what operators do, for Kafka."""

    async def say_all(
        self, topic: Topic, words: Sequence[Word], *, source: str, time: datetime
    ) -> None:
        """Tell facts of several subjects; TransientError while Kafka is away."""

    async def say(
        self, topic: Topic, fact: Fact, *, id_: str, source: str, subject: str, time: datetime
    ) -> None:
        """Tell a fact; TransientError while Kafka is away."""

    async def send(self, record: Record) -> int:
        """Send a record as it is, to its topic and partition, and say its offset there;
        TransientError while Kafka is away.
        """


class Standing(Protocol):
    """How far the services are, as Kafka knows it."""

    @property
    def services(self) -> "Mapping[str, tuple[Progress, ...]]": ...


@dataclass(frozen=True)
class Progress:
    """How far a service is with a partition: records behind, and since when it stands still."""

    partition: int
    behind: int
    moved_ms: int


class Listeners:
    """Who waits for news, to show it: each has a queue that holds at most one wake-up.

    `told` counts the news: by it a page knows that some came before it listened.
    """

    def __init__(self) -> None:
        self.told = 0
        self._waiting: dict[asyncio.Queue[None], frozenset[str]] = {}

    def tell(self, changed: Collection[str]) -> None:
        """Wake those who wait for one of these subjects, or for any of their kind."""
        self.told += 1
        kinds = {what.partition(" ")[0] for what in changed}
        heard = {*changed, *kinds}
        for queue, wanted in self._waiting.items():
            if (
                wanted & heard or "everything" in heard or "everything" in wanted
            ) and queue.empty():
                queue.put_nowait(None)

    def listen(self, wanted: Collection[str]) -> asyncio.Queue[None]:
        """A queue that gets a wake-up for each of these."""
        queue: asyncio.Queue[None] = asyncio.Queue(maxsize=1)
        self._waiting[queue] = frozenset(wanted)
        return queue

    def leave(self, queue: asyncio.Queue[None]) -> None:
        """Wake it no more."""
        self._waiting.pop(queue, None)

    def __len__(self) -> int:
        return len(self._waiting)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All of them."""

    index: Index
    views: Views
    follower: Follower
    clock: Clock
    policies: Policies
    accounts: Accounts
    sessions: Sessions
    records: Records
    desk: Desk
    standing: Standing
    listeners: Listeners = field(default_factory=Listeners)

    @property
    def now(self) -> datetime:
        return from_ms(self.clock.now_ms())

    def today_ms(self) -> dict[str, int]:
        """When the running day of each marketplace ends, under "" that of all without a policy."""
        now = self.now
        policies = {"": self.policies.default, **self.policies.by_marketplace}
        return {
            name: to_ms(policy.calendar.end_of_day(policy.calendar.local_date(now)))
            for name, policy in policies.items()
        }
