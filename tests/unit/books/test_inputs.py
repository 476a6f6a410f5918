"""P6 in the books: each event that was lost, and each dead letter that lies, is found."""

from dataclasses import replace
from typing import Any

import pytest

from shared.decode import REROUTED_HEADER
from shared.events.carrier import TRACKING
from shared.events.envelope import Topic
from shared.events.gateway import (
    PAYMENTS,
    AnswerPending,
    PaymentDeclined,
    VerificationUnavailable,
)
from shared.events.payment import PAYMENT_EVENTS
from shared.events.seller import SHIPMENTS
from shared.events.storefront import ORDERS
from shared.events.warehouse import STOCK
from shared.kafka import DEAD_LETTERS
from tests.support.tales import (
    KETTLES_SUBJECT,
    Change,
    again,
    find,
    holds,
    open_shop,
    place,
    says,
    told,
)
from tests.support.world import Acknowledged, MemoryRecord, World


def handed_over(world: World, topic: Topic, record: MemoryRecord, *changes: Change) -> None:
    """An event that no service reads."""
    again(world, record, says(id="unread"), *changes)


@pytest.mark.parametrize(
    ("topic", "type_", "order_id", "change"),
    [
        (ORDERS, "order.cancel_requested", "canceled", holds()),
        (ORDERS, "order.placed", "parted", holds()),
        (SHIPMENTS, "shipment.confirmed", "parted", holds(tracking_number="OTHER")),
        (SHIPMENTS, "shipment.confirmed", "parted", holds(ship_date="2026-03-12T09:41:07.124Z")),
        (SHIPMENTS, "order.seller_canceled", "written-off", holds()),
        (TRACKING, "package.delivered", "delivered", holds(tracking_number="OTHER")),
        (PAYMENTS, "payment.authorized", "parted", holds(payment_id="OTHER")),
        (PAYMENTS, "payment.voided", "stopped", holds(payment_id="OTHER")),
        (STOCK, "stock.set", KETTLES_SUBJECT, holds()),
    ],
)
def test_p6_an_event_that_was_never_decided(
    world: World, topic: Topic, type_: str, order_id: str, change: Change
) -> None:
    handed_over(world, topic, find(world, topic, type_, order_id), change)

    assert f"{type_}.v1 unread was neither decided nor kept" in told(world.books(), "P6")


@pytest.mark.parametrize(
    "said",
    [
        PaymentDeclined(payment_id="p"),
        VerificationUnavailable(payment_id="p"),
    ],
)
def test_p6_a_payment_event_is_news_while_the_payment_is_awaited(
    said: PaymentDeclined | VerificationUnavailable,
) -> None:
    world = open_shop()
    place(world, "fresh")
    world.say(PAYMENTS, said, "fresh", id_="unread")
    assert told(world.books(), "P6") == ""
    for record in world.records(PAYMENT_EVENTS)[1:]:
        world.change(record, None)

    assert "unread was neither decided nor kept" in told(world.books(), "P6")


def test_p6_an_answer_that_is_still_to_come_is_no_news() -> None:
    world = open_shop()
    place(world, "fresh")
    world.say(PAYMENTS, AnswerPending(payment_id="p"), "fresh")

    assert told(world.books(), "P6") == ""


@pytest.mark.parametrize("change", [says(type="another.v1"), says(data={}), says(data=[])])
def test_p6_what_is_not_what_its_topic_holds_and_was_not_kept(world: World, change: Change) -> None:
    again(world, find(world, PAYMENTS, "", "parted"), says(id="x"), change)

    assert "is no event, and was not kept" in told(world.books(), "P6")


def test_p6_rubbish_that_was_not_kept(world: World) -> None:
    (rubbish, *_) = [r for r in world.records(DEAD_LETTERS) if r.key == b"rubbish"]
    world.change(rubbish, None)

    assert "orders:1:" in told(world.books(), "P6")
    assert "is no event, and was not kept" in told(world.books(), "P6")


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("key", {"key": b"other"}),
        ("value", {"value": b"\x00not json!"}),
        ("value", {"value": None}),
    ],
)
def test_p6_a_dead_letter_that_is_not_what_came(
    world: World, name: str, lie: dict[str, Any]
) -> None:
    (letter, *_) = [r for r in world.records(DEAD_LETTERS) if r.key == b"rubbish"]
    log = world.log[letter.topic, letter.partition]
    log[log.index(letter)] = replace(letter, **lie)

    assert f"its dead letter has another {name}" in told(world.books(), "P6")


@pytest.mark.parametrize(("kept", "balances"), [(b"\x00not", True), (b"", True), (b"no!", False)])
def test_p6_a_dead_letter_that_was_cut_is_the_first_part_of_what_came(
    world: World, kept: bytes, balances: bool
) -> None:
    (letter, *_) = [r for r in world.records(DEAD_LETTERS) if r.key == b"rubbish"]
    headers = (*letter.headers, ("deadletter-truncated", b"{}"))
    log = world.log[letter.topic, letter.partition]
    log[log.index(letter)] = replace(letter, value=kept, headers=headers)

    assert ("its dead letter has another value" not in told(world.books(), "P6")) is balances


@pytest.mark.parametrize(
    ("header", "value", "sentence"),
    [
        ("deadletter-offset", b"77", "orders:1:77: has a dead letter, and does not exist"),
        ("deadletter-topic", b"nowhere", "can not have the origin nowhere:1:"),
        ("deadletter-partition", b"2", "can not have the origin orders:2:"),
        ("deadletter-timestamp-ms", b"7", "its dead letter has another time"),
        ("deadletter-headers", b"[]", "its dead letter has another headers"),
        ("deadletter-offset", b"seven", "is no dead letter of ours"),
    ],
)
def test_p6_a_dead_letter_that_says_something_else_of_its_origin(
    world: World, header: str, value: bytes, sentence: str
) -> None:
    (letter, *_) = [r for r in world.records(DEAD_LETTERS) if r.key == b"rubbish"]
    headers = tuple((name, value if name == header else v) for name, v in letter.headers)
    log = world.log[letter.topic, letter.partition]
    log[log.index(letter)] = replace(letter, headers=headers)

    assert sentence in told(world.books(), "P6")


def test_p6_a_dead_letter_twice_is_one(world: World) -> None:
    before = world.books().page("P6").counts["dead letters"]
    for letter in world.records(DEAD_LETTERS):
        world.append(
            letter.topic, letter.partition, letter.key, letter.value, headers=letter.headers
        )

    books = world.books()
    assert books.violations == ()
    assert books.page("P6").counts["dead letters"] == before


def test_p6_an_event_that_waited_in_vain_and_was_not_kept(world: World) -> None:
    for letter in [r for r in world.records(DEAD_LETTERS) if r.key == b"never-placed"]:
        world.change(letter, None)

    assert "was parked, given up (no_such_order), and not kept" in told(world.books(), "P6")


@pytest.mark.parametrize("reason", [b"too_many_parked", b"too_large_to_park", b"decision_failed"])
def test_p6_an_event_that_was_kept_is_one_for_whoever_else_decides_about_it(
    world: World, reason: bytes
) -> None:
    before = world.books().page("P6").counts["no events, kept"]
    (letter, *_) = [r for r in world.records(DEAD_LETTERS) if r.key == b"never-placed"]
    told_why = tuple((n, reason if n == "deadletter-reason" else v) for n, v in letter.headers)
    log = world.log[letter.topic, letter.partition]
    log[log.index(letter)] = replace(letter, headers=told_why)

    books = world.books()

    assert books.page("P6").counts["no events, kept"] == before
    assert books.violations == ()


def test_p6_an_acknowledged_event_that_the_topic_lost(world: World) -> None:
    world.acknowledged.append(Acknowledged("orders", "parted", "gone"))

    assert "parted: orders has lost the acknowledged event gone" in told(world.books(), "P6")


def test_p6_an_acknowledged_event_that_is_none_is_kept_and_not_lost(world: World) -> None:
    again(world, find(world, PAYMENTS, "", "parted"), says(id="bad"), holds(amount="much"))
    world.settle()
    world.acknowledged.append(Acknowledged("payments", "parted", "bad"))

    assert world.books().violations == ()


def test_p6_a_misrouted_event_that_was_not_sent_on(world: World) -> None:
    (rerouted,) = [
        r for r in world.records(ORDERS) if any(n == REROUTED_HEADER for n, _ in r.headers)
    ]
    log = world.log[rerouted.topic, rerouted.partition]
    log[log.index(rerouted)] = replace(rerouted, headers=())

    assert "was misrouted, and not sent on" in told(world.books(), "P6")
