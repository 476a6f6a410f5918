"""R23: what others list as open is armed, moved or dropped, and said once when it is due."""

from datetime import datetime

import pytest

from services.deadlines.decisions import Due, decide
from services.deadlines.state import Armed, Deadlines, DeadlinesListed, evolve
from shared.clock import to_ms
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact, OpenDeadline
from shared.events.fulfillment import CancelWarned
from shared.service import Facts, Received
from tests.support.orders import (
    CANCEL_AT,
    DAY,
    HOLD_ENDS,
    ONE_MS,
    POLICIES,
    SHIP_BY,
    WARN_AT,
    received,
    shipment_confirmed,
)

TO_SHIP = OpenDeadline(kind="ship_by", due=SHIP_BY)
WARNING = OpenDeadline(kind="cancel_warning", due=WARN_AT)
ITS_END = OpenDeadline(kind="shipment_unconfirmed", due=CANCEL_AT)
REFUND = OpenDeadline(kind="provider_answer", due=SHIP_BY)


def lists(*open_: OpenDeadline, publisher: str = "fulfillment") -> Received:
    """A fact of a service, with what its subject waits for after it."""
    return received(CancelWarned(deadlines=open_), HOLD_ENDS)._replace(publisher=publisher)


def comes(
    kind: str = "ship_by", due: datetime = SHIP_BY, publisher: str = "fulfillment"
) -> Received:
    """By the ledger, a deadline's time has come."""
    return received(Due(publisher=publisher, kind=kind, due=due), due)


def play(*events: Received) -> tuple[Deadlines | None, list[Fact]]:
    state: Deadlines | None = None
    facts: list[Fact] = []
    for event in events:
        decided = decide(state, event, POLICIES)
        assert isinstance(decided, tuple | list)
        for fact in decided:
            state = evolve(state, fact, event.at)
        facts += decided
    return state, facts


def decided(state: Deadlines | None, event: Received) -> list[Fact]:
    facts: Facts = decide(state, event, POLICIES)
    return list(facts)


ARMED, _ = play(lists(TO_SHIP, WARNING), lists(REFUND, publisher="payment"))
SAID, _ = play(lists(TO_SHIP, WARNING), comes())


@pytest.mark.parametrize(
    ("open_", "news"),
    [
        ((TO_SHIP, WARNING), False),
        ((TO_SHIP,), True),
        ((TO_SHIP, WARNING, ITS_END), True),
        ((TO_SHIP, ITS_END), True),
        ((TO_SHIP, OpenDeadline(kind="cancel_warning", due=WARN_AT + ONE_MS)), True),
        ((TO_SHIP, OpenDeadline(kind="cancel_warning", due=WARN_AT - ONE_MS)), True),
        ((), True),
    ],
    ids=["the same", "dropped", "added", "another kind", "later", "earlier", "none any more"],
)
@pytest.mark.parametrize("state", [ARMED, SAID], ids=["armed", "one of them said"])
def test_r23_what_a_service_lists_is_taken_over_and_the_same_again_is_no_news(
    state: Deadlines, open_: tuple[OpenDeadline, ...], news: bool
) -> None:
    taken = [DeadlinesListed(publisher="fulfillment", open=open_)]

    assert decided(state, lists(*open_)) == (taken if news else [])


def test_r23_of_a_subject_that_waits_for_nothing_yet_only_what_is_listed_is_news() -> None:
    listed = DeadlinesListed(publisher="payment", open=(REFUND,))

    assert decided(None, lists()) == []
    assert decided(None, lists(REFUND, publisher="payment")) == [listed]


def test_r23_each_service_lists_its_own_and_leaves_the_others() -> None:
    state, _ = play(lists(TO_SHIP), lists(REFUND, publisher="payment"), lists())

    assert state is not None
    assert list(state.armed()) == [Armed("payment", "provider_answer", to_ms(SHIP_BY))]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (comes(), True),
        (comes("cancel_warning", WARN_AT), True),
        (comes("provider_answer", SHIP_BY, "payment"), True),
        (comes("ship_by", SHIP_BY - ONE_MS), False),
        (comes("ship_by", SHIP_BY + ONE_MS), False),
        (comes("cancel_warning", SHIP_BY), False),
        (comes("ship_by", SHIP_BY, "payment"), False),
        (comes("ship_by", SHIP_BY, "inventory"), False),
    ],
)
def test_p5_what_is_due_is_said_as_it_is_armed_and_nothing_else(
    event: Received, said: bool
) -> None:
    due = event.event.data
    reached = DeadlineReached(publisher=due.publisher, kind=due.kind, due=due.due)

    assert decided(ARMED, event) == ([reached] if said else [])
    assert decided(None, event) == []


def test_r23_a_deadline_is_said_once_also_where_its_service_still_lists_it() -> None:
    again = (comes(), lists(TO_SHIP), comes())
    moved = OpenDeadline(kind="ship_by", due=SHIP_BY + DAY)

    state, facts = play(lists(TO_SHIP), *again, lists(moved), comes("ship_by", SHIP_BY + DAY))

    said = [fact.due for fact in facts if isinstance(fact, DeadlineReached)]
    assert said == [SHIP_BY, SHIP_BY + DAY]
    assert state is not None
    assert state.lingers


def test_p6_what_deadlines_does_not_read_raises_and_is_named() -> None:
    with pytest.raises(TypeError, match=r"shipment\.confirmed\.v1 is nothing that deadlines reads"):
        decide(ARMED, shipment_confirmed(), POLICIES)


def test_a_fact_of_another_service_is_nothing_to_remember() -> None:
    with pytest.raises(TypeError, match=r"order\.cancel_warned\.v1 is no fact of deadlines"):
        evolve(None, CancelWarned(deadlines=()), HOLD_ENDS)
