"""Redis against the journals, in the books: each difference is found."""

from typing import Any

import pytest

from shared.events.inventory import INVENTORY_EVENTS
from tests.support.tales import (
    find,
    holds,
    pay,
    place,
    says,
    told,
)
from tests.support.world import World, place_of


def test_state_a_document_that_redis_has_lost(world: World) -> None:
    documents = world.workers[2].documents
    del documents[place_of("parted")]

    assert "parted: has facts in fulfillment.events, but no document" in told(
        world.books(), "state"
    )


@pytest.mark.parametrize("worker", [0, 1, 2])
def test_state_a_document_that_no_journal_knows(world: World, worker: int) -> None:
    documents = world.workers[worker].documents
    at = place_of("parted")
    documents[at[0], "ghost"] = documents[at]._replace(subject="ghost")

    assert "ghost: " in told(world.books(), "state")


@pytest.mark.parametrize("worker", [0, 1, 2, 3])
def test_state_a_version_that_differs(world: World, worker: int) -> None:
    documents = world.workers[worker].documents
    at = place_of("parted")
    documents[at] = documents[at]._replace(version=77)

    assert "is at version 77 in Redis" in told(world.books(), "state")


@pytest.mark.parametrize(
    ("worker", "subject", "change"),
    [
        (0, "late", {"status": "released"}),
        (1, "awaited", {"deadlines": ()}),
        (2, "late", {"late_notices": 77}),
    ],
)
def test_state_a_state_that_differs(
    world: World, worker: int, subject: str, change: dict[str, Any]
) -> None:
    place(world, "awaited")
    documents, at = world.workers[worker].documents, place_of(subject)
    state = documents[at].state
    assert state is not None
    documents[at] = documents[at]._replace(state=state.model_copy(update=change))

    assert "has another state in Redis than its journal says" in told(world.books(), "state")


def test_state_parked_events_that_redis_does_not_have(world: World) -> None:
    pay(world, "to-come")
    documents = world.workers[1].documents
    at = place_of("to-come")
    documents[at] = documents[at]._replace(parked=())

    assert "to-come: payment has other events parked" in told(world.books(), "state")


def test_state_facts_that_can_not_follow_on_each_other(world: World) -> None:
    shipped = find(world, INVENTORY_EVENTS, "stock.shipped", "shipped")
    world.change(shipped, says(type="stock.reserved.v1"))
    world.change(
        find(world, INVENTORY_EVENTS, "", "shipped", 1), holds(units=[{"sku": "A", "quantity": 1}])
    )

    assert "shipped: inventory: stock.reserved.v1" in told(world.books(), "state")
    assert "can not follow" in told(world.books(), "state")
