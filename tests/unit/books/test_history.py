"""R22: what our topics hold about an order is its whole timeline, each step with its cause."""

from collections import defaultdict
from typing import Any

from shared.events.deadlines import DeadlineReached
from shared.events.fulfillment import OrderHeld
from shared.events.parking import EventParked
from shared.events.topics import FROM_OUTSIDE, PUBLISHED
from tests.support.tales import event_of
from tests.support.world import World


def ours(world: World) -> list[dict[str, Any]]:
    """Every fact of ours."""
    return [event_of(record) for topic in PUBLISHED for record in world.records(topic)]


def happened(world: World) -> dict[str, dict[str, Any]]:
    """Every event of the history, of ours and from outside, by its id."""
    outside = [
        event_of(record)
        for topic in FROM_OUTSIDE
        for record in world.records(topic)
        if record.key != b"rubbish"
    ]
    return {event["id"]: event for event in (*outside, *ours(world))}


def test_r22_every_fact_names_the_event_that_led_to_it_and_it_is_in_the_log(world: World) -> None:
    known = happened(world)
    facts = [fact for fact in ours(world) if fact["type"] != DeadlineReached.TYPE]

    assert len(facts) > 50
    for fact in facts:
        cause = known[fact["causationid"]]
        assert cause["time"] <= fact["time"], "nothing precedes its cause"


def test_r22_all_facts_about_an_order_name_the_event_that_began_it(world: World) -> None:
    began: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for fact in ours(world):
        if fact["type"] == EventParked.TYPE:
            continue  # its order is not known yet
        began[fact["source"], fact["subject"]].add(fact["correlationid"])
    held = {fact["subject"] for fact in ours(world) if fact["type"] == OrderHeld.TYPE}
    orders = {of: ids for of, ids in began.items() if of[1] in held}

    assert len(orders) > 20
    assert [of for of, ids in orders.items() if len(ids) != 1] == []
    assert set.union(*orders.values()) <= happened(world).keys()


def test_r22_the_facts_of_a_service_about_an_order_are_numbered_without_a_gap(
    world: World,
) -> None:
    versions: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for topic in PUBLISHED:
        for fact in map(event_of, world.records(topic)):
            if "subjectversion" in fact:
                versions[topic.name, fact["source"], fact["subject"]].append(fact["subjectversion"])

    journals = {of: found for of, found in versions.items() if of[0].endswith(".events")}
    assert len(journals) > 10
    for of, found in journals.items():
        assert sorted(found) == list(range(1, len(found) + 1)), of
