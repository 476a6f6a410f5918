"""R7 in the books, with a provider: what it moved and what payment counted are the same."""

import pytest

from services.cli.provider_server import Move
from shared.events.gateway import (
    PAYMENTS,
    AuthorizationLapsed,
    PaymentAuthorized,
    PaymentVoided,
)
from shared.events.payment import PAYMENT_EVENTS
from tests.support.orders import eur
from tests.support.tales import cancel, find, holds, open_shop, place, told
from tests.support.world import World

PAID = 13_368
AUTHORIZED = Move("key-1", "asked", "one", "authorized", PAID, "EUR")
VOIDED = Move("key-2", "asked", "one", "voided", PAID, "EUR")


@pytest.fixture
def world() -> World:
    """An order that the provider authorised; canceled, and the authorisation released."""
    world = open_shop()
    place(world, "asked")
    started = find(world, PAYMENT_EVENTS, "payment.verification_started", "asked")
    world.answer(started, PaymentAuthorized(payment_id="one", amount=eur(PAID)))
    cancel(world, "asked")
    request = find(world, PAYMENT_EVENTS, "payment.void_requested", "asked")
    world.answer(request, PaymentVoided(payment_id="one", amount=eur(PAID)))
    return world


def test_r7_what_the_provider_moved_and_payment_counted_balances(world: World) -> None:
    books = world.books(moves=[AUTHORIZED, VOIDED])

    assert books.violations == ()
    assert books.page("R7").counts["movements by the provider"] == 2


def test_r7_answers_need_no_ledger_to_balance(world: World) -> None:
    assert world.books().violations == ()


def test_r7_money_that_moved_and_was_never_counted(world: World) -> None:
    again = Move("key-3", "asked", "two", "captured", 7, "EUR")

    assert "asked: payment two (EUR): the provider has 7 captured, 0 counted" in told(
        world.books(moves=[AUTHORIZED, VOIDED, again]), "R7"
    )


def test_r7_money_that_moved_for_an_order_that_nobody_knows(world: World) -> None:
    lost = Move("key-3", "never-heard-of", "two", "captured", 7, "EUR")

    assert "never-heard-of: payment two (EUR): the provider has 7 captured, 0 counted" in told(
        world.books(moves=[AUTHORIZED, VOIDED, lost]), "R7"
    )


def test_r7_money_that_was_counted_and_never_moved(world: World) -> None:
    assert "the provider has 0 voided, 13368 counted" in told(world.books(moves=[AUTHORIZED]), "R7")


def test_r7_a_request_that_was_done_twice(world: World) -> None:
    assert "the provider did key-2 2 times" in told(
        world.books(moves=[AUTHORIZED, VOIDED, VOIDED]), "R7"
    )


def test_r7_an_answer_that_was_counted_as_something_else(world: World) -> None:
    returned = find(world, PAYMENT_EVENTS, "payment.money_returned", "asked")
    world.change(returned, holds(amount=eur(PAID - 1).model_dump()))

    assert "the provider has 13368 voided, 13367 counted" in told(
        world.books(moves=[AUTHORIZED, VOIDED]), "R7"
    )


@pytest.mark.parametrize("early", [False, True], ids=["lapsed", "lapsed before it was told"])
def test_r7_an_authorisation_that_lapsed_and_was_renewed_by_calls_balances(early: bool) -> None:
    world = open_shop()
    place(world, "asked")
    started = find(world, PAYMENT_EVENTS, "payment.verification_started", "asked")
    lapsed, held = AuthorizationLapsed(payment_id="one"), eur(PAID)
    if early:
        world.say(PAYMENTS, lapsed, "asked")
    world.answer(started, PaymentAuthorized(payment_id="one", amount=held))
    if not early:
        world.say(PAYMENTS, lapsed, "asked")
    again = find(world, PAYMENT_EVENTS, "payment.authorization_requested", "asked")
    world.answer(again, PaymentAuthorized(payment_id="two", amount=held))
    renewed = Move("key-3", "asked", "two", "authorized", PAID, "EUR")

    assert world.books(moves=[AUTHORIZED, renewed]).violations == ()
