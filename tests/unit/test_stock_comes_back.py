"""R1, R6: whatever becomes of an order that is not shipped, the stock is as it was before it."""

from collections.abc import Callable, Mapping

import pytest

from shared.events.fulfillment import Order
from shared.events.gateway import (
    PAYMENTS,
    FraudSuspected,
    PaymentAuthorized,
    PaymentDeclined,
    VerificationUnavailable,
)
from shared.events.seller import SHIPMENTS, CancelReasonCode, SellerCanceled
from shared.events.storefront import ORDERS
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    KETTLE,
    MINUTE,
    ORDER_ID,
    PURCHASED,
    SELLER,
    TEA,
    eur,
    placed,
)
from tests.support.tales import cancel, open_shop, pay, place, too_many
from tests.support.world import World, place_of

PAY_ID = "pay-83"


def is_placed(world: World) -> None:
    place(world, ORDER_ID)


def is_unshipped(world: World) -> None:
    is_placed(world)
    pay(world, ORDER_ID)
    world.pass_time(HOLD_ENDS + MINUTE)


def lacks_one_of_two_skus(world: World) -> None:
    place(world, ORDER_ID, **too_many(41))


def is_declined(world: World) -> None:
    is_placed(world)
    world.say(PAYMENTS, PaymentDeclined(payment_id=PAY_ID), ORDER_ID)


def is_fraud(world: World) -> None:
    is_placed(world)
    world.say(PAYMENTS, FraudSuspected(payment_id=PAY_ID), ORDER_ID)


def is_paid_too_little(world: World) -> None:
    is_placed(world)
    world.say(PAYMENTS, PaymentAuthorized(payment_id=PAY_ID, amount=eur(13_367)), ORDER_ID)


def is_never_paid(world: World) -> None:
    is_placed(world)
    world.say(PAYMENTS, VerificationUnavailable(payment_id=PAY_ID), ORDER_ID)


def is_canceled_in_its_hold(world: World) -> None:
    is_placed(world)
    pay(world, ORDER_ID)
    cancel(world, ORDER_ID)


def is_canceled_before_it_is_placed(world: World) -> None:
    cancel(world, ORDER_ID)
    is_placed(world)


def is_canceled_after_its_hold(world: World) -> None:
    is_unshipped(world)
    cancel(world, ORDER_ID)


def is_given_up(world: World, code: CancelReasonCode = "PricingError") -> None:
    is_unshipped(world)
    world.say(SHIPMENTS, SellerCanceled(seller_id=SELLER, reason_code=code), ORDER_ID)


def is_never_confirmed(world: World) -> None:
    is_unshipped(world)


def comes_long_after_its_window(world: World) -> None:
    world.pass_time(PURCHASED + 9 * DAY)
    is_placed(world)


def is_placed_under_an_id_that_is_taken(world: World) -> None:
    is_canceled_in_its_hold(world)
    again = placed(order_total=eur(1), buyer=placed().buyer)
    world.say(ORDERS, again, ORDER_ID)


FAILS: Mapping[str, Callable[[World], None]] = {
    "out_of_stock": lacks_one_of_two_skus,
    "payment_declined": is_declined,
    "fraud_suspected": is_fraud,
    "payment_mismatch": is_paid_too_little,
    "payment_timeout": is_never_paid,
    "payment_timeout at once": comes_long_after_its_window,
    "buyer": is_canceled_in_its_hold,
    "buyer before": is_canceled_before_it_is_placed,
    "buyer later": is_canceled_after_its_hold,
    "buyer, its id taken": is_placed_under_an_id_that_is_taken,
    "seller": is_given_up,
    "shipment_unconfirmed": is_never_confirmed,
}
"""Ways in which an order fails, each by the reason with which it is canceled."""


@pytest.mark.parametrize("reason", FAILS)
def test_r1_every_failing_path_brings_the_stock_back_to_its_baseline(reason: str) -> None:
    world = open_shop()
    baseline = {sku: tuple(world.stock.levels[SELLER, sku][:2]) for sku in (KETTLE, TEA)}

    FAILS[reason](world)
    world.pass_time(PURCHASED + 40 * DAY)

    order = world.workers[2].documents[place_of(ORDER_ID)].state
    assert isinstance(order, Order)
    assert order.cancellation is not None
    assert reason.startswith(order.cancellation.reason)
    assert baseline == {sku: tuple(world.stock.levels[SELLER, sku][:2]) for sku in (KETTLE, TEA)}
    assert not world.stock.held.get((SELLER, ORDER_ID))
    assert world.books().violations == ()


def test_r18_of_what_the_seller_does_not_have_nothing_comes_back() -> None:
    world = open_shop()

    is_given_up(world, "NoInventory")

    assert world.stock.levels[SELLER, KETTLE][:2] == [37, 0]
    assert world.stock.levels[SELLER, TEA][:2] == [21, 0]
    assert world.books().violations == ()
