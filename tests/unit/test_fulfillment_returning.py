"""R17: units come back: asked for or brought by the carrier, received, and only then refunded."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.fulfillment.decisions import decide
from services.fulfillment.state import evolve
from shared.events.fields import MAX_ITEMS_ON_THEIR_WAY_BACK, MAX_RETURNS, SkuQuantity
from shared.events.fulfillment import (
    Order,
    PackageReturned,
    RequestRefused,
    Return,
    ReturnedItem,
    ReturnOpened,
    UnitsReturned,
)
from shared.events.notices import NoticeRequested
from shared.events.seller import ItemCondition
from shared.policy import Policies, Policy
from shared.policy_fields import MAX_HOURS
from shared.service import Park, Received
from tests.support.orders import (
    ALL_UNITS,
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLE,
    KETTLES,
    MINUTE,
    ONE_MS,
    POLICIES,
    RETURN,
    RETURN_UNTIL,
    SELLER,
    TEA,
    TEAS,
    TRACKING,
    after,
    items,
    package_delivered,
    package_returned,
    partially_shipped,
    placed,
    play,
    reached,
    return_received,
    return_requested,
    shipment_confirmed,
    shipped,
    unshipped,
)

ASKED = HOLD_ENDS + 6 * DAY
OVERDUE = ASKED + 30 * DAY


def refusal(order: Order | None, event: Received) -> RequestRefused:
    """The refusal that is all that an event comes to, and the order as it was."""
    then, facts = play(order, event)
    (refused,) = facts
    assert isinstance(refused, RequestRefused)
    assert then == order
    return refused


def units(order: Order, field: str) -> dict[str, int]:
    return {line.order_item_id: getattr(line, field) for line in order.items}


# -- asked for ------------------------------------------------------------------------------------


def test_r17_the_buyer_asks_to_return_some_units_and_both_sides_are_told() -> None:
    order, facts = play(shipped(), return_requested({KETTLES: 2, TEAS: 1}))

    opened, to_seller, to_buyer = facts
    assert opened == ReturnOpened(
        seller_id=SELLER,
        return_id=RETURN,
        requested_by="BUYER",
        items=items({KETTLES: 2, TEAS: 1}),
        reason="it whistles off-key",
        requested_at=ASKED,
        overdue_at=OVERDUE,
    )
    assert isinstance(to_seller, NoticeRequested)
    assert isinstance(to_buyer, NoticeRequested)
    assert (to_seller.recipient, to_seller.kind) == ("SELLER", "return_requested")
    assert (to_buyer.recipient, to_buyer.kind) == ("BUYER", "return_opened")
    for notice in (to_seller, to_buyer):
        assert (notice.return_id, notice.occurrence, notice.deadline) == (RETURN, 1, OVERDUE)
    assert to_seller.detail == "it whistles off-key"
    assert "refunded when the seller has them" in to_buyer.detail
    assert order is not None
    assert order.status == "Shipped"
    assert units(order, "quantity_returned") == {KETTLES: 0, TEAS: 0}, "nothing is back yet"


@pytest.mark.parametrize("order", [partially_shipped(), shipped()], ids=lambda o: o.status)
def test_r17_what_has_shipped_can_be_returned_also_of_a_partly_shipped_order(order: Order) -> None:
    then = after(order, return_requested({KETTLES: 2}))

    assert then.status == order.status
    assert [back.return_id for back in then.returns] == [RETURN]


@pytest.mark.parametrize(
    ("asked_at", "reason"),
    [
        (RETURN_UNTIL - ONE_MS, ""),
        (RETURN_UNTIL, ""),
        (RETURN_UNTIL + ONE_MS, "return_window_over"),
        (RETURN_UNTIL + 9 * DAY, "return_window_over"),
    ],
)
def test_r17_the_last_instant_of_the_return_window_is_in_the_next_is_out(
    asked_at: datetime, reason: str
) -> None:
    _, facts = play(shipped(), return_requested({TEAS: 1}, asked_at))

    refused = [fact for fact in facts if isinstance(fact, RequestRefused)]
    assert [fact.reason for fact in refused] == ([reason] if reason else [])
    for fact in refused:
        assert fact.detail == "A return could be asked for until 2026-04-19T23:59:59+00:00."


@pytest.mark.parametrize(("late", "refused"), [(10 * MINUTE, False), (10 * MINUTE + ONE_MS, True)])
def test_r17_the_time_of_the_request_is_believed_for_ten_minutes(
    late: timedelta, refused: bool
) -> None:
    asked = return_requested({TEAS: 1}, RETURN_UNTIL, arrived=RETURN_UNTIL + late)

    _, facts = play(shipped(), asked)

    assert isinstance(facts[0], RequestRefused) is refused


def test_r17_a_new_delivery_date_moves_the_return_window_with_it() -> None:
    late = unshipped()
    deadline = next(d for d in late.deadlines if d.kind == "ship_by")
    order = after(late, reached(deadline), shipment_confirmed(at=deadline.due + HOUR))
    assert order.delivery_window is not None
    last = POLICIES.default.return_until(order.delivery_window.latest)

    assert last > RETURN_UNTIL
    assert isinstance(play(order, return_requested({TEAS: 1}, last))[1][0], ReturnOpened)
    refused = refusal(order, return_requested({TEAS: 1}, last + ONE_MS))
    assert refused.reason == "return_window_over"


@pytest.mark.parametrize(
    ("asked", "reason", "detail"),
    [
        ({}, "missing_field", "The order items and their quantities."),
        ({"item-sugar": 1}, "unknown_item", "The order has no item item-sugar."),
        ({KETTLES: 3}, "more_units_than_shipped", "Item item-kettle: 3 units, 2 at most."),
        ({TEAS: 1}, "more_units_than_shipped", "Item item-tea: 1 units, 0 at most."),
        ({KETTLES: 2, TEAS: 1}, "more_units_than_shipped", "Item item-tea: 1 units, 0 at most."),
    ],
)
def test_r17_only_units_that_have_shipped_are_returned(
    asked: dict[str, int], reason: str, detail: str
) -> None:
    refused = refusal(partially_shipped(), return_requested(asked))

    assert (refused.reason, refused.field, refused.detail) == (reason, "items", detail)


def test_r17_entries_of_the_same_item_are_summed() -> None:
    twice = return_requested({KETTLES: 2})
    data = twice.event.data.model_copy(update={"items": items({KETTLES: 2}) * 2})
    asked = twice._replace(event=twice.event.model_copy(update={"data": data}))

    assert refusal(shipped(), asked).detail == "Item item-kettle: 4 units, 3 at most."


def test_r17_a_unit_is_in_one_return_at_a_time() -> None:
    order = after(shipped(), return_requested({KETTLES: 2}))

    second = return_requested({KETTLES: 2}, ASKED + HOUR, return_id="RMA-2208")
    assert refusal(order, second).detail == "Item item-kettle: 2 units, 1 at most."
    rest = return_requested({KETTLES: 1, TEAS: 2}, ASKED + HOUR, return_id="RMA-2208")
    then, facts = play(order, rest)
    assert then is not None
    assert [back.return_id for back in then.returns] == [RETURN, "RMA-2208"]
    assert [f.occurrence for f in facts if isinstance(f, NoticeRequested)] == [2, 2]


@pytest.mark.parametrize("again", [{KETTLES: 2}, {TEAS: 1}])
@pytest.mark.parametrize("received_first", [False, True])
def test_r17_an_id_stands_for_one_return(again: dict[str, int], received_first: bool) -> None:
    order = after(shipped(), return_requested({KETTLES: 2}))
    if received_first:
        order = after(order, return_received({(KETTLES, "Sellable"): 2}))

    asked = return_requested(again, ASKED + 12 * DAY)

    assert (refusal(order, asked).reason, refusal(order, asked).field) == (
        "return_exists",
        "return_id",
    )


def test_r17_before_anything_has_shipped_there_is_nothing_to_return() -> None:
    asked = return_requested({KETTLES: 1})
    refused = refusal(unshipped(), asked)

    assert (refused.reason, refused.detail) == (
        "not_shipped",
        "Nothing of the order has shipped: it can still be canceled.",
    )
    assert after(shipped(), asked).returns, "under the same id, once it has"


def test_r17_an_order_has_a_limited_number_of_returns() -> None:
    order = shipped()
    back = Return(
        return_id="RMA-1",
        requested_by="BUYER",
        items=(),
        requested_at=ASKED,
        overdue_at=OVERDUE,
        received_at=ASKED + DAY,
    )
    full = order.model_copy(update={"returns": (back,) * MAX_RETURNS})
    nearly = order.model_copy(update={"returns": (back,) * (MAX_RETURNS - 1)})

    assert isinstance(play(nearly, return_requested({TEAS: 1}))[1][0], ReturnOpened)
    refused = refusal(full, return_requested({TEAS: 1}))
    assert (refused.reason, refused.field) == ("too_many_returns", ""), "no field is wrong"
    assert refused.detail == "An order has at most 50 returns."


def test_r17_a_limited_number_of_items_is_on_its_way_back_at_once() -> None:
    many = 100
    lines = tuple(
        placed().items[0].model_copy(update={"order_item_id": f"item-{n}", "quantity": 9})
        for n in range(many)
    )
    all_units = {line.order_item_id: 9 for line in lines}
    each_one = {line.order_item_id: 1 for line in lines}
    order = unshipped(shipment_confirmed(all_units), items=lines)
    most = MAX_ITEMS_ON_THEIR_WAY_BACK // many
    for n in range(most):
        order = after(order, return_requested(each_one, return_id=f"RMA-{n}"))

    one_more = return_requested({"item-0": 1})
    refused = refusal(order, one_more)
    assert (refused.reason, refused.field) == ("too_many_returns", "items")
    assert refused.detail == "At most 200 items of returns are on their way at once."
    came = {(item, "Sellable"): 1 for item in each_one}
    emptied = after(order, return_received(came, return_id="RMA-0"))  # type: ignore[arg-type]
    assert isinstance(play(emptied, one_more)[1][0], ReturnOpened)


# -- received -------------------------------------------------------------------------------------


def returning(**more: Any) -> Order:
    """Two kettles and a pack of tea are on their way back."""
    return after(shipped(), return_requested({KETTLES: 2, TEAS: 1}, **more))


def test_r17_what_came_is_counted_by_condition_and_the_buyer_hears_of_the_refund() -> None:
    back_at = HOLD_ENDS + 11 * DAY
    came: dict[tuple[str, ItemCondition], int] = {
        (KETTLES, "Sellable"): 1,
        (KETTLES, "Damaged"): 1,
        (TEAS, "Damaged"): 1,
    }

    order, facts = play(returning(), return_received(came, back_at))

    returned, notice = facts
    assert returned == UnitsReturned(
        seller_id=SELLER,
        return_id=RETURN,
        requested_by="BUYER",
        received_at=back_at,
        items=(
            ReturnedItem(order_item_id=KETTLES, sku=KETTLE, quantity=1, condition="Sellable"),
            ReturnedItem(order_item_id=KETTLES, sku=KETTLE, quantity=1, condition="Damaged"),
            ReturnedItem(order_item_id=TEAS, sku=TEA, quantity=1, condition="Damaged"),
        ),
        sellable=(SkuQuantity(sku=KETTLE, quantity=1),),
        damaged=(SkuQuantity(sku=KETTLE, quantity=1), SkuQuantity(sku=TEA, quantity=1)),
        archive_at=back_at + 45 * DAY,
    )
    assert isinstance(notice, NoticeRequested)
    assert (notice.recipient, notice.kind, notice.occurrence) == ("BUYER", "return_received", 1)
    assert notice.return_id == RETURN
    assert "refund" in notice.detail
    assert order is not None
    assert units(order, "quantity_returned") == {KETTLES: 2, TEAS: 1}
    assert units(order, "quantity_shipped") == ALL_UNITS
    (back,) = order.returns
    assert (back.items, back.received_at) == ((), back_at)


@pytest.mark.parametrize(
    "came",
    [
        {(KETTLES, "Sellable"): 2, (TEAS, "Sellable"): 1},
        {(KETTLES, "Damaged"): 1},
        {(TEAS, "Damaged"): 1},
    ],
)
def test_r17_all_units_or_fewer_may_come_and_the_others_are_the_buyers_again(
    came: dict[tuple[str, ItemCondition], int],
) -> None:
    order = after(returning(), return_received(came))

    rest = {
        line.order_item_id: line.quantity_shipped - line.quantity_returned for line in order.items
    }
    asked = return_requested({k: n for k, n in rest.items() if n}, return_id="RMA-2208")
    assert isinstance(play(order, asked)[1][0], ReturnOpened)
    one_more = {item: n + 1 for item, n in rest.items()}
    asked = return_requested(one_more, return_id="RMA-2208")
    assert refusal(order, asked).reason == "more_units_than_shipped"


@pytest.mark.parametrize(
    ("came", "detail"),
    [
        ({(KETTLES, "Sellable"): 3}, "Item item-kettle: 3 units, 2 at most."),
        (
            {(KETTLES, "Sellable"): 2, (KETTLES, "Damaged"): 1},
            "Item item-kettle: 3 units, 2 at most.",
        ),
        ({(TEAS, "Damaged"): 2}, "Item item-tea: 2 units, 1 at most."),
        ({("item-sugar", "Sellable"): 1}, "Item item-sugar: 1 units, 0 at most."),
    ],
)
def test_r17_no_more_comes_back_than_is_in_the_return(
    came: dict[tuple[str, ItemCondition], int], detail: str
) -> None:
    refused = refusal(returning(), return_received(came))

    assert (refused.reason, refused.field) == ("more_units_than_in_return", "items")
    assert refused.detail == detail


def test_r17_a_receipt_says_what_came() -> None:
    refused = refusal(returning(), return_received({}))

    assert (refused.reason, refused.field) == ("missing_field", "items")
    assert refused.detail == "The order items that came, with quantity and condition."


def test_r17_what_came_is_summed_by_item_and_by_sku() -> None:
    first, second = placed().items
    more = first.model_copy(update={"order_item_id": "item-more", "quantity": 2})
    all_units = {**ALL_UNITS, "item-more": 2}
    order = unshipped(shipment_confirmed(all_units), items=(first, second, more))
    came: dict[tuple[str, ItemCondition], int] = {
        (KETTLES, "Sellable"): 1,
        ("item-more", "Sellable"): 2,
    }
    once = return_received(came)
    said = once.event.data
    data = said.model_copy(update={"items": (*said.items, said.items[0])})
    event = once.event.model_copy(update={"data": data})

    asked = after(order, return_requested({KETTLES: 2, "item-more": 2}))
    returned = play(asked, once._replace(event=event))[1][0]

    assert isinstance(returned, UnitsReturned)
    assert [(i.order_item_id, i.quantity) for i in returned.items] == [
        (KETTLES, 2),
        ("item-more", 2),
    ]
    assert returned.sellable == (SkuQuantity(sku=KETTLE, quantity=4),)


def test_p4_receipts_are_told_in_the_order_in_which_they_come() -> None:
    second = return_requested({TEAS: 1}, return_id="RMA-2208")
    receipts = [
        return_received({(TEAS, "Damaged"): 1}, return_id="RMA-2208"),
        return_received({(KETTLES, "Damaged"): 1}),
    ]

    _, facts = play(after(returning(), second), *receipts)

    notices = [fact for fact in facts if isinstance(fact, NoticeRequested)]
    assert [(n.return_id, n.occurrence) for n in notices] == [("RMA-2208", 1), (RETURN, 2)]


def test_p1_what_no_return_holds_is_refused_by_nobody_and_raises() -> None:
    order = returning()
    (returned, _) = play(order, return_received({(KETTLES, "Sellable"): 2}))[1]
    assert isinstance(returned, UnitsReturned)
    four = returned.items[0].model_copy(update={"quantity": 4})

    with pytest.raises(ValueError, match="than shipped"):
        evolve(order, returned.model_copy(update={"items": (four,)}), ASKED)


@pytest.mark.parametrize("again", [{(KETTLES, "Sellable"): 2}, {(TEAS, "Sellable"): 1}])
def test_r17_a_return_is_received_once(again: Mapping[tuple[str, ItemCondition], int]) -> None:
    order = after(returning(), return_received({(KETTLES, "Sellable"): 2}))

    refused = refusal(order, return_received(dict(again), HOLD_ENDS + 12 * DAY))

    assert (refused.reason, refused.field) == ("return_received", "return_id")


def test_r25_a_receipt_waits_for_the_request_of_its_return() -> None:
    came = return_received({(KETTLES, "Sellable"): 2})

    assert decide(shipped(), came, POLICIES) == Park(until=came.at + DAY)
    assert isinstance(decide(unshipped(), came, POLICIES), Park)


@pytest.mark.parametrize("hours", [1, 24, MAX_HOURS])
@pytest.mark.parametrize("order", [unshipped(), shipped()], ids=["unshipped", "shipped"])
@pytest.mark.parametrize(
    "early",
    [return_received({(KETTLES, "Sellable"): 2}), package_returned("T9")],
    ids=["receipt", "parcel"],
)
def test_r25_what_waits_waits_as_long_as_its_marketplace_says_today(
    early: Received, order: Order, hours: int
) -> None:
    policies = Policies(by_marketplace={order.marketplace_id: Policy(parked_hours=hours)})

    assert decide(order, early, policies) == Park(until=early.at + hours * HOUR)


def test_r17_an_order_whose_units_all_came_back_stays_shipped() -> None:
    all_of_it: dict[tuple[str, ItemCondition], int] = {
        (KETTLES, "Sellable"): 3,
        (TEAS, "Damaged"): 2,
    }

    order = after(shipped(), return_requested(ALL_UNITS), return_received(all_of_it))

    assert order.status == "Shipped"
    assert units(order, "quantity_returned") == ALL_UNITS
    once_more = return_requested({TEAS: 1}, return_id="RMA-2208")
    assert refusal(order, once_more).reason == "more_units_than_shipped"


def test_r17_returned_units_of_a_partly_shipped_order_are_not_open_again() -> None:
    order = after(
        partially_shipped(),
        return_requested({KETTLES: 2}),
        return_received({(KETTLES, "Sellable"): 2}),
    )

    assert order.status == "PartiallyShipped"
    assert units(order, "quantity_open") == {KETTLES: 1, TEAS: 2}
    assert after(order, shipment_confirmed({KETTLES: 1, TEAS: 2}, "2")).status == "Shipped"


# -- brought by the carrier -----------------------------------------------------------------------


def test_r17_what_the_carrier_can_not_deliver_is_a_return_that_it_starts() -> None:
    at = HOLD_ENDS + 5 * DAY
    order, facts = play(shipped(), package_returned(at=at))

    noted, opened, *notices = facts
    assert noted == PackageReturned(
        tracking_number=TRACKING,
        package_reference_id="1",
        reason="nobody of that name",
        returned_at=at,
        archive_at=at + 45 * DAY,
    )
    assert opened == ReturnOpened(
        seller_id=SELLER,
        return_id="carrier:1",
        requested_by="CARRIER",
        items=items(ALL_UNITS),
        reason="nobody of that name",
        requested_at=at,
        overdue_at=at + 30 * DAY,
    )
    told = [n for n in notices if isinstance(n, NoticeRequested)]
    assert [(n.recipient, n.kind, n.occurrence) for n in told] == [
        ("SELLER", "return_requested", 1),
        ("BUYER", "return_opened", 1),
    ]
    assert "could not deliver" in told[1].detail
    assert order is not None
    assert (order.status, order.packages[0].returned_at) == ("Shipped", at)
    back = return_received({(KETTLES, "Sellable"): 3, (TEAS, "Sellable"): 2}, return_id="carrier:1")
    (returned, _) = play(order, back)[1]
    assert isinstance(returned, UnitsReturned)
    assert returned.requested_by == "CARRIER"


def test_r17_the_return_window_is_the_buyers_and_not_the_carriers() -> None:
    _, facts = play(shipped(), package_returned(at=RETURN_UNTIL + 9 * DAY))

    assert isinstance(facts[1], ReturnOpened)


def test_r17_only_the_units_of_its_package_come_back_with_the_carrier() -> None:
    order = after(partially_shipped(), shipment_confirmed({KETTLES: 1}, "2", tracking_number="T2"))

    opened = play(order, package_returned("T2"))[1][1]

    assert isinstance(opened, ReturnOpened)
    assert (opened.return_id, opened.items) == ("carrier:2", items({KETTLES: 1}))


def test_r17_two_packages_of_one_tracking_number_come_back_as_one_return() -> None:
    order = after(partially_shipped(), shipment_confirmed({KETTLES: 1, TEAS: 1}, "2"))

    then, facts = play(order, package_returned())

    assert [type(fact) for fact in facts[:3]] == [PackageReturned, PackageReturned, ReturnOpened]
    assert then is not None
    assert [back.items for back in then.returns] == [items({KETTLES: 3, TEAS: 1})]


def test_r17_what_the_buyer_returns_already_is_in_no_second_return() -> None:
    asked = after(shipped(), return_requested({KETTLES: 2}))
    opened = play(asked, package_returned())[1][1]
    assert isinstance(opened, ReturnOpened)
    assert opened.items == items({KETTLES: 1, TEAS: 2})

    all_asked = after(shipped(), return_requested(ALL_UNITS))
    then, facts = play(all_asked, package_returned())
    assert [type(fact) for fact in facts] == [PackageReturned], "the buyer's return stands"
    assert then is not None
    assert len(then.returns) == 1


def test_r17_a_package_comes_back_once() -> None:
    order = after(shipped(), package_returned())

    then, facts = play(order, package_returned(at=HOLD_ENDS + 7 * DAY))

    assert (then, facts) == (order, [])


def test_r25_a_package_that_comes_back_waits_for_its_confirmation() -> None:
    early = package_returned("T9")

    for order in (unshipped(), partially_shipped(), shipped()):
        assert decide(order, early, POLICIES) == Park(until=early.at + DAY)


def test_r17_a_carriers_return_beyond_the_limit_is_refused_and_its_package_noted() -> None:
    back = Return(
        return_id="RMA-1", requested_by="BUYER", items=(), requested_at=ASKED, overdue_at=OVERDUE
    )
    full = shipped().model_copy(update={"returns": (back,) * MAX_RETURNS})

    then, facts = play(full, package_returned())

    assert [type(fact) for fact in facts] == [PackageReturned, RequestRefused]
    assert then is not None
    assert then.packages[0].returned_at


# -- packages that are edited meanwhile -----------------------------------------------------------


def test_r11_units_in_a_return_can_not_be_taken_out_of_their_package() -> None:
    order = after(shipped(), return_requested({KETTLES: 2}))

    assert isinstance(decide(order, shipment_confirmed({KETTLES: 2, TEAS: 2}), POLICIES), tuple)
    fewer = shipment_confirmed({KETTLES: 1, TEAS: 2}, at=ASKED + DAY)
    refused = refusal(order, fewer)
    assert (refused.reason, refused.field) == ("units_in_return", "order_items")
    assert refused.detail == "Item item-kettle: units are in a return, they can not be taken out."
    received = after(order, return_received({(KETTLES, "Damaged"): 2}))
    assert refusal(received, fewer).reason == "units_in_return"
    one_came = after(order, return_received({(KETTLES, "Damaged"): 1}))
    assert after(one_came, fewer).status == "PartiallyShipped"


def test_r11_a_package_that_comes_back_is_not_edited_any_more() -> None:
    order = after(shipped(), package_returned())

    refused = refusal(order, shipment_confirmed(tracking_number="T2", at=ASKED))
    assert (refused.reason, refused.field) == ("package_returned", "package_reference_id")
    assert decide(order, shipment_confirmed(), POLICIES) == (), "the same again is no news"


def test_r17_a_package_may_be_delivered_after_all() -> None:
    order = after(shipped(), package_returned(), package_delivered(at=HOLD_ENDS + 9 * DAY))

    assert order.packages[0].delivered_at == HOLD_ENDS + 9 * DAY
    assert len(order.returns) == 1, "a person sees both, and the return is overdue in time"
