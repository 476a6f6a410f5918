"""An order worked through: the instants that a policy makes of one purchase (R24)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from shared.events.fields import ServiceLevel
from shared.policy import Policy

FRIDAY = "2027-03-05T15:40"
"""Before a weekend, after most sellers' cut-off, and no holiday near in most countries."""


class Step(NamedTuple):
    """What comes of the order, and when (in UTC)."""

    what: str
    at: datetime


def worked_through(
    policy: Policy, placed: datetime, level: ServiceLevel, skus: Sequence[str]
) -> list[Step]:
    """What becomes of an order that is placed at a local time and paid by the end of its hold, in
    the order of time; what begins with `if` happens only then.
    """
    purchased = placed.replace(tzinfo=policy.calendar.time_zone).astimezone(UTC)
    released = policy.hold_end(purchased)
    ship = policy.ship_window(released, level, skus)
    delivery = policy.delivery_window(ship, level, skus)
    late = policy.new_delivery_window(ship.latest, level, skus, delivery.latest)
    cancel_at = policy.auto_cancel_at(purchased, ship.latest)
    steps = (
        Step("it is placed", purchased),
        Step("it is held until then", released),
        Step("if it is not paid by then, it is canceled", policy.verification_end(purchased)),
        Step("the seller is to ship it by then", ship.latest),
        Step("the buyer may expect it from then on", delivery.earliest),
        Step("the buyer may expect it until then", delivery.latest),
        Step("if it is late, the buyer's new date", late.latest),
        Step("if it is late, both are told again", policy.next_late_notice(ship.latest)),
        Step("if it is unconfirmed, the seller is warned", policy.cancel_warning_at(cancel_at)),
        Step("if it is unconfirmed, it is canceled", cancel_at),
        Step("if it has not arrived by then, it is lost", policy.package_lost_at(delivery.latest)),
        Step("a return can be asked for until then", policy.return_until(delivery.latest)),
    )
    return sorted(steps, key=lambda step: step.at)
