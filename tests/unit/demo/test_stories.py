"""The demo's stories come out as they are told, and the check of that sees every difference."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from services.cli.demo import stories
from services.cli.demo.seen import Seen
from services.cli.demo.stories import STORIES
from services.cli.demo.story import Story
from services.cli.demo.verdict import differences
from shared.events.envelope import Fact
from shared.events.fulfillment import (
    CancelWarned,
    OrderCanceled,
    OrderHeld,
    PackageConfirmed,
    PackageDelivered,
)
from shared.events.inventory import StockReleased
from shared.events.notices import NoticeRequested
from shared.events.parking import EventUnparked
from shared.events.payment import MoneyReturned, PaymentRefused, VerificationStarted
from tests.support.theatre import Records, falsified, seen_in
from tests.support.world import World


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
def test_every_story_comes_out_as_it_is_told(story: Story, seen: Seen) -> None:
    assert differences(story, seen) == []


def test_the_books_of_all_stories_balance(world: World) -> None:
    books = world.books()

    assert books.balanced, (books.violations, books.unchecked)


class Lie(NamedTuple):
    """A fact of a story's order that says something else, or is not there."""

    story: Story
    fact: type[Fact]
    change: Callable[[dict[str, Any]], object] | None
    differs: str


def _cancellation(**changes: str) -> Callable[[dict[str, Any]], object]:
    return lambda event: event["data"]["order"]["cancellation"].update(changes)


def _order(**changes: str) -> Callable[[dict[str, Any]], object]:
    return lambda event: event["data"]["order"].update(changes)


def _to_the_silent_one(event: dict[str, Any]) -> None:
    event["subject"] = stories.DECLINED.orders[0].order_id


LIES = {
    "another status": Lie(stories.NORMAL, PackageDelivered, _order(status="Unshipped"), "status"),
    "another reason": Lie(
        stories.DECLINED, OrderCanceled, _cancellation(reason="fraud_suspected"), "canceled"
    ),
    "by somebody else": Lie(
        stories.CANCELED_IN_HOLD,
        OrderCanceled,
        _cancellation(executed_by="MARKETPLACE"),
        "canceled",
    ),
    "a millisecond late": Lie(
        stories.CANCELED_IN_HOLD,
        OrderCanceled,
        _cancellation(canceled_at="2027-03-01T16:16:00.001Z"),
        "canceled",
    ),
    "a missing notice": Lie(stories.TOO_LATE, NoticeRequested, None, "notices"),
    "a missing step": Lie(stories.NORMAL, OrderHeld, None, "life"),
    "no warning": Lie(stories.UNCONFIRMED, CancelWarned, None, "life"),
    "no package": Lie(stories.IN_PARTS, PackageConfirmed, None, "life"),
    "units that never came back": Lie(stories.CANCELED_IN_HOLD, StockReleased, None, "stock"),
    "money that never came back": Lie(stories.LATE_MONEY, MoneyReturned, None, "money"),
    "no refusal": Lie(stories.DECLINED, PaymentRefused, None, "money"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_story_whose_facts_differ_fails_and_says_in_what(lie: Lie, records: Records) -> None:
    order_id = lie.story.orders[0].order_id

    found = differences(lie.story, seen_in(falsified(records, order_id, lie.fact, lie.change)))

    assert [sentence.split()[:2] for sentence in found] == [[f"{order_id}:", f"{lie.differs}:"]]


def test_r6_one_notice_of_a_silent_cancel_is_one_too_many(records: Records) -> None:
    loud = stories.CANCELED_IN_HOLD.orders[0].order_id

    lied = falsified(records, loud, NoticeRequested, _to_the_silent_one)

    (found,) = differences(stories.DECLINED, seen_in(lied))
    assert "notices: 1 × order canceled; expected: nothing" in found


def test_what_differs_is_told_in_words(records: Records) -> None:
    late, declined = stories.LATE_MONEY, stories.DECLINED
    late_id, declined_id = late.orders[0].order_id, declined.orders[0].order_id
    kept = falsified(records, late_id, MoneyReturned)
    suspected = falsified(
        records, declined_id, OrderCanceled, _cancellation(reason="fraud_suspected")
    )
    closed = "verification closed, money arrived, void requested"
    after = "0:04:00 after the purchase, by the marketplace"

    found = [*differences(late, seen_in(kept)), *differences(declined, seen_in(suspected))]

    assert found == [
        f"{late_id}: money: {closed}; expected: {closed}, money returned",
        f"{declined_id}: canceled: fraud suspected, {after}; expected: payment declined, {after}",
    ]


def test_r1_either_buyer_of_the_last_unit_may_be_the_one_who_gets_it(seen: Seen) -> None:
    left, right = stories.LAST_UNIT.orders

    assert differences(replace(stories.LAST_UNIT, orders=(right, left)), seen) == []


def test_r1_two_sales_of_one_unit_are_a_difference(seen: Seen) -> None:
    sold, _ = stories.LAST_UNIT.outcomes

    assert differences(replace(stories.LAST_UNIT, outcomes=(sold, sold)), seen)


def test_an_order_that_nobody_has_heard_of_is_a_difference() -> None:
    assert differences(stories.NORMAL, seen_in(())) == [
        "303-0000001-1600001: no fact of fulfillment about it",
        "KETTLE-RED: no fact of inventory about it",
    ]


def test_r25_what_was_parked_for_a_moment_changes_no_story(records: Records) -> None:
    order_id = stories.NORMAL.orders[0].order_id

    def parked(event: dict[str, Any]) -> None:
        event["type"] = EventUnparked.TYPE
        event["data"] = {"event_source": "x", "event_id": "early-1", "outcome": "decided"}

    found = seen_in(falsified(records, order_id, VerificationStarted, parked))

    assert differences(stories.NORMAL, found) == []
