"""A toy service on the partition task: it counts what it is told, per subject, and says so.

Two outside topics, so that a partition has several inputs. The sum, the count and the version per
subject tell whether any input was lost or applied twice. Each test has a toy of its own name, with
its own topics, group and keys; only the deadlines' and the dead letters' topics are shared.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from shared.decode import Reading
from shared.documents import Documents, State
from shared.events.deadlines import DEADLINES_EVENTS, DeadlineReached
from shared.events.envelope import Event, Fact, OpenDeadline, ServiceFact, Topic
from shared.events.fields import Instant
from shared.events.parking import TASK
from shared.policy import Policies
from shared.service import Call, Facts, Park, Received, Service

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
"""When it all happens, unless a test says otherwise."""


class Add(Fact):
    """Adds to a subject's sum."""

    TYPE: ClassVar[str] = "toy.add.v1"

    amount: int


class Bomb(Fact):
    """Deciding it fails: a bug."""

    TYPE: ClassVar[str] = "toy.bomb.v1"


class Fuse(Fact):
    """Comes too early unless something was added before; then deciding it fails."""

    TYPE: ClassVar[str] = "toy.fuse.v1"

    until: Instant


class Follow(Fact):
    """Comes too early unless something was added before."""

    TYPE: ClassVar[str] = "toy.follow.v1"

    until: Instant


class Wait(Fact):
    """Opens a deadline."""

    TYPE: ClassVar[str] = "toy.wait.v1"

    due: Instant


class Dial(Fact):
    """Has somebody outside called; an answer is waited for until then."""

    TYPE: ClassVar[str] = "toy.dial.v1"

    until: Instant


class Said(Fact):
    """What the outside answered to a call."""

    TYPE: ClassVar[str] = "toy.said.v1"

    words: str


class Silent(Fact):
    """The outside did not answer; it may have heard the call. `over`: it is called no more."""

    TYPE: ClassVar[str] = "toy.silent.v1"

    why: str
    over: bool


class Ignore(Fact):
    """Changes nothing."""

    TYPE: ClassVar[str] = "toy.ignore.v1"


class Added(ServiceFact):
    """The sum after an addition."""

    TYPE: ClassVar[str] = "toy.added.v1"

    amount: int
    total: int
    count: Annotated[int, Field(ge=0)]


class Followed(ServiceFact):
    """What came too early was decided; `count` is of the additions before it."""

    TYPE: ClassVar[str] = "toy.followed.v1"

    count: int


class Waiting(ServiceFact):
    """A deadline is open."""

    TYPE: ClassVar[str] = "toy.waiting.v1"

    due: Instant


class Reached(ServiceFact):
    """The deadline came; `count` is of the additions before it."""

    TYPE: ClassVar[str] = "toy.reached.v1"

    count: int


class Dialed(ServiceFact):
    """A call to the outside, to be performed."""

    TYPE: ClassVar[str] = "toy.dialed.v1"

    until: Instant


class Heard(ServiceFact):
    """What became of a call; `count` is of what was heard."""

    TYPE: ClassVar[str] = "toy.heard.v1"

    what: str
    count: int


class Note(Fact):
    """Goes to another topic than the journal."""

    TYPE: ClassVar[str] = "toy.note.v1"

    total: int


class Sum(State):
    """The toy's state."""

    total: int = 0
    count: int = 0
    heard: int | None = None


class ToyTopics(NamedTuple):
    """The topics that one toy owns."""

    left: Topic
    right: Topic
    events: Topic
    notes: Topic


def topics(name: str = "toy") -> ToyTopics:
    """The topics of the toy of this name."""
    return ToyTopics(
        Topic(name=f"{name}-left", facts=(Add, Bomb, Fuse, Follow, Wait, Dial, Ignore), owner=name),
        Topic(name=f"{name}-right", facts=(Add,), owner=name),
        Topic(
            name=f"{name}.events",
            facts=(Added, Followed, Waiting, Reached, Dialed, Heard, *TASK),
            publisher=name,
        ),
        Topic(name=f"{name}-notes", facts=(Note,), publisher=name),
    )


def decide(state: Sum | None, received: Received, _policies: Policies) -> Facts | Park:
    now = state or Sum()
    match received.event.data:
        case Add(amount=amount):
            total = now.total + amount
            return [Added(amount=amount, total=total, count=now.count + 1), Note(total=total)]
        case Follow(until=until):
            return [Followed(count=now.count)] if state else Park(until)
        case Wait(due=due):
            return [Waiting(due=due)]
        case DeadlineReached():
            return [Reached(count=now.count)]
        case Ignore():
            return []
        case Dial(until=until):
            return [Dialed(until=until)]
        case Said(words=words) if words != BOOM:
            return [Heard(what=words, count=(now.heard or 0) + 1)]
        case Silent(over=over):
            return [
                Heard(what="nothing, for good" if over else "nothing", count=(now.heard or 0) + 1)
            ]
        case Fuse(until=until) if state is None:
            return Park(until)
    raise RuntimeError("boom")


def evolve(state: Sum | None, fact: Fact, _time: Any) -> Sum:
    now = state or Sum()
    match fact:
        case Added():
            return now.model_copy(update={"total": fact.total, "count": fact.count})
        case Waiting():
            due = (OpenDeadline(kind="toy", due=fact.due),)
            return now.model_copy(update={"deadlines": due})
        case Heard():
            return now.model_copy(update={"heard": fact.count})
        case Reached():
            return now.model_copy(update={"deadlines": ()})
    return now


BOOM = "boom"
"""An answer that no decision survives."""

Perform = Callable[[Event[Dialed]], Awaitable[Said]]


def service(name: str = "toy", perform: Perform | None = None) -> Service[Sum]:
    """The toy of this name, which knows how to perform its calls or not."""
    own = topics(name)
    return Service(
        name=name,
        reads=(
            Reading(own.left, own.left.facts),
            Reading(own.right, own.right.facts),
            Reading(DEADLINES_EVENTS, (DeadlineReached,)),
        ),
        journal=own.events,
        publishes=(own.notes,),
        decide=decide,
        evolve=evolve,
        documents=Documents(name, Sum),
        calls={} if perform is None else {Dialed: _call(perform)},
        snapshot="sum",
    )


def _call(perform: Perform) -> Call:
    return Call(
        perform=perform,
        until=lambda dialed: dialed.data.until,
        unknown=lambda _, why: Silent(why=why, over=False),
        given_up=lambda _, why: Silent(why=why, over=True),
    )
