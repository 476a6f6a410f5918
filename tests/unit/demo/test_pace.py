"""How far the services are behind, by what they have said and what they have not."""

from dataclasses import dataclass

import pytest

from services.cli.demo.pace import Pace
from services.cli.demo.seen import Seen
from services.cli.demo.stage import OPENING
from shared.clock import Step, Timeline, to_ms
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.fulfillment import FULFILLMENT_EVENTS, OrderHeld
from shared.events.storefront import ORDERS
from tests.support.theatre import Records

RATE = 180
BEGAN_MS = 5_000


TIMELINE = Timeline((Step(BEGAN_MS, to_ms(OPENING), RATE),))


@dataclass
class Clock:
    """Business time began to run 5 s after the wall's zero, an hour in 20 s."""

    now_wall_ms: int
    timeline: Timeline = TIMELINE

    def wall_ms(self) -> int:
        return self.now_wall_ms


HELD_AT_MS = BEGAN_MS + 3 * 60_000 // RATE
"""Minute 3, when the first story's order was placed and held."""
HOLD_ENDS_MS = BEGAN_MS + 33 * 60_000 // RATE


@pytest.fixture
def held(records: Records) -> Records:
    return tuple(
        record
        for record in records
        if record.topic in (ORDERS.name, FULFILLMENT_EVENTS.name)
        and record.key == b"303-0000001-1600001"
        and OrderHeld.TYPE.encode() in (record.value or b"")
    )[:1]


def test_a_fact_is_as_late_as_it_comes_after_its_time(held: Records) -> None:
    clock, seen = Clock(HELD_AT_MS + 250), Seen()
    pace = Pace(clock, seen)

    told = seen.take(held[0])
    assert told is not None
    pace.hear(told)

    assert pace.behind_ms() == 250
    clock.now_wall_ms += 1_000
    assert pace.behind_ms() == 250
    pace.restart()
    assert pace.behind_ms() == 0


def test_a_deadline_on_which_nobody_acts_makes_the_services_late(held: Records) -> None:
    clock, seen = Clock(HOLD_ENDS_MS - 1), Seen()
    pace = Pace(clock, seen)
    seen.take(held[0])

    assert pace.behind_ms() == 0
    clock.now_wall_ms = HOLD_ENDS_MS + 400
    assert pace.behind_ms() == 400


def test_what_comes_from_outside_is_no_sign_of_the_services(records: Records) -> None:
    clock, seen = Clock(BEGAN_MS + 60_000), Seen()
    pace = Pace(clock, seen)
    (placed, *_) = (record for record in records if record.topic == ORDERS.name)
    told = seen.take(placed)
    assert told is not None

    pace.hear(told)

    assert pace.behind_ms() == 0


def test_deadlines_service_counts_among_the_services(records: Records) -> None:
    clock, seen = Clock(BEGAN_MS + 10**9), Seen()
    pace = Pace(clock, seen)
    reached = next(record for record in records if record.topic == DEADLINES_EVENTS.name)
    told = seen.take(reached)
    assert told is not None

    pace.hear(told)

    assert pace.behind_ms() > 0
