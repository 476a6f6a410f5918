"""R7 in the books: money that is kept, or asked back too often, is found."""

import json
from io import StringIO

import pytest
from rich.console import Console

from services.cli.observer import books_table
from shared.books.result import Books, Draft
from shared.events.gateway import (
    PAYMENTS,
    AuthorizationLapsed,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentChargedBack,
    PaymentFact,
    PaymentRefunded,
)
from shared.events.payment import PAYMENT_EVENTS
from tests.support.orders import ALL_UNITS, DAY, PURCHASED, TEAS, eur
from tests.support.tales import (
    again,
    ask_to_return,
    cancel,
    event_of,
    find,
    holds,
    open_shop,
    pay,
    place,
    says,
    ship,
    take_back,
    tell_all,
    told,
)
from tests.support.world import World


def captured_world() -> World:
    """Money that is not owed for every reason, and what gateways say beside it."""
    world = open_shop()

    def say(order_id: str, *said: PaymentFact) -> None:
        for fact in said:
            world.say(PAYMENTS, fact, order_id)

    for order_id in ("canceled", "doubled", "mismatched", "topped-up", "taken"):
        place(world, order_id)
    say("canceled", captured(13_368), captured(100))
    cancel(world, "canceled")
    say("doubled", captured(13_368), captured(13_368, "two"))
    say("doubled", refunded(100, "two"), refunded(5, "three"))
    say("mismatched", refunded(7), captured(13_367))
    say("topped-up", captured(13_368), captured(13_400), captured(13_500), captured(13_500))
    cancel(world, "topped-up")
    pay(world, "taken")
    say("taken", captured(13_368, "pay-taken"))
    cancel(world, "taken")
    return world


def captured(minor: int, payment_id: str = "one") -> PaymentCaptured:
    return PaymentCaptured(payment_id=payment_id, amount=eur(minor))


def refunded(minor: int, payment_id: str = "one") -> PaymentRefunded:
    return PaymentRefunded(payment_id=payment_id, amount=eur(minor))


def test_r7_money_that_goes_back_for_every_reason_balances() -> None:
    books = captured_world().books()

    assert books.violations == ()
    assert books.page("R7").counts["requests to give money back"] == 7


def test_r7_amounts_are_shown_in_order_and_as_people_write_them() -> None:
    draft, out = Draft("R7", "Money is owed or back.", ()), StringIO()
    draft.add("voided", "EUR", 5)
    draft.add("captured", "JPY", 1_234_567)
    draft.add("authorized", "EUR", 106_944)
    draft.add("captured", "EUR", 90)
    draft.add("captured", "EUR", 10)

    Console(file=out, width=160).print(books_table(Books((draft.page(),))))

    shown = [line.split("│")[-2].strip() for line in out.getvalue().splitlines() if "EUR" in line]
    assert shown == [
        "authorized: 1,069.44 EUR",
        "captured: 1.00 EUR, 1,234,567 JPY",
        "voided: 0.05 EUR",
    ]


def test_r7_money_that_moved_is_added_up_by_its_currency(world: World) -> None:
    amounts = world.books().page("R7").amounts

    assert [(amount.how, amount.currency) for amount in amounts] == [
        ("authorized", "EUR"),
        ("voided", "EUR"),
    ]


@pytest.mark.parametrize("order_id", ["canceled", "doubled", "mismatched", "topped-up", "taken"])
def test_r7_captured_money_that_is_kept(order_id: str) -> None:
    world = captured_world()
    asked = find(world, PAYMENT_EVENTS, "payment.refund_requested", order_id)
    world.change(asked, None)

    assert f"{order_id}: payment " in told(world.books(), "R7")
    assert "is not owed, but only" in told(world.books(), "R7")


def test_r7_authorised_money_that_is_kept(world: World) -> None:
    world.change(find(world, PAYMENT_EVENTS, "payment.void_requested", "canceled"), None)

    assert "canceled: payment pay-canceled (EUR): 13368 is not owed, but only 0 is voided" in told(
        world.books(), "R7"
    )


@pytest.mark.parametrize("order_id", ["canceled", "topped-up"])
def test_r7_more_asked_back_than_came(order_id: str) -> None:
    world = captured_world()
    asked = find(world, PAYMENT_EVENTS, "payment.refund_requested", order_id, -1)
    again(world, asked, says(id="x", causationid="y"), holds(amount=eur(1).model_dump()))

    assert "asked to be refunded, of" in told(world.books(), "R7")


def test_r7_owed_money_that_is_asked_back(world: World) -> None:
    asked = find(world, PAYMENT_EVENTS, "payment.void_requested", "canceled")
    event = event_of(asked)
    for change in (says(id="x", subject="parted"), holds(payment_id="pay-parted")):
        change(event)
    at = find(world, PAYMENT_EVENTS, "", "parted").partition
    world.append(PAYMENT_EVENTS.name, at, b"parted", json.dumps(event).encode())

    assert "parted: payment pay-parted (EUR): 13368 asked to be voided, of 0" in told(
        world.books(), "R7"
    )


def test_r7_two_requests_for_one_cause(world: World) -> None:
    asked = find(world, PAYMENT_EVENTS, "payment.void_requested", "canceled")
    again(world, asked, says(id="x"), holds(amount=eur(1).model_dump()))

    assert "2 times payment.void_requested.v1 for order_canceled" in told(world.books(), "R7")


def test_r7_money_that_is_not_counted_as_the_gateway_told_it(world: World) -> None:
    world.change(find(world, PAYMENTS, "", "parted"), holds(amount=eur(13_369).model_dump()))

    assert "parted: payment pay-parted (EUR): 13369 authorized, 13368 counted" in told(
        world.books(), "R7"
    )


def test_r7_money_returned_that_is_not_counted(world: World) -> None:
    world.change(find(world, PAYMENT_EVENTS, "payment.money_returned", "stopped"), None)

    assert "stopped: payment pay-stopped (EUR): 13368 voided, 0 counted" in told(
        world.books(), "R7"
    )


def test_r7_money_that_waits_for_its_order_is_not_counted_yet() -> None:
    world = tell_all()
    pay(world, "to-come")

    assert world.books().balanced


def test_r7_a_canceled_order_whose_payment_goes_on(world: World) -> None:
    for record in world.records(PAYMENT_EVENTS):
        if record.key == b"canceled" and b"verification_started" not in (record.value or b""):
            world.change(record, None)

    assert "canceled: was canceled, and its payment is not closed" in told(world.books(), "R7")


def test_r7_money_that_was_a_dead_letter_and_comes_again_for_its_order_is_counted() -> None:
    world, order_id = open_shop(), "late-order"
    paid = captured(13_368)
    world.say(PAYMENTS, paid, order_id, id_="early")
    world.pass_time(PURCHASED + 2 * DAY)
    place(world, order_id, purchase_date=PURCHASED + 2 * DAY)

    world.say(PAYMENTS, paid, order_id, id_="early")

    assert told(world.books(), "R7") == ""


def test_r7_a_shipped_order_whose_money_is_not_captured(world: World) -> None:
    world.change(find(world, PAYMENT_EVENTS, "payment.capture_requested", "shipped"), None)

    assert "shipped: 13368 is owed for what was shipped, and 0 is kept" in told(world.books(), "R7")


def test_r7_of_a_capture_in_part_before_the_package_the_rest_is_asked_for() -> None:
    world = open_shop()
    place(world, "bit-by-bit")
    pay(world, "bit-by-bit")
    world.say(PAYMENTS, captured(1_000, "pay-bit-by-bit"), "bit-by-bit")
    world.pass_time(PURCHASED + DAY)
    ship(world, "bit-by-bit", ALL_UNITS)

    assert told(world.books(), "R7") == ""


def test_r7_a_renewed_payment_whose_second_capture_is_not_asked_for() -> None:
    world = open_shop()
    place(world, "renewed")
    pay(world, "renewed")
    world.pass_time(PURCHASED + DAY)
    ship(world, "renewed", ALL_UNITS)
    world.say(PAYMENTS, AuthorizationLapsed(payment_id="pay-renewed"), "renewed")
    pay(world, "renewed", 2 * 13_368)
    assert told(world.books(), "R7") == ""

    asked = find(world, PAYMENT_EVENTS, "payment.capture_requested", "renewed", -1)
    world.change(asked, None)

    assert "renewed: 13368 is owed for what was shipped, and 0 is kept" in told(world.books(), "R7")


def test_r7_money_authorised_after_a_void_that_came_too_late_and_not_voided() -> None:
    world = open_shop()
    place(world, "again")
    pay(world, "again")
    cancel(world, "again")
    world.say(PAYMENTS, captured(13_368, "pay-again"), "again")
    pay(world, "again", 2 * 13_368)
    assert told(world.books(), "R7") == ""

    world.change(find(world, PAYMENT_EVENTS, "payment.void_requested", "again", -1), None)

    assert "13368 is not owed, but only 0 is voided" in told(world.books(), "R7")


def test_r7_what_is_charged_back_beside_a_refund_is_not_asked_back() -> None:
    world = open_shop()
    place(world, "disputed")
    pay(world, "disputed")
    world.pass_time(PURCHASED + DAY)
    ship(world, "disputed", {TEAS: 1})
    world.say(PAYMENTS, captured(13_368, "pay-disputed"), "disputed")
    ask_to_return(world, "disputed", {TEAS: 1})
    take_back(world, "disputed", {(TEAS, "Sellable"): 1})
    world.say(PAYMENTS, PaymentChargedBack(payment_id="pay-disputed", amount=eur(100)), "disputed")
    world.pass_time(PURCHASED + 31 * DAY)

    assert told(world.books(), "R7") == ""


def test_r7_canceled_units_whose_money_is_kept(world: World) -> None:
    world.pass_time(PURCHASED + 31 * DAY)
    world.say(PAYMENTS, captured(13_368, "pay-parted"), "parted")
    assert told(world.books(), "R7") == ""
    world.change(find(world, PAYMENT_EVENTS, "payment.refund_requested", "parted"), None)

    assert "parted: " in told(world.books(), "R7")
    assert "is owed for what was shipped, and 13368 is kept" in told(world.books(), "R7")


def test_p3_a_renewal_whose_request_is_missing_is_told_of() -> None:
    world = open_shop()
    place(world, "renewed")
    pay(world, "renewed")
    world.say(PAYMENTS, AuthorizationLapsed(payment_id="pay-renewed"), "renewed")
    world.say(PAYMENTS, PaymentAuthorized(payment_id="anew", amount=eur(13_368)), "renewed")
    assert told(world.books(), "R7") == ""

    world.change(find(world, PAYMENT_EVENTS, "payment.authorization_requested", "renewed"), None)

    assert "renewed" in told(world.books(), "P3")
