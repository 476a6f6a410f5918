"""P2 in the books: each lie about orders and deadlines is found."""

from dataclasses import replace
from typing import Any

import pytest

from shared.errors import PermanentError
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import Topic
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.inventory import INVENTORY_EVENTS
from shared.events.notices import NOTICES
from shared.events.payment import PAYMENT_EVENTS
from shared.events.storefront import ORDERS
from shared.kafka import DEAD_LETTERS
from tests.support.orders import (
    DAY,
    PURCHASED,
    placed,
)
from tests.support.tales import (
    again,
    event_of,
    find,
    holds,
    open_shop,
    pay,
    place,
    says,
    shows,
    told,
)
from tests.support.world import World, place_of

BUG = RuntimeError("boom")


def test_p2_a_placed_order_without_an_answer(world: World) -> None:
    world.say(ORDERS, placed(order_id="lost"), "lost", id_="lost-1")
    for topic in (FULFILLMENT_EVENTS, NOTICES):
        for record in world.records(topic):
            if record.key == b"lost":
                world.change(record, None)

    assert "lost: placed by lost-1, was neither held nor refused" in told(world.books(), "P2")


def test_p2_an_order_held_that_nobody_placed(world: World) -> None:
    world.change(find(world, ORDERS, "order.placed", "parted"), None)

    assert "parted: was held for {'said-" in told(world.books(), "P2")


def test_p2_an_order_placed_again_is_refused_or_it_is_a_violation(world: World) -> None:
    refusal = find(world, FULFILLMENT_EVENTS, "order.request_refused", "shipped", -1)
    assert event_of(refusal)["data"]["request_type"] == "order.placed.v1"
    world.change(refusal, None)

    assert "was neither held nor refused" in told(world.books(), "P2")


def test_p2_an_order_that_was_held_and_is_gone(world: World) -> None:
    last = find(world, FULFILLMENT_EVENTS, "", "parted", -1)
    world.change(last, lambda event: event["data"].pop("order"))

    assert "parted: was held, but there is no order" in told(world.books(), "P2")


@pytest.mark.parametrize("topic", [INVENTORY_EVENTS, PAYMENT_EVENTS])
def test_p2_an_order_that_a_service_never_heard_of(world: World, topic: Topic) -> None:
    for record in world.records(topic):
        if record.key == b"parted":
            world.change(record, None)

    assert f"parted: was held, and {topic.publisher} never heard" in told(world.books(), "P2")


def test_p2_a_canceled_order_that_lives_on(world: World) -> None:
    last = find(world, FULFILLMENT_EVENTS, "", "canceled", -1)
    again(world, last, says(id="x", type="order.cancel_warned.v1"), shows(status="Unshipped"))

    assert "canceled: was Canceled for good, and became Unshipped" in told(world.books(), "P2")


def test_p2_a_delivered_order_that_is_canceled(world: World) -> None:
    last = find(world, FULFILLMENT_EVENTS, "", "delivered", -1)
    again(world, last, says(id="x"), shows(status="Canceled"))

    assert "delivered: was Shipped for good, and became Canceled" in told(world.books(), "P2")


def test_p2_an_order_canceled_twice(world: World) -> None:
    again(world, find(world, FULFILLMENT_EVENTS, "order.canceled", "canceled"), says(id="x"))

    assert "canceled: was canceled twice" in told(world.books(), "P2")


def test_p2_an_open_order_that_waits_for_nothing(world: World) -> None:
    for change in (holds(deadlines=[]), shows(stuck=[])):
        world.change(find(world, FULFILLMENT_EVENTS, "", "parted", -1), change)

    assert "parted: is PartiallyShipped and waits for nothing" in told(world.books(), "P2")


def test_p2_a_deadline_that_is_listed_and_not_armed(world: World) -> None:
    del world.workers[-1].documents[place_of("parted")]

    assert "parted: fulfillment ship_by is listed for" in told(world.books(), "P2")


def test_p2_a_deadline_that_is_armed_for_another_instant(world: World) -> None:
    last = find(world, FULFILLMENT_EVENTS, "", "parted", -1)
    (first, *others) = event_of(last)["data"]["deadlines"]
    world.change(last, holds(deadlines=[{**first, "due": "2026-05-05T05:05:05Z"}, *others]))

    assert "parted: fulfillment ship_by is listed for 1777957505000" in told(world.books(), "P2")


def test_p2_a_deadline_that_is_armed_and_not_listed(world: World) -> None:
    deadlines = world.workers[-1].documents
    armed = deadlines[place_of("parted")]
    deadlines[place_of("shipped")] = armed._replace(subject="shipped")

    assert "shipped: fulfillment ship_by is listed for None" in told(world.books(), "P2")


def test_p2_a_deadline_that_was_reached_and_did_nothing(world: World) -> None:
    last = find(world, FULFILLMENT_EVENTS, "", "parted", -1)
    due = event_of(last)["data"]["deadlines"][0]["due"]
    reached = find(world, DEADLINES_EVENTS, "", "parted", -1)
    again(world, reached, says(id="x"), holds(kind="ship_by", due=due))

    assert "was reached, and did nothing" in told(world.books(), "P2")


def broken_world(nth: int = 2, type_: str = "deadline.reached.v1", error: Exception = BUG) -> World:
    """A service can not decide one type of event of one order, "unlucky"."""
    world = open_shop()
    worker = world.workers[nth]
    decide = worker.service.decide

    def fails(state: Any, received: Any, policies: Any) -> Any:
        if received.event.subject == "unlucky" and received.event.type == type_:
            raise error
        return decide(state, received, policies)

    worker.service = replace(worker.service, decide=fails)
    for order_id in ("unlucky", "other"):
        place(world, order_id)
        pay(world, order_id)
    world.pass_time(PURCHASED + 2 * DAY)
    return world


@pytest.mark.parametrize("error", [BUG, PermanentError("date_out_of_range", "2101")])
def test_p2_an_order_whose_decision_failed_is_visible_as_stuck(error: Exception) -> None:
    world = broken_world(error=error)
    counts = world.books().page("P2").counts
    assert (counts["orders live"], counts["deadlines stuck"]) == (2, 1)

    world.pass_time(PURCHASED + 9 * DAY)

    assert world.books().violations == ()
    counts = world.books().page("P2").counts
    assert (counts["orders live"], counts["orders stuck"], counts["deadlines stuck"]) == (1, 1, 2)


def test_p2_an_order_of_which_inventory_failed_to_decide_is_visible_as_stuck() -> None:
    world = broken_world(0, "order.placed.v1")
    world.pass_time(PURCHASED + 9 * DAY)
    counts = world.books().page("P2").counts

    assert told(world.books(), "P2") == ""
    assert (counts["orders live"], counts["orders stuck"]) == (1, 1)
    assert "of what it ordered" not in told(world.books(), "P1")


def test_p2_an_order_that_is_stuck_and_not_visible() -> None:
    world = broken_world()
    (letter,) = world.records(DEAD_LETTERS)
    world.change(letter, None)

    found = told(world.books(), "P2")
    assert "unlucky: fulfillment hold was reached, and did nothing" in found
