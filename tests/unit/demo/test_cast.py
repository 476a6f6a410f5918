"""The actors say what they planned, counted from the facts that they heard."""

from datetime import timedelta

from services.cli.demo.script import (
    DAY,
    HOUR,
    MINUTE,
    OPENING,
    SECOND_LATE_NOTICE,
    Act,
    Line,
    Script,
    authorizes,
    captures,
    confirms,
    wants_out,
)
from services.cli.demo.traffic import stocking
from shared.clock import from_ms
from shared.events.envelope import Event
from shared.events.gateway import PAYMENTS, PaymentRefunded, PaymentVoided
from shared.events.seller import SHIPMENTS, ShipmentConfirmed
from shared.events.topics import FROM_OUTSIDE
from tests.support.theatre import played

SHELF = (stocking("TEAHOUSE", "SIEVE-FINE", 9),)


def script(*acts: Act) -> Script:
    return Script(
        order_id="303-7777777-0000001",
        at=3 * MINUTE,
        seller_id="TEAHOUSE",
        buyer_id="buyer-77",
        lines=(Line("SIEVE-FINE", 2, 1_990),),
        acts=acts,
    )


def test_an_act_is_counted_from_the_nth_fact_of_its_kind() -> None:
    late = script(Act(authorizes, MINUTE), Act(confirms(1), 3 * HOUR, SECOND_LATE_NOTICE))

    world = played([late], SHELF)

    (record,) = world.records(SHIPMENTS)
    event = Event[ShipmentConfirmed].model_validate_json(record.value or b"")
    ship_by = OPENING.replace(day=3, hour=23, minute=59, second=59)
    assert event.time == ship_by + DAY + 3 * HOUR
    assert event.data.ship_date == event.time


def test_everybody_speaks_on_a_topic_from_outside_only() -> None:
    world = played([script(Act(authorizes, MINUTE), Act(wants_out, 2 * MINUTE))], SHELF)

    said = {topic.name for topic in FROM_OUTSIDE if world.records(topic)}
    assert said == {"orders", "payments", "stock"}
    assert {a.topic for a in world.acknowledged} == said


def test_r7_the_gateway_gives_back_what_it_is_asked_to_and_says_the_sum() -> None:
    twice = (Act(captures, MINUTE), Act(authorizes, 5 * MINUTE), Act(wants_out, 20 * MINUTE))

    world = played([script(*twice)], SHELF)

    (refund,) = world.records(PAYMENTS, PaymentRefunded.TYPE)
    event = Event[PaymentRefunded].model_validate_json(refund.value or b"")
    assert event.data.amount.amount_minor == 1_990
    assert not world.records(PAYMENTS, PaymentVoided.TYPE)
    assert world.books().page("R7").holds


def test_orders_are_placed_at_their_own_instant_in_whole_milliseconds() -> None:
    odd = script()
    object.__setattr__(odd, "at", timedelta(minutes=3, microseconds=1_999))

    world = played([odd], SHELF, until=HOUR)

    (order,) = [e for e in world.log.values() if e and e[0].topic == "orders"]
    assert from_ms(order[0].timestamp) == OPENING + timedelta(minutes=3, milliseconds=1)
