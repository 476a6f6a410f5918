"""What comes too early, twice, or about an order that nobody has placed (R25)."""

import pytest

from shared.events.gateway import PaymentAuthorized
from shared.events.parking import EventParked, EventUnparked
from tests.support.story import CANCELED, DAY, HOUR, MINUTE, ONE_MS, Story
from tests.support.town import Shelf, Town

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(180)]


async def test_r25_a_second_order_under_the_same_id_is_refused_and_takes_no_stock(
    town: Town, shelf: Shelf
) -> None:
    story = Story(town, shelf, units=2)
    await story.is_placed()
    await story.is_placed()
    other = await town.shelf(on_hand=5)
    item = story.placed().items[0].model_copy(update={"sku": other.sku})
    await story.is_placed(seller_id=other.seller_id, items=(item,))

    assert story.refusals == ["order_exists", "order_exists"]
    assert story.stock == ["reserved", "held_by_rival", "held_by_rival"]
    assert story.levels == (8, 6, 2)
    assert town.papers.level(*other).available == 5


async def test_p3_the_same_event_twice_is_no_news(town: Town, shelf: Shelf) -> None:
    story = Story(town, shelf, units=2)
    await story.is_placed(id_=f"placed-{story.order_id}")
    await story.is_placed(id_=f"placed-{story.order_id}")

    assert story.life == ["held", "condition_met stock"]
    assert story.levels == (8, 6, 2)


async def test_r11_r25_a_shipment_of_an_unknown_order_is_refused_and_never_parked(
    town: Town, shelf: Shelf
) -> None:
    story = Story(town, shelf)
    await story.is_shipped()

    assert story.refusals == ["unknown_order"]
    assert story.parking == []
    await story.is_placed()
    assert story.status == "Pending"
    assert story.order.packages == ()


async def test_r25_what_precedes_its_order_is_parked_and_applied_when_the_order_comes(
    town: Town, shelf: Shelf
) -> None:
    story, monday = Story(town, shelf), town.now
    await story.is_authorized()
    await story.is_delivered()
    assert [type(fact) for fact in story.parking] == [EventParked, EventParked]
    await town.pass_time(24 * HOUR - ONE_MS)
    await story.is_placed(purchase_date=monday)

    unparked = [fact for fact in story.parking if isinstance(fact, EventUnparked)]
    assert [fact.outcome for fact in unparked] == ["decided", "decided"]
    assert story.status == "Unshipped"
    assert story.money == ["approved"]
    assert [d.carrier_delivered_at for d in story.order.unconfirmed_deliveries] == [monday]
    await town.pass_time(1 * DAY)
    assert story.letters == []


async def test_r14_r25_a_cancel_that_precedes_its_order_cancels_it_in_the_hold(
    town: Town, shelf: Shelf
) -> None:
    story, monday = Story(town, shelf), town.now
    await town.pass_time(5 * MINUTE)
    await story.is_canceled_by_the_buyer()
    await town.pass_time(1 * MINUTE)
    await story.is_placed(purchase_date=monday)

    assert story.status == "Canceled: buyer"
    assert story.order.cancellation is not None
    assert story.order.cancellation.executed_by == "BUYER"
    assert story.notices == [CANCELED]
    assert story.levels == (8, 8, 0)


async def test_r25_p6_what_was_parked_for_24_hours_in_vain_is_a_dead_letter(
    town: Town, shelf: Shelf
) -> None:
    story = Story(town, shelf)
    await story.is_authorized()
    await story.is_canceled_by_the_buyer()
    await town.pass_time(24 * HOUR - ONE_MS)
    assert story.letters == []
    await town.pass_time(ONE_MS)

    kept = {(letter.service, letter.topic, letter.reason) for letter in story.letters}
    assert kept == {
        ("payment", "payments", "no_such_order"),
        ("fulfillment", "orders", "no_such_order"),
    }
    assert len(story.letters) == 2
    outcomes = [fact.outcome for fact in story.parking if isinstance(fact, EventUnparked)]
    assert outcomes == ["no_such_order", "no_such_order"]
    await story.is_placed()
    assert story.status == "Pending"
    assert story.money == []


async def test_r25_p3_the_same_early_event_after_its_dead_letter_waits_again_as_a_new_fact(
    town: Town, shelf: Shelf
) -> None:
    story = Story(town, shelf)
    early = PaymentAuthorized(payment_id=story.payment_id, amount=story.total)
    await story.hears(early, id_=f"early-{story.order_id}")
    await town.pass_time(1 * DAY)
    await story.hears(early, id_=f"early-{story.order_id}")
    await story.is_placed()

    assert [type(fact) for fact in story.parking] == 2 * [EventParked, EventUnparked]
    assert story.money == ["approved"]
    assert len(story.letters) == 1
    assert town.papers.doubled == []


async def test_p1_to_p6_the_books_balance_after_all_that_came_early_or_twice(town: Town) -> None:
    books = await town.books()

    assert books.violations == ()
    assert books.unchecked == ("P1: no units sold",), "nothing was shipped in these stories"
    assert town.papers.doubled == []
