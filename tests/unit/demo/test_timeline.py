"""An order's timeline says what happened, in the order in which it did, with rule and topic."""

from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console

from services.cli.demo import stories
from services.cli.demo.script import OPENING, Script
from services.cli.demo.seen import Seen
from services.cli.demo.stories import STORIES
from services.cli.demo.story import Story
from services.cli.demo.timeline import in_causal_order, table, timeline
from services.cli.demo.words import since


def rows(script: Script, seen: Seen) -> list[tuple[str, str, str, str]]:
    return [row[:4] for row in timeline(seen.orders[script.order_id], seen)]


def test_r22_a_normal_order_from_its_purchase_to_its_delivery(seen: Seen) -> None:
    assert rows(stories.NORMAL.orders[0], seen) == [
        ("day 0 00:03", "buyer orders 2 × KETTLE-RED, 79.80 EUR", "orders", ""),
        ("day 0 00:03", "2 × KETTLE-RED reserved", "inventory.events", "R1"),
        ("day 0 00:03", "Pending: held until day 0 00:33", "fulfillment.events", "R2"),
        ("day 0 00:04", "79.80 EUR authorised, payment approved", "payment.events", "R5"),
        ("day 0 00:33", "the hold is over", "deadlines.events", "R2"),
        ("day 0 00:33", "Unshipped: to ship by day 2 07:59", "fulfillment.events", "R9"),
        ("day 0 00:33", "✉ buyer: arrives by day 9", "notices", "R9"),
        ("day 0 20:33", "seller confirms package 1: 2 × KETTLE-RED", "shipments", ""),
        ("day 0 20:33", "Shipped", "fulfillment.events", "R11"),
        ("day 0 20:33", "✉ buyer: DHL-0000001-1 is on its way", "notices", "R11"),
        ("day 0 20:33", "capture of 79.80 EUR requested", "payment.events", "R7"),
        ("day 0 20:35", "79.80 EUR captured", "payment.events", "R7"),
        ("day 3 20:33", "carrier delivers DHL-0000001-1", "tracking", ""),
    ]


def test_r6_a_declined_order_tells_nobody(seen: Seen) -> None:
    told = rows(stories.DECLINED.orders[0], seen)

    assert told[-2] == (
        "day 0 00:09",
        "Canceled, payment declined, nobody is told",
        "fulfillment.events",
        "R6",
    )
    assert "notices" not in {topic for _, _, topic, _ in told}


def test_r7_money_after_the_cancel_is_shown_to_go_back(seen: Seen) -> None:
    assert [(words, rule) for _, words, topic, rule in rows(stories.LATE_MONEY.orders[0], seen)
            if topic == "payment.events"] == [
        ("64.00 EUR authorised", "R7"),
        ("void of 64.00 EUR requested", "R7"),
        ("64.00 EUR are back with the buyer", "R7"),
    ]  # fmt: skip


def test_r12_a_long_run_of_late_notices_is_counted_not_listed(seen: Seen) -> None:
    told = [row for row in rows(stories.UNCONFIRMED.orders[0], seen) if row[3] == "R12"]

    assert [(when, words) for when, words, _, _ in told] == [
        ("day 2 07:59", "✉ seller: late, was to ship by day 2"),
        ("day 2 07:59", "✉ buyer: late, now arrives by day 10"),
        ("… day 22", "… 40 more notices, daily a new date"),
        ("day 23 07:59", "✉ seller: late, was to ship by day 2"),
        ("day 23 07:59", "✉ buyer: late, now arrives by day 39"),
        ("… day 29", "… 12 more notices, daily a new date"),
    ]


def test_r12_two_late_notices_are_listed(seen: Seen) -> None:
    told = rows(stories.LATE_SELLER.orders[0], seen)

    assert [when for when, _, _, rule in told if rule == "R12"] == ["day 2 07:59"] * 2 + [
        "day 3 07:59"
    ] * 2


def test_r16_the_way_back_is_in_the_timeline(seen: Seen) -> None:
    assert [row[1] for row in rows(stories.TOO_LATE.orders[0], seen) if row[3] == "R16"] == [
        "refused: order_shipped",
        "✉ buyer: shipped already: return it by day 39, refund on receipt",
    ]


def test_a_cause_stands_before_what_it_led_to_however_they_were_read(seen: Seen) -> None:
    facts = seen.of(stories.CANCELED_IN_HOLD.orders[0].order_id)

    assert in_causal_order(reversed(facts)) == in_causal_order(facts)
    ids = [told.event.id for told in in_causal_order(facts)]
    for told in facts:
        if told.event.causationid:
            assert ids.index(told.event.causationid) < ids.index(told.event.id)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
def test_hardly_a_row_is_broken_on_a_narrow_terminal(seen: Seen, story: Story) -> None:
    for script in story.orders:
        told = timeline(seen.orders[script.order_id], seen)
        shown = StringIO()
        Console(file=shown, width=80).print(table(told))
        assert len(told) <= len(shown.getvalue().splitlines()) <= len(told) + 1


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (timedelta(0), "day 0 00:00"),
        (timedelta(minutes=29, seconds=59.999), "day 0 00:29"),
        (timedelta(hours=23, minutes=59), "day 0 23:59"),
        (timedelta(days=1), "day 1 00:00"),
        (timedelta(days=30, hours=1), "day 30 01:00"),
        (timedelta(minutes=-1), "day -1 23:59"),
    ],
)
def test_time_is_counted_in_days_from_the_opening(passed: timedelta, shown: str) -> None:
    assert since(OPENING + passed) == shown
