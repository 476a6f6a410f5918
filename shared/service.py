"""What a service is to the partition task: what it reads, how it decides, where its state lies.

A service author writes `decide` and `evolve` as pure functions on frozen values; the task does the
rest (`shared/partition.py`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple

from shared.decode import Reading
from shared.documents import Documents, S
from shared.events.envelope import Event, Fact, Topic
from shared.policy import Policies
from shared.redis import Script


class Received(NamedTuple):
    """An event as a decision sees it.

    `at` is when it reached the log, in business time; `answers` are the replies to the service's
    questions about it, one per entry of its `asks`, None where that asks nothing; `publisher` the
    service of ours that published and counts it, None for the outside; `origin` the topic
    and offset of its record, None for what arises in the task itself.
    """

    event: Event[Any]
    at: datetime
    answers: tuple[Any, ...] = ()
    publisher: str | None = None
    origin: tuple[str, int] | None = None


@dataclass(frozen=True)
class Park:
    """The verdict that an event came before what it is about: it waits for that until `until`."""

    until: datetime


class Question(NamedTuple):
    """A cross-order operation that an event demands by itself: one script call, safe to repeat.

    The script keeps its first answer, so that what comes again, from a replay, a zombie or a
    producer, finds it done. `read` makes the answer of the script's reply.
    """

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]
    read: Callable[[Any], Any]


class Told(NamedTuple):
    """A fact of a topic that tells of what crosses orders.

    `counts`: the journal tells of its commit, or, of one published in part, of its event; else that
    is decided again. `trimmed`: retention has deleted facts before it.
    """

    event: Event[Any]
    counts: bool = True
    trimmed: bool = False


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a fact of the service asks of the outside, once it is committed (`shared/calls.py`).

    `perform` makes one try and returns the answer, which is final; it raises TransientError where
    the answer is unknown. It may be called again with the same event, whose id is the idempotency
    key. `unknown` is what the first unknown answer says, None for nothing. An unknown answer at or
    after `until`, in business time, is the last one: `given_up` says so. Both are told why. `close`
    gives back what calls hold, several of them maybe the same, when their process ends.
    """

    perform: Callable[[Event[Any]], Awaitable[Fact]]
    until: Callable[[Event[Any]], datetime]
    given_up: Callable[[Event[Any], str], Fact]
    unknown: Callable[[Event[Any], str], Fact] | None = None
    close: Callable[[], Awaitable[None]] | None = None


Facts = Sequence[Fact]
Decide = Callable[[Any, Received, Policies], Facts | Park]
Evolve = Callable[[Any, Fact, datetime], Any]
"""(state, fact, the fact's time) -> state."""
Ask = Callable[[Event[Any], Policies], Question | None]
Reapply = Callable[[Event[Any]], Sequence[Question]]
AskAll = Callable[[Sequence[Question]], Awaitable[Sequence[Any]]]
"""The replies to questions, in their order, in one trip."""
Restore = Callable[[AsyncIterator[Sequence[Told]], AskAll], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """What crosses the orders of a service, in keys of a `pattern`, and how it is brought up to
    what was told where Redis has gone back; both ways are safe to repeat.

    `reapply` brings it up to a fact of the journal, `restore` to the facts of `topics`.
    """

    pattern: str
    reapply: Reapply
    restore: Restore | None = None
    topics: tuple[Topic, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Service(Generic[S]):
    """A service, as the partition task runs it.

    `asks` are the questions that it may have about an event, one of each; a batch asks all of its
    in one trip. Its facts go to the topic that lists them, `journal` or one of `publishes`; facts
    of neither only change its state. `calls` says which of the published ones ask something of the
    outside, and what; the answer is an event again. `snapshot` names the member of the data of its
    journal's facts that holds the state after them, for a state that is public.

    Redis can be rebuilt from the journal, where it is whole: where facts of no topic change the
    state, the inputs are decided again as well.
    """

    name: str
    reads: tuple[Reading, ...]
    journal: Topic
    publishes: tuple[Topic, ...] = ()
    decide: Decide
    evolve: Evolve
    documents: Documents[S]
    asks: tuple[Ask, ...] = ()
    calls: Mapping[type[Fact], Call] = field(default_factory=dict)
    snapshot: str | None = None
    whole_journal: bool = True
    crossing: Crossing | None = None
    topic_of: Mapping[type[Fact], Topic] = field(init=False, repr=False)
    publisher_of: Mapping[str, str | None] = field(init=False, repr=False)
    """By the name of a topic that it reads: who counts its facts, None where nobody does."""

    def __post_init__(self) -> None:
        topics = (*self.publishes, self.journal)
        topic_of = {fact: topic for topic in topics for fact in topic.facts}
        object.__setattr__(self, "topic_of", topic_of)
        topics_read = [reading.topic for reading in self.reads]
        publisher_of = {t.name: t.publisher if t.counted else None for t in topics_read}
        object.__setattr__(self, "publisher_of", publisher_of)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the topics that it reads."""
        return tuple(reading.topic.name for reading in self.reads)
