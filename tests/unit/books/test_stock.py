"""P1 in the books: each lie about stock is found."""

import pytest

from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.inventory import INVENTORY_EVENTS, STOCK_LEVELS
from shared.events.warehouse import STOCK
from tests.support.orders import (
    KETTLE,
    KETTLES,
    SELLER,
    TEA,
)
from tests.support.tales import (
    KETTLES_SUBJECT,
    again,
    event_of,
    find,
    holds,
    says,
    shows,
    told,
)
from tests.support.world import World


def test_p1_a_level_that_does_not_add_up(world: World) -> None:
    world.change(find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, 3), holds(available=1))

    assert "available is 1, with on hand 40, reserved 9" in told(world.books(), "P1")


def test_p1_a_negative_level(world: World) -> None:
    negative = holds(on_hand=-1, available=-1, reserved=0)
    world.change(find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, 3), negative)

    assert "available is -1" in told(world.books(), "P1")


def test_p1_a_version_that_is_missing(world: World) -> None:
    world.change(find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, 3), None)

    assert "its changes come to on hand" in told(world.books(), "P1")


def test_p1_a_change_of_another_size_than_its_level(world: World) -> None:
    world.change(find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, 3), holds(reserved_change=7))

    assert "its changes come to on hand" in told(world.books(), "P1")


def test_p1_a_version_that_two_facts_have(world: World) -> None:
    again(world, find(world, STOCK_LEVELS, "", KETTLES_SUBJECT), says(id="x", causationid="x"))

    assert "one of its versions is told of two events" in told(world.books(), "P1")


def test_p1_depleted_with_units_available(world: World) -> None:
    depleted = says(type="stock.depleted.v1")
    world.change(find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, 3), depleted)

    assert "was told to be depleted with 31 available" in told(world.books(), "P1")


@pytest.mark.parametrize("at", [0, 1, 2])
def test_p1_redis_that_differs_from_the_facts(world: World, at: int) -> None:
    world.stock.levels[SELLER, KETTLE][at] += 1

    assert f"{KETTLES_SUBJECT}: is on hand" in told(world.books(), "P1")


def test_p1_a_level_that_redis_has_lost(world: World) -> None:
    del world.stock.levels[SELLER, KETTLE]

    assert "is on hand 0, reserved 0, version 0 in Redis" in told(world.books(), "P1")


@pytest.mark.parametrize(
    "other",
    [
        {"on_hand": 41, "available": 41, "on_hand_change": 41},
        {"available": 39, "reserved": 1, "reserved_change": 1},
    ],
)
def test_p1_a_count_that_set_another_number(world: World, other: dict[str, int]) -> None:
    world.change(find(world, STOCK_LEVELS, "", KETTLES_SUBJECT), holds(**other))

    assert "stock.set.v1 said-1 changed on hand by 4" in told(world.books(), "P1")


def test_p1_an_adjustment_that_changed_by_another_number(world: World) -> None:
    world.change(find(world, STOCK, "stock.adjusted", f"{SELLER}/{TEA}"), holds(change=-8))

    assert "stock.adjusted.v1 said-3 changed on hand by -7" in told(world.books(), "P1")


@pytest.mark.parametrize(("type_", "units"), [("stock.restocked", 6), ("stock.damaged", 5)])
def test_p1_units_that_came_or_went_by_another_number(world: World, type_: str, units: int) -> None:
    command = find(world, STOCK, type_, f"{SELLER}/{TEA}")
    world.change(command, holds(units=units))

    named = f"{type_}.v1 {event_of(command)['id']} changed on hand"
    assert named in told(world.books(), "P1")


def test_p1_more_units_returned_than_the_lines_say(world: World) -> None:
    returned = find(world, FULFILLMENT_EVENTS, "order.units_returned", "returned")
    first, _ = event_of(returned)["data"]["items"]
    world.change(returned, holds(items=[first]))

    assert f"returned: {{'{KETTLES}': 1}} came back by its facts" in told(world.books(), "P1")


def test_p1_more_units_returned_than_were_shipped(world: World) -> None:
    last = find(world, FULFILLMENT_EVENTS, "", "returned", -1)
    first, second = event_of(last)["data"]["order"]["items"]
    world.change(last, shows(items=[{**first, "quantity_shipped": 1}, second]))

    assert "returned: " in told(world.books(), "P1")
    assert "shipped by its lines" in told(world.books(), "P1")


@pytest.mark.parametrize("condition", ["sellable", "damaged"])
def test_p1_units_that_inventory_took_back_in_another_condition(
    world: World, condition: str
) -> None:
    back = find(world, INVENTORY_EVENTS, "stock.returned", "returned")
    world.change(back, holds(**{condition: []}))

    assert "returned: {('sellable', " in told(world.books(), "P1")
    assert "came back, inventory counted" in told(world.books(), "P1")


def test_p1_damaged_units_that_went_back_to_stock(world: World) -> None:
    for topic, type_ in (
        (FULFILLMENT_EVENTS, "order.units_returned"),
        (INVENTORY_EVENTS, "stock.returned"),
    ):
        record = find(world, topic, type_, "returned")
        data = event_of(record)["data"]
        world.change(record, holds(sellable=[], damaged=[*data["damaged"], *data["sellable"]]))

    assert f"{KETTLES_SUBJECT}: 40 supplied" in told(world.books(), "P1")


def test_p1_more_units_sold_than_supplied(world: World) -> None:
    world.change(find(world, STOCK, "", KETTLES_SUBJECT), None)

    assert f"{KETTLES_SUBJECT}: 18 units sold of 0 supplied" in told(world.books(), "P1")


def test_p1_units_that_left_by_no_order(world: World) -> None:
    for record in world.records(STOCK_LEVELS)[-1:]:
        level = event_of(record)["data"]
        fewer = {name: level[name] - 1 for name in ("on_hand", "available")}
        world.change(record, holds(**fewer))
        world.stock.levels[SELLER, level["sku"]][0] -= 1

    assert "written off, but on hand" in told(world.books(), "P1")


def test_p1_reserved_units_that_no_order_holds(world: World) -> None:
    for record in world.records(STOCK_LEVELS)[-1:]:
        level = event_of(record)["data"]
        world.change(
            record, holds(reserved=level["reserved"] + 1, available=level["available"] - 1)
        )
        world.stock.levels[SELLER, level["sku"]][1] += 1

    assert "orders hold" in told(world.books(), "P1")


def test_p1_an_order_with_more_open_than_inventory_holds_for_it(world: World) -> None:
    last = find(world, FULFILLMENT_EVENTS, "", "parted", -1)
    lines = event_of(last)["data"]["order"]["items"]
    world.change(last, shows(items=[{**lines[0], "quantity_shipped": 1}, lines[1]]))

    assert "parted: of what it ordered" in told(world.books(), "P1")


def test_p1_an_order_whose_units_redis_does_not_hold(world: World) -> None:
    del world.stock.held[SELLER, "parted"]

    assert "parted: Redis holds {} for it" in told(world.books(), "P1")


def test_p1_units_held_for_an_order_that_nobody_knows(world: World) -> None:
    world.stock.held[SELLER, "ghost"] = world.stock.held[SELLER, "parted"]

    assert "ghost: Redis holds" in told(world.books(), "P1")


def test_p1_a_level_on_the_way_that_is_not_the_one_before_and_its_change(world: World) -> None:
    """Its change is right, so that all of them add up."""
    second = find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, 1)
    more = event_of(second)["data"]["on_hand"] + 500
    reserved = event_of(second)["data"]["reserved"]
    world.change(second, holds(on_hand=more, available=more - reserved))

    assert "changed by 0 and 3, is on hand 540" in told(world.books(), "P1")


def test_p1_an_event_that_is_told_twice_counts_once_by_its_last_change(world: World) -> None:
    """Redis had lost it after its level was told, and before its journal was."""
    last = find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, -1)
    version = event_of(last)["data"]["level_version"]
    again(world, last, says(id="x", subjectversion=version + 1), holds(level_version=version + 1))
    world.stock.levels[SELLER, KETTLE][2] += 1

    assert told(world.books(), "P1") == ""


def test_p1_a_version_that_redis_lost_before_it_was_told_is_no_violation(world: World) -> None:
    last = find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, -1)
    world.change(last, holds(level_version=event_of(last)["data"]["level_version"] + 1))
    world.stock.levels[SELLER, KETTLE][2] += 1

    assert told(world.books(), "P1") == ""


def test_p1_ids_are_of_their_source(world: World) -> None:
    """An order and a stock command may have the same id, of two sources."""
    placed = find(world, STOCK_LEVELS, "", KETTLES_SUBJECT, 1)
    count = find(world, STOCK_LEVELS, "", KETTLES_SUBJECT)
    assert event_of(placed)["causationid"] != event_of(count)["causationid"]
    same = says(causationid=event_of(count)["causationid"], causationsource="another")
    world.change(placed, same)

    assert told(world.books(), "P1") == ""
