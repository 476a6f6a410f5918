"""R24: the policy of each marketplace that is deployed, and an order's whole life under it.

Each order is placed where its place matters (before a holiday, a change of the clock, a year's
end), paid in its hold, and never shipped. The dates are counted by hand, from a calendar on paper.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from shared.events.fields import ServiceLevel
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.storefront import ORDERS, CancelRequested
from shared.events.warehouse import STOCK, StockSet
from shared.policy import Policies
from tests.support.orders import BUYER, DAY, KETTLE, MINUTE, ONE_MS, SELLER, TEA
from tests.support.tales import pay, place
from tests.support.world import World

DEPLOYED = Path(__file__).parents[2] / "deploy" / "policies"
ORDER_ID = "902-2207301-7411903"


class Walk(NamedTuple):
    """An order's instants, as the local clock shows them."""

    zone: str
    country: str
    anchor: str
    purchased: str
    hold_minutes: int
    ship_by: str
    expected: tuple[str, str]
    new_date: str
    warned: str
    canceled: str


WALKS = {
    "default": Walk(
        "UTC",
        "None",
        "order_date",
        purchased="2026-12-31T23:45:00+00:00",  # the hold ends in the next year
        hold_minutes=30,
        ship_by="2027-01-05T23:59:59+00:00",  # Friday the 1st is a working day here
        expected=("2027-01-06T00:00:00+00:00", "2027-01-12T23:59:59+00:00"),
        new_date="2027-01-13T23:59:59+00:00",
        warned="2027-01-23T23:45:00+00:00",
        canceled="2027-01-30T23:45:00+00:00",
    ),
    "ATVPDKIKX0DER": Walk(
        "America/Los_Angeles",
        "US",
        "ship_by",
        purchased="2026-11-25T15:40:00-08:00",  # the day before Thanksgiving
        hold_minutes=30,
        ship_by="2026-11-27T23:59:59-08:00",
        expected=("2026-12-01T00:00:00-08:00", "2026-12-04T23:59:59-08:00"),
        new_date="2026-12-07T23:59:59-08:00",  # a Monday: it leaves on Monday the 30th
        warned="2026-12-06T23:59:59-08:00",
        canceled="2026-12-08T23:59:59-08:00",  # seven working days after the ship-by date
    ),
    "A1VC38T7YXB528": Walk(
        "Asia/Tokyo",
        "JP",
        "order_date",
        purchased="2026-05-01T15:40:00+09:00",  # Friday before the Golden Week: 4, 5, 6 are off
        hold_minutes=5,
        ship_by="2026-05-08T23:59:59+09:00",
        expected=("2026-05-07T00:00:00+09:00", "2026-05-13T23:59:59+09:00"),
        new_date="2026-05-14T23:59:59+09:00",
        warned="2026-05-24T15:40:00+09:00",
        canceled="2026-05-31T15:40:00+09:00",
    ),
    "A2Q3Y263D00KWC": Walk(
        "America/Sao_Paulo",
        "BR",
        "order_date",
        purchased="2026-12-30T23:45:00-03:00",  # released on Thursday the 31st; Friday is off
        hold_minutes=30,
        ship_by="2027-01-05T23:59:59-03:00",
        expected=("2027-01-06T00:00:00-03:00", "2027-01-12T23:59:59-03:00"),
        new_date="2027-01-13T23:59:59-03:00",
        warned="2027-01-22T23:45:00-03:00",
        canceled="2027-01-29T23:45:00-03:00",
    ),
    "A1PA6795UKMFR9": Walk(
        "Europe/Berlin",
        "DE",
        "ship_by",
        purchased="2026-03-26T23:40:00+01:00",  # clocks go forward on Sunday, 3 and 6 April are off
        hold_minutes=30,
        ship_by="2026-03-30T23:59:59+02:00",
        expected=("2026-03-30T00:00:00+02:00", "2026-04-02T23:59:59+02:00"),
        new_date="2026-04-07T23:59:59+02:00",
        warned="2026-04-08T23:59:59+02:00",
        canceled="2026-04-10T23:59:59+02:00",
    ),
    "A1F83G8C2ARO7P": Walk(
        "Europe/London",
        "GB",
        "order_date",
        purchased="2026-10-23T15:40:00+01:00",  # clocks go back on Sunday
        hold_minutes=30,
        ship_by="2026-10-27T23:59:59+00:00",
        expected=("2026-10-28T00:00:00+00:00", "2026-11-03T23:59:59+00:00"),
        new_date="2026-11-04T23:59:59+00:00",
        warned="2026-11-15T14:40:00+00:00",
        canceled="2026-11-22T14:40:00+00:00",  # thirty days of 24 hours
    ),
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def snapshot(world: World) -> dict[str, Any]:
    """The order after its last fact."""
    last = json.loads(world.records(FULFILLMENT_EVENTS)[-1].value or b"")
    order: dict[str, Any] = last["data"]["order"]
    return order


def opened(marketplace_id: str, purchased: datetime) -> World:
    """A world in which an order was just placed and paid, under the deployed policies."""
    world = World(purchased, Policies.load(DEPLOYED))
    for sku in (KETTLE, TEA):
        world.say(STOCK, StockSet(seller_id=SELLER, sku=sku, on_hand=9))
    place(world, ORDER_ID, marketplace_id=marketplace_id, purchase_date=purchased)
    pay(world, ORDER_ID)
    return world


def test_r24_every_deployed_policy_is_walked_through() -> None:
    assert {path.stem for path in DEPLOYED.iterdir()} == WALKS.keys()


@pytest.mark.parametrize("marketplace_id", WALKS)
def test_r24_an_order_lives_and_ends_by_its_marketplaces_calendar(marketplace_id: str) -> None:
    walk = WALKS[marketplace_id]
    purchased, ship_by, canceled = at(walk.purchased), at(walk.ship_by), at(walk.canceled)
    held_until = purchased + walk.hold_minutes * MINUTE
    world = opened(marketplace_id, purchased)

    world.pass_time(held_until - ONE_MS)
    assert (snapshot(world)["status"], at(snapshot(world)["hold_ends"])) == ("Pending", held_until)

    world.pass_time(held_until)
    released = snapshot(world)
    assert released["status"] == "Unshipped"
    assert at(released["ship_window"]["latest"]) == ship_by
    assert (
        at(released["delivery_window"]["earliest"]),
        at(released["delivery_window"]["latest"]),
    ) == tuple(map(at, walk.expected))

    world.pass_time(ship_by - ONE_MS)
    assert snapshot(world)["late_notices"] == 0
    world.pass_time(ship_by)
    late = snapshot(world)
    assert late["late_notices"] == 1
    assert at(late["delivery_window"]["latest"]) == at(walk.new_date)

    world.pass_time(at(walk.warned) - ONE_MS)
    assert not told(world, "cancel_warning")
    world.pass_time(at(walk.warned))
    assert told(world, "cancel_warning")

    world.pass_time(canceled - ONE_MS)
    assert snapshot(world)["status"] == "Unshipped"
    world.pass_time(canceled)
    assert snapshot(world)["status"] == "Canceled"
    assert snapshot(world)["cancellation"]["reason"] == "shipment_unconfirmed"

    world.pass_time(canceled + 45 * DAY - ONE_MS)
    assert "archived_at" not in snapshot(world)
    world.pass_time(canceled + 90 * DAY)  # each new date has moved the end of its return window
    assert at(snapshot(world)["archived_at"]) >= canceled + 45 * DAY


def told(world: World, kind: str) -> list[Any]:
    notices = (json.loads(r.value or b"")["data"] for r in world.records("notices"))
    return [notice for notice in notices if notice["kind"] == kind]


@pytest.mark.parametrize("marketplace_id", WALKS)
def test_r24_policy_check_tells_the_instants_that_the_services_decide(marketplace_id: str) -> None:
    walk = WALKS[marketplace_id]
    local = walk.purchased[:16]
    file = DEPLOYED / f"{marketplace_id}.yaml"

    shown = CliRunner().invoke(app, ["policy", "check", str(file), "--placed", local, "--json"])

    assert shown.exit_code == 0, shown.output
    (document,) = json.loads(shown.stdout)
    found = {step["what"]: at(step["at"]) for step in document["example"]}
    assert found["it is placed"] == at(walk.purchased)
    assert found["it is held until then"] == at(walk.purchased) + walk.hold_minutes * MINUTE
    assert found["the seller is to ship it by then"] == at(walk.ship_by)
    assert found["the buyer may expect it from then on"] == at(walk.expected[0])
    assert found["the buyer may expect it until then"] == at(walk.expected[1])
    assert found["if it is late, the buyer's new date"] == at(walk.new_date)
    assert found["if it is unconfirmed, the seller is warned"] == at(walk.warned)
    assert found["if it is unconfirmed, it is canceled"] == at(walk.canceled)


@pytest.mark.parametrize("marketplace_id", WALKS)
def test_r24_every_deployed_policy_has_its_place_and_a_time_for_every_service_level(
    marketplace_id: str,
) -> None:
    policy, walk = Policies.load(DEPLOYED).of(marketplace_id), WALKS[marketplace_id]

    assert (policy.time_zone, str(policy.calendar_country)) == (walk.zone, walk.country)
    assert (policy.auto_cancel_anchor, policy.hold_minutes) == (walk.anchor, walk.hold_minutes)
    assert policy.handling_days.keys() == policy.transit_days.keys() == {*get_args(ServiceLevel)}
    assert 0 < policy.cut_off_hour < 24


@pytest.mark.parametrize(
    ("after", "within_hold"), [(timedelta(0), False), (-ONE_MS, True)], ids=["5:00", "4:59.999"]
)
def test_r14_in_japan_the_buyer_cancels_alone_for_five_minutes(
    after: timedelta, within_hold: bool
) -> None:
    purchased = at(WALKS["A1VC38T7YXB528"].purchased)
    world = opened("A1VC38T7YXB528", purchased)
    world.now_ms += int((5 * MINUTE + after) / ONE_MS)

    world.say(ORDERS, CancelRequested(buyer_id=BUYER), ORDER_ID)

    assert snapshot(world)["cancellation"]["within_hold"] is within_hold
