"""The books balance for a true history, and say what they counted, and what they did not see."""

import json

from shared.books.result import MAX_VIOLATIONS
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.gateway import (
    PAYMENTS,
)
from shared.events.notices import NOTICES
from tests.support.orders import (
    PURCHASED,
    SELLER,
)
from tests.support.world import World


def test_a_true_history_balances(world: World) -> None:
    books = world.books()

    assert books.violations == ()
    assert books.unchecked == ()
    assert books.balanced


def test_the_books_say_what_they_counted(world: World) -> None:
    books = world.books()

    p1, p2, p6 = books.page("P1").counts, books.page("P2").counts, books.page("P6").counts
    assert p1["units supplied"] == 40 + 30 - 7 - 4 + 5 + 2 * 9
    assert (p1["units returned sellable"], p1["units returned damaged"]) == (4, 1)
    assert p1["units supplied"] + p1["units returned sellable"] - p1["units written off"] == (
        p1["units sold"] + p1["units available"]
    )
    assert p1["units sold"] == p1["units shipped"] + p1["units reserved"]
    assert (p2["orders placed"], p2["orders accepted"], p2["placed again, refused"]) == (15, 13, 2)
    assert p2["orders accepted"] == sum(
        p2[f"orders {status}"]
        for status in ("Unshipped", "PartiallyShipped", "Shipped", "Canceled")
    )
    assert books.page("P4").counts["silent cancels"] == 3
    assert p6["events acknowledged"] == p6["events"] == 67
    assert p6["events"] == p6["decided"] + sum(
        p6[name] for name in p6 if name.startswith("no news")
    )
    others = p6["misrouted"] + p6["no events, kept"] + p6["repeats"]
    assert p6["records from outside"] == p6["events"] + others


def test_what_is_said_twice_changes_nothing_but_the_count_of_repeats(world: World) -> None:
    once = world.books()
    for record in [*world.records(FULFILLMENT_EVENTS), *world.records(NOTICES)]:
        world.append(record.topic, record.partition, record.key, record.value)
    books = world.books()

    assert books.violations == ()
    added = books.page("P3").counts["repeats"]
    assert added == len(world.records(FULFILLMENT_EVENTS)) // 2 + len(world.records(NOTICES)) // 2
    assert books.page("P4").counts == once.page("P4").counts


def test_an_event_from_outside_that_is_delivered_twice_counts_once(world: World) -> None:
    once = world.books().page("P6").counts["repeats"]
    for record in world.records(PAYMENTS):
        world.append(record.topic, record.partition, record.key, record.value)
    world.settle()
    books = world.books()

    assert books.violations == ()
    assert books.page("P6").counts["repeats"] - once == len(world.records(PAYMENTS)) // 2


def test_books_are_json_with_promises_counts_and_violations(world: World) -> None:
    world.stock.held.pop((SELLER, "parted"))
    shown = json.loads(json.dumps(world.books().as_dict()))

    assert shown["balanced"] is False
    assert shown["unchecked"] == []
    stock = shown["promises"][1]
    assert (stock["promise"], stock["holds"], stock["violated"]) == ("P1", False, 1)
    assert stock["violations"][0]["subject"] == "parted"


def test_an_empty_system_does_not_balance_and_the_books_say_what_they_did_not_see() -> None:
    books = World(PURCHASED).books()

    assert books.violations == ()
    assert not books.balanced
    assert {"P1: no SKUs", "P2: no orders placed", "P6: no events acknowledged"} <= set(
        books.unchecked
    )


def test_nobody_who_remembers_is_nothing_that_was_missed(world: World) -> None:
    assert world.books(remember=False).balanced


def test_a_producer_who_remembers_nothing_is_no_check(world: World) -> None:
    world.acknowledged.clear()

    assert world.books().unchecked == ("P6: no events acknowledged",)


def test_of_many_violations_the_first_are_kept_and_all_are_counted(world: World) -> None:
    for _ in range(MAX_VIOLATIONS + 7):
        world.append(NOTICES.name, 0, b"k", b"no event")
    page = world.books().page("P3")

    assert (page.violated, len(page.violations)) == (MAX_VIOLATIONS + 7, MAX_VIOLATIONS)
