"""What a subject waits for, by the service that waits."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from shared.clock import to_ms
from shared.documents import State
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact, OpenDeadline
from shared.events.fields import Identifier


class Listed(NamedTuple):
    """A deadline that its publisher lists as open, due in business ms; reached once, it is not
    announced again. Compared and stored at each fact of ours, so it is small.
    """

    kind: Identifier
    due_ms: int
    reached: bool = False


class Armed(NamedTuple):
    """A deadline of one subject that is still to come, in business ms."""

    publisher: str
    kind: str
    due_ms: int


MAX_PUBLISHERS = 16
"""Services that may say deadlines of one subject; there are two."""


class Deadlines(State):
    """The deadlines of one subject."""

    listed: Annotated[Mapping[str, tuple[Listed, ...]], Field(max_length=MAX_PUBLISHERS)] = {}

    @property
    def lingers(self) -> bool:
        return not any(self.armed())

    def armed(self) -> Iterator[Armed]:
        """What is to be said when it comes."""
        for publisher, listed in self.listed.items():
            for deadline in listed:
                if not deadline.reached:
                    yield Armed(publisher, deadline.kind, deadline.due_ms)


class DeadlinesListed(Fact):
    """What a publisher's latest fact lists as open. It changes the state and goes nowhere."""

    TYPE: ClassVar[str] = "deadlines.listed.v1"

    publisher: Identifier
    open: tuple[OpenDeadline, ...]


def evolve(state: Deadlines | None, fact: Fact, _time: datetime) -> Deadlines:
    """The state after a fact."""
    state = state or Deadlines()
    listed = dict(state.listed)
    match fact:
        case DeadlinesListed(publisher=publisher):
            reached = {d[:2] for d in listed.get(publisher, ()) if d.reached}
            opened = [(d.kind, to_ms(d.due)) for d in fact.open]
            listed[publisher] = tuple(Listed(*d, reached=d in reached) for d in opened)
        case DeadlineReached(publisher=publisher):
            over = (fact.kind, to_ms(fact.due))
            listed[publisher] = tuple(
                d._replace(reached=True) if d[:2] == over else d for d in listed.get(publisher, ())
            )
        case _:
            raise TypeError(f"{fact.TYPE} is no fact of deadlines")
    return state.model_copy(update={"listed": listed})
