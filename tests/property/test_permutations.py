"""R25: every order in which what is said of an order can arrive, through all services.

What is no race comes to the same; of a race one wins, and stock and money follow it.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from typing import Any

import pytest

from shared.events.fields import Money
from shared.events.fulfillment import Order
from shared.events.gateway import (
    PAYMENTS,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentChargedBack,
    PaymentFact,
    VerificationUnavailable,
)
from shared.events.payment import (
    PAYMENT_EVENTS,
    AuthorizationRequested,
    RefundRequested,
    VoidRequested,
)
from shared.events.seller import SHIPMENTS, SellerCanceled
from shared.events.storefront import ORDERS, CancelRequested
from shared.events.warehouse import STOCK, StockAdjusted
from tests.support.orders import (
    ALL_UNITS,
    BUYER,
    DAY,
    HOLD_ENDS,
    KETTLE,
    KETTLES,
    MINUTE,
    SELLER,
    TEAS,
    placed,
)
from tests.support.tales import (
    ask_again,
    ask_to_return,
    bring_back,
    cancel,
    deliver,
    event_of,
    move,
    open_shop,
    pay,
    place,
    ship,
    take_back,
)
from tests.support.world import World, place_of

ORDER = "902-3159896-1390916"
Say = Callable[[World], object]
Story = Mapping[str, Say]


def order_of(world: World) -> Order:
    order = world.workers[2].documents[place_of(ORDER)].state
    assert isinstance(order, Order)
    return order


def asked_back(world: World) -> dict[str, int]:
    """The money that is asked back, by payment and whether it was taken."""
    sums: dict[str, int] = {}
    for request in (VoidRequested, RefundRequested):
        for record in world.records(PAYMENT_EVENTS, request.TYPE):
            data: dict[str, Any] = event_of(record)["data"]
            of = f"{request.TYPE} {data['payment_id']}"
            sums[of] = sums.get(of, 0) + data["amount"]["amount_minor"]
    return sums


def ends(story: Story, begin: Callable[[], World]) -> Iterator[World]:
    """The world after each order of arrival, a day later; its books balance."""
    for names in permutations(story):
        world = begin()
        for name in names:
            story[name](world)
        world.pass_time(HOLD_ENDS + 2 * DAY)
        assert world.books().violations == (), names
        yield world


def unshipped() -> World:
    world = open_shop()
    place(world, ORDER)
    pay(world, ORDER)
    world.pass_time(HOLD_ENDS + MINUTE)
    return world


def parted() -> World:
    """Two kettles have shipped; a kettle and the tea have not."""
    world = unshipped()
    ship(world, ORDER, {KETTLES: 2})
    return world


def place_it(world: World) -> None:
    place(world, ORDER)


def pay_it(world: World) -> None:
    pay(world, ORDER)


def cancel_it(world: World) -> None:
    cancel(world, ORDER)


def can_not_tell(world: World) -> None:
    world.say(PAYMENTS, VerificationUnavailable(payment_id=f"pay-{ORDER}"), ORDER)


def restock(world: World) -> None:
    world.say(STOCK, StockAdjusted(seller_id=SELLER, sku=KETTLE, change=2))


BEFORE_THE_HOLD_ENDS: Story = {
    "placed": place_it,
    "paid": pay_it,
    "not known yet": can_not_tell,
    "delivered": lambda world: deliver(world, ORDER, "9"),
    "restocked": restock,
}
CANCELED_IN_THE_HOLD: Story = {
    "placed": place_it,
    "paid": pay_it,
    "canceled": cancel_it,
    "canceled again": cancel_it,
    "restocked": restock,
}
CORRECTED_IN_THE_HOLD: Story = {
    "placed": place_it,
    "paid": pay_it,
    "goes elsewhere": lambda world: move(world, ORDER, "Kastanienallee 70"),
    "told again": lambda world: ask_again(world, ORDER, "address_changed"),
}
GOODS_COME_BACK: Story = {
    "the rest ships": lambda world: ship(world, ORDER, {KETTLES: 1, TEAS: 2}, "2"),
    "it is undeliverable": lambda world: bring_back(world, ORDER, "2"),
    "it is back": lambda world: take_back(
        world, ORDER, {(KETTLES, "Sellable"): 1, (TEAS, "Damaged"): 2}, "carrier:2"
    ),
    "asked for": lambda world: ask_to_return(world, ORDER, {KETTLES: 2}),
    "received": lambda world: take_back(world, ORDER, {(KETTLES, "Sellable"): 1}),
}
WHO_IS_FIRST: Story = {
    "ships": lambda world: ship(world, ORDER, ALL_UNITS),
    "delivered": lambda world: deliver(world, ORDER),
    "the buyer cancels": cancel_it,
    "the seller cancels": lambda world: world.say(
        SHIPMENTS, SellerCanceled(seller_id=SELLER, reason_code="NoInventory"), ORDER
    ),
    "restocked": restock,
}


def test_r25_what_is_said_in_the_hold_comes_to_one_order_in_whatever_order() -> None:
    orders = [order_of(world) for world in ends(BEFORE_THE_HOLD_ENDS, open_shop)]

    assert len(orders) == 120
    assert orders[0].status == "Unshipped"
    assert all(order == orders[0] for order in orders)


def test_r14_r25_a_cancel_in_the_hold_comes_to_one_end_in_whatever_order() -> None:
    found = set()
    for world in ends(CANCELED_IN_THE_HOLD, open_shop):
        order = order_of(world)
        assert order.cancellation is not None
        found.add((order.status, order.cancellation.reason, order.cancellation.executed_by))
        assert world.stock.levels[SELLER, KETTLE][:2] == [42, 0]
        assert asked_back(world) == {f"payment.void_requested.v1 pay-{ORDER}": 13_368}

    assert found == {("Canceled", "buyer", "BUYER")}


def test_r3_r25_an_address_that_is_corrected_in_the_hold_holds_in_whatever_order() -> None:
    orders = [order_of(world) for world in ends(CORRECTED_IN_THE_HOLD, open_shop)]

    address = orders[0].ship_address
    assert address is not None
    assert (len(orders), address.address_line_1) == (24, "Kastanienallee 70")
    assert (orders[0].address_changes, orders[0].notices_resent) == (1, 0), "Pending hears no"
    assert all(order == orders[0] for order in orders)


def test_r17_r25_goods_that_come_back_are_back_in_whatever_order() -> None:
    found = set()
    for world in ends(GOODS_COME_BACK, parted):
        order = order_of(world)
        lines = [(line.quantity_shipped, line.quantity_returned) for line in order.items]
        found.add((order.status, tuple(lines), tuple(world.stock.levels[SELLER, KETTLE][:2])))

    assert found == {("Shipped", ((3, 2), (2, 2)), (39, 0))}


def test_r16_r25_of_shipping_and_both_cancels_one_wins_and_stock_and_money_follow() -> None:
    found: dict[str, set[tuple[object, ...]]] = {}
    for world in ends(WHO_IS_FIRST, unshipped):
        order = order_of(world)
        end = f"{order.status} {order.cancellation.reason}" if order.cancellation else order.status
        on_hand, reserved, _ = world.stock.levels[SELLER, KETTLE]
        back = sum(asked_back(world).values())
        found.setdefault(end, set()).add((on_hand, reserved, back))

    assert found.keys() == {"Shipped", "Canceled buyer", "Canceled seller"}
    assert found["Canceled buyer"] == {(42, 0, 13_368)}
    assert found["Canceled seller"] == {(39, 0, 13_368)}
    assert found["Shipped"] == {(39, 0, 0)}


@pytest.mark.parametrize("amount", [placed().order_total, None], ids=["the total", "all of it"])
def test_r7_r25_a_payment_that_is_charged_back_ships_nothing_in_whatever_order(
    amount: Money | None,
) -> None:
    def say(fact: PaymentFact) -> Say:
        return lambda world: world.say(PAYMENTS, fact, ORDER)

    total, id_ = placed().order_total, f"pay-{ORDER}"
    story = {
        "placed": place_it,
        "authorised": pay_it,
        "captured": say(PaymentCaptured(payment_id=id_, amount=total)),
        "charged back": say(PaymentChargedBack(payment_id=id_, amount=amount)),
    }
    found = set()
    for world in ends(story, open_shop):
        order = order_of(world)
        assert order.cancellation is not None
        assert world.records(PAYMENT_EVENTS, AuthorizationRequested.TYPE) == []
        back = tuple(asked_back(world).items())
        stock = tuple(world.stock.levels[SELLER, KETTLE][:2])
        found.add((order.status, order.cancellation.reason, stock, back))

    assert found == {("Canceled", "payment_reversed", (40, 0), ())}


@pytest.mark.parametrize("taken", [PaymentAuthorized, PaymentCaptured])
def test_r7_r25_of_two_payments_and_a_cancel_all_goes_back_in_whatever_order(
    taken: type[PaymentAuthorized | PaymentCaptured],
) -> None:
    def pays_twice(world: World) -> None:
        again = taken(payment_id="pay-again", amount=placed().order_total)
        world.say(PAYMENTS, again, ORDER)

    story = {
        "placed": place_it,
        "paid": pay_it,
        "paid again": pays_twice,
        "canceled": lambda world: world.say(ORDERS, CancelRequested(buyer_id=BUYER), ORDER),
    }
    found = set()
    for world in ends(story, open_shop):
        assert order_of(world).status == "Canceled"
        found.add(tuple(sorted(asked_back(world).values())))

    assert found == {(13_368, 13_368)}
