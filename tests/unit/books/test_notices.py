"""P4 in the books: each notice too few or too many is found."""

import json

import pytest

from shared.events.fulfillment import FULFILLMENT_EVENTS, NoticeResent
from shared.events.notices import NOTICES, NoticeRequestedAgain
from tests.support.tales import (
    Change,
    again,
    event_of,
    find,
    holds,
    says,
    told,
)
from tests.support.world import World


def test_p4_a_notice_that_nobody_was_sent(world: World) -> None:
    world.change(find(world, NOTICES, "", "late", 5), None)

    assert "late: nobody was sent the notice" in told(world.books(), "P4")


KINDS = (
    "estimated_delivery",
    "package_shipped",
    "new_delivery_date",
    "order_canceled",
    "cancel_refused",
    "late_shipment",
    "cancel_warning",
    "do_not_ship",
    "return_requested",
    "return_opened",
    "return_received",
    "reorder_suggestion",
    "address_changed",
    "new_ship_address",
)


@pytest.mark.parametrize("kind", KINDS)
def test_p4_every_kind_of_notice_is_missed(world: World, kind: str) -> None:
    notice = next(r for r in world.records(NOTICES) if event_of(r)["data"]["kind"] == kind)
    world.change(notice, None)

    nth = event_of(notice)["data"]["occurrence"]
    assert f"nobody was sent the notice {kind} {nth}" in told(world.books(), "P4")


def test_p4_the_second_question_whether_the_stock_lasts_has_the_second_answer(world: World) -> None:
    world.change(find(world, NOTICES, "", "canceled", -1), None)

    assert "canceled: nobody was sent the notice reorder_unavailable 2" in told(world.books(), "P4")


def test_p4_a_notice_sent_twice_under_two_ids(world: World) -> None:
    again(world, find(world, NOTICES, "", "late"), says(id="x"))

    assert "was sent 2 times" in told(world.books(), "P4")


@pytest.mark.parametrize(
    "change",
    [
        holds(kind="do_not_ship"),
        holds(occurrence=9),
        holds(recipient="SELLER"),
        says(causationid="x"),
    ],
)
def test_p4_a_notice_that_no_fact_stands_behind(world: World, change: Change) -> None:
    world.change(find(world, NOTICES, "", "late"), change)

    assert "late: no fact stands behind the notice" in told(world.books(), "P4")
    assert "late: nobody was sent the notice" in told(world.books(), "P4")


@pytest.mark.parametrize("order_id", ["declined", "unpaid"])
def test_p4_a_notice_of_a_silent_cancel(world: World, order_id: str) -> None:
    cancel_ = event_of(find(world, FULFILLMENT_EVENTS, "order.canceled", order_id))
    notice = find(world, NOTICES, "", "canceled")
    told_too = says(id="x", subject=order_id, causationid=cancel_["causationid"])
    event = event_of(notice)
    told_too(event)
    at = find(world, FULFILLMENT_EVENTS, "", order_id).partition
    world.append(NOTICES.name, at, order_id.encode(), json.dumps(event).encode())

    assert f"{order_id}: no fact stands behind the notice order_canceled" in told(
        world.books(), "P4"
    )


AGAIN, RESENT = NoticeRequestedAgain.TYPE, NoticeResent.TYPE


def test_p4_a_notice_that_was_to_be_sent_again_and_was_not(world: World) -> None:
    world.change(find(world, NOTICES, AGAIN, "parted"), None)

    assert "parted: nobody was sent again, for the 1. time, the notice" in told(world.books(), "P4")


def test_p4_a_notice_sent_again_that_nobody_asked_for(world: World) -> None:
    again(world, find(world, NOTICES, AGAIN, "parted"), says(id="x"))

    assert "parted: nobody asked again, for the 1. time, for the notice" in told(
        world.books(), "P4"
    )


def test_p4_a_notice_sent_again_that_never_was_sent(world: World) -> None:
    for topic, type_ in ((NOTICES, AGAIN), (FULFILLMENT_EVENTS, RESENT)):
        world.change(find(world, topic, type_, "parted"), holds(kind="do_not_ship"))

    assert "parted: sent again, and never before: the notice" in told(world.books(), "P4")
