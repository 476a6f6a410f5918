"""P3 in the books: each lie about ids and versions is found."""

import pytest

from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.notices import NOTICES
from shared.events.payment import PAYMENT_EVENTS
from tests.support.tales import (
    Change,
    again,
    find,
    holds,
    says,
    told,
)
from tests.support.world import World


def test_p3_a_fact_that_says_something_else_under_its_id(world: World) -> None:
    again(world, find(world, NOTICES, "", "late"), holds(occurrence=1, detail="other"))

    assert "late: notice.requested.v1" in told(world.books(), "P3")
    assert "was something else before" in told(world.books(), "P3")


def test_p3_a_fact_under_two_ids(world: World) -> None:
    again(world, find(world, NOTICES, "", "late"), says(id="x"))

    assert "has two ids" in told(world.books(), "P3")


@pytest.mark.parametrize("version", [1, 3, 99])
def test_p3_versions_that_do_not_go_on_one_by_one(world: World, version: int) -> None:
    second = find(world, PAYMENT_EVENTS, "", "parted", 1)
    world.change(second, says(subjectversion=version))

    assert f"parted: payment.events goes on with version {version}, not 2" in told(
        world.books(), "P3"
    )


def test_p3_a_fact_that_is_lost(world: World) -> None:
    world.change(find(world, FULFILLMENT_EVENTS, "", "late", 4), None)

    assert "late: fulfillment.events goes on with version 6, not 5" in told(world.books(), "P3")


def test_p3_a_fact_on_the_partition_of_others(world: World) -> None:
    record = find(world, NOTICES, "", "late")
    world.append(record.topic, (record.partition + 1) % 3, record.key, record.value)

    assert "is on a wrong partition" in told(world.books(), "P3")


@pytest.mark.parametrize("value", [b"[]", b"", b"{", b'{"id":"x"}'])
def test_p3_no_event_on_a_topic_of_our_own(world: World, value: bytes) -> None:
    world.append(NOTICES.name, 0, b"k", value)

    assert "is no fact of this topic" in told(world.books(), "P3")


@pytest.mark.parametrize("change", [says(type="another.v1"), says(data={"kind": "x"})])
def test_p3_a_fact_that_is_not_what_its_topic_holds(world: World, change: Change) -> None:
    world.change(find(world, NOTICES, "", "late"), change)

    assert "is no fact of this topic" in told(world.books(), "P3")
