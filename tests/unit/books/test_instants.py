"""P5 in the books: what came early is found, and lateness is measured."""

from dataclasses import replace

import pytest

from shared.clock import Step, Timeline, to_ms
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import Topic
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.payment import PAYMENT_EVENTS
from tests.support.orders import (
    DAY,
    HOUR,
    PURCHASED,
)
from tests.support.tales import (
    find,
    holds,
    open_shop,
    place,
    says,
    told,
)
from tests.support.world import MemoryRecord, World


def shift(world: World, record: MemoryRecord, ms: int) -> None:
    """The record was published so many ms later."""
    log = world.log[record.topic, record.partition]
    log[log.index(record)] = replace(record, timestamp=record.timestamp + ms)


def test_p5_a_deadline_that_is_announced_one_millisecond_early(world: World) -> None:
    shift(world, find(world, DEADLINES_EVENTS, "", "parted"), -1)

    assert "parted: deadline.reached.v1 came 1 ms before" in told(world.books(), "P5")


def test_p5_lateness_is_measured_from_when_it_was_due(world: World) -> None:
    shift(world, find(world, DEADLINES_EVENTS, "", "parted"), 7)
    counts = world.books().page("P5").counts

    assert (counts["late ms p50"], counts["late ms max"]) == (0, 7)


def test_p5_what_was_over_when_it_was_listed_is_late_only_from_then() -> None:
    world = open_shop()
    world.pass_time(PURCHASED + HOUR)
    place(world, "belated")
    world.pass_time(PURCHASED + HOUR)
    shift(world, find(world, DEADLINES_EVENTS, "", "belated"), 3)

    assert world.books().page("P5").counts["late ms max"] == 3


def test_p5_wall_time_is_translated_by_the_steps_of_the_clock(world: World) -> None:
    start = to_ms(PURCHASED)
    geared = Timeline((Step(0, 0, 1), Step(start, start, 2)))

    assert world.books(geared).page("P5").violations == ()
    slow = Timeline((Step(0, 0, 1), Step(start, start, 0)))
    assert "came 1800000 ms before" in told(world.books(slow), "P5")


def test_p5_a_deadline_that_nobody_listed(world: World) -> None:
    reached = find(world, DEADLINES_EVENTS, "", "parted")
    world.change(reached, holds(kind="another"))

    assert "parted: fulfillment another 2026-03-11T10:11:07.123000Z was reached, but never" in told(
        world.books(), "P5"
    )


def test_p5_an_order_released_before_its_hold_is_over(world: World) -> None:
    released = find(world, FULFILLMENT_EVENTS, "order.unshipped", "parted")
    shift(world, released, -1)

    assert "parted: order.unshipped.v1 came 1 ms before" in told(world.books(), "P5")


@pytest.mark.parametrize(
    ("topic", "type_", "order_id", "kind"),
    [
        (FULFILLMENT_EVENTS, "order.shipment_late", "late", "ship_by"),
        (FULFILLMENT_EVENTS, "order.cancel_warned", "late", "cancel_warning"),
        (FULFILLMENT_EVENTS, "order.condition_met.v1", "unpaid", "hold"),
        (FULFILLMENT_EVENTS, "order.unshipped", "parted", "hold"),
        (PAYMENT_EVENTS, "payment.refused", "unpaid", "verification"),
    ],
)
def test_p5_what_only_time_brings_about_without_its_deadline(
    world: World, topic: Topic, type_: str, order_id: str, kind: str
) -> None:
    world.change(find(world, topic, type_, order_id, -1), says(causationid="x"))

    assert f"came without its deadline {kind}" in told(world.books(), "P5")


def test_p5_an_order_canceled_as_unconfirmed_without_its_deadline(world: World) -> None:
    world.pass_time(PURCHASED + 31 * DAY)
    assert world.books().violations == ()
    for type_, order_id in (
        ("order.canceled", "late"),
        ("order.open_units_canceled", "parted"),
    ):
        world.change(find(world, FULFILLMENT_EVENTS, type_, order_id), says(causationid="x"))

        assert f"{order_id}: {type_}.v1 came without its deadline shipment_unconfirmed" in told(
            world.books(), "P5"
        )
