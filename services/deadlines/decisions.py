"""Deadlines decides nothing: it takes over what others list, and says what is due."""

from typing import ClassVar

from services.deadlines.state import Armed, Deadlines, DeadlinesListed
from shared.clock import to_ms
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact, ServiceFact
from shared.events.fields import Identifier, Instant
from shared.policy import Policies
from shared.service import Facts, Received


class Due(Fact):
    """A deadline's time has come, by the ledger; `clock.py` finds it, no topic carries it."""

    TYPE: ClassVar[str] = "deadlines.due.v1"

    publisher: Identifier
    kind: Identifier
    due: Instant


def decide(state: Deadlines | None, received: Received, _policies: Policies) -> Facts:
    """R23: what a fact lists is armed, moved or dropped; what is due and still armed is reached."""
    match received.event.data:
        case Due() as due:
            return _reached(state, due)
        case ServiceFact() as fact:
            return _listed(state, str(received.publisher), fact)
    raise TypeError(f"{received.event.type} is nothing that deadlines reads")


def _reached(state: Deadlines | None, due: Due) -> Facts:
    armed = Armed(due.publisher, due.kind, to_ms(due.due))
    if state is None or armed not in state.armed():
        return ()
    return [DeadlineReached(publisher=due.publisher, kind=due.kind, due=due.due)]


def _listed(state: Deadlines | None, publisher: str, fact: ServiceFact) -> Facts:
    known = state.listed.get(publisher, ()) if state is not None else ()
    if [d[:2] for d in known] == [(d.kind, to_ms(d.due)) for d in fact.deadlines]:
        return ()
    return [DeadlinesListed(publisher=publisher, open=fact.deadlines)]
