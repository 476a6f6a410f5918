"""R11: packages confirmed, edited and refused; what the carrier delivers is the package's."""

from typing import Any

import pytest

from shared.events.fields import MAX_ITEMS, MAX_PACKAGES, MAX_PACKED_ITEMS
from shared.events.fulfillment import (
    Order,
    PackageConfirmed,
    RefusalReason,
    RequestRefused,
)
from shared.events.inventory import SkuChange
from shared.events.notices import NoticeRequested
from shared.service import Received
from tests.support.orders import (
    ALL_UNITS,
    CANCEL_AT,
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLE,
    KETTLES,
    OTHER_SELLER,
    PROMISED,
    PURCHASED,
    TEA,
    TEAS,
    TRACKING,
    after,
    eur,
    items,
    package_delivered,
    partially_shipped,
    placed,
    play,
    reached,
    shipment_confirmed,
    shipped,
    unshipped,
)

HAS_TO_BE = {
    "package_reference_id": "A positive number of at most 18 digits, as a string.",
    "carrier_code": "The carrier's code, or Other.",
    "carrier_name": "The carrier's name, where its code is Other.",
    "tracking_number": "The carrier's number of the package.",
    "ship_date": "When the package was handed over, RFC 3339.",
    "order_items": "The order items in the package and their quantities.",
}
"""What a seller is told who left a field out, or filled it badly."""


def confirmed(order: Order, event: Received) -> PackageConfirmed:
    _, facts = play(order, event)
    assert isinstance(facts[0], PackageConfirmed)
    return facts[0]


def refused(order: Order, event: Received) -> RequestRefused:
    then, facts = play(order, event)
    assert then == order, "nothing changed"
    (refusal,) = facts
    assert isinstance(refusal, RequestRefused)
    return refusal


def shipped_units(order: Order) -> dict[str, int]:
    return {item.order_item_id: item.quantity_shipped for item in order.items}


def test_r11_some_units_make_it_partially_shipped_and_all_of_them_shipped() -> None:
    order = unshipped()

    some = after(order, shipment_confirmed({KETTLES: 2}))
    rest = after(some, shipment_confirmed({KETTLES: 1, TEAS: 2}, "2"))

    assert (some.status, shipped_units(some)) == ("PartiallyShipped", {KETTLES: 2, TEAS: 0})
    assert (rest.status, shipped_units(rest)) == ("Shipped", ALL_UNITS)
    assert [package.package_reference_id for package in rest.packages] == ["1", "2"]


def test_r11_a_confirmation_takes_the_units_of_its_package_from_stock() -> None:
    fact = confirmed(unshipped(), shipment_confirmed({KETTLES: 2, TEAS: 1}))

    assert not fact.edited
    assert fact.units_shipped == (
        SkuChange(sku=KETTLE, change=2),
        SkuChange(sku=TEA, change=1),
    )
    assert fact.package.confirmed_at == HOLD_ENDS + DAY


def test_r11_the_buyer_is_told_of_every_package_once() -> None:
    first = shipment_confirmed({KETTLES: 2})
    edited = shipment_confirmed({KETTLES: 1}, "1", HOLD_ENDS + 2 * DAY)
    second = shipment_confirmed({TEAS: 2}, "2", tracking_number="JD0002")
    _, facts = play(unshipped(), first, edited, second)

    told = [fact for fact in facts if isinstance(fact, NoticeRequested)]

    assert [(n.kind, n.recipient, n.occurrence, n.tracking_number) for n in told] == [
        ("package_shipped", "BUYER", 1, TRACKING),
        ("package_shipped", "BUYER", 2, "JD0002"),
    ]
    assert {n.delivery_window and n.delivery_window.latest for n in told} == {PROMISED}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"package_reference_id": ""}, "package_reference_id"),
        ({"package_reference_id": "0"}, "package_reference_id"),
        ({"package_reference_id": "-3"}, "package_reference_id"),
        ({"package_reference_id": "PKG-1"}, "package_reference_id"),
        ({"package_reference_id": "9" * 19}, "package_reference_id"),
        ({"carrier_code": ""}, "carrier_code"),
        ({"carrier_code": "Other", "carrier_name": ""}, "carrier_name"),
        ({"carrier_code": "Other", "carrier_name": "  "}, "carrier_name"),
        ({"tracking_number": ""}, "tracking_number"),
        ({"tracking_number": "   "}, "tracking_number"),
        ({"ship_date": None}, "ship_date"),
        ({"order_items": ()}, "order_items"),
        ({"carrier_code": "", "tracking_number": "", "order_items": ()}, "carrier_code"),
    ],
)
def test_r11_the_first_missing_or_bad_field_is_named(wrong: dict[str, Any], field: str) -> None:
    refusal = refused(unshipped(), shipment_confirmed(**wrong))

    assert (refusal.reason, refusal.field) == ("missing_field", field)
    assert refusal.detail == HAS_TO_BE[field]


@pytest.mark.parametrize(
    "right",
    [
        {"package_reference_id": "9" * 18},
        {"carrier_code": "Other", "carrier_name": "Taubenpost"},
        {"carrier_name": "DHL Paket", "shipping_method": "Warenpost"},
    ],
)
def test_r11_what_is_right_at_its_limits_is_confirmed(right: dict[str, Any]) -> None:
    package = confirmed(unshipped(), shipment_confirmed(**right)).package

    assert {name: getattr(package, name) for name in right} == right


@pytest.mark.parametrize(
    ("units", "reason", "detail"),
    [
        (
            {KETTLES: 4},
            "more_units_than_open",
            "Item item-kettle: 4 units in the package, 3 are open.",
        ),
        ({TEAS: 3}, "more_units_than_open", "Item item-tea: 3 units in the package, 2 are open."),
        ({"item-sugar": 1}, "unknown_item", "The order has no item item-sugar."),
    ],
)
def test_r11_no_more_units_than_are_open(units: dict[str, int], reason: str, detail: str) -> None:
    assert after(unshipped(), shipment_confirmed(ALL_UNITS)).status == "Shipped"

    refusal = refused(unshipped(), shipment_confirmed(units))
    assert (refusal.reason, refusal.field, refusal.detail) == (reason, "order_items", detail)


def test_r11_entries_of_the_same_item_are_summed() -> None:
    twice = (*items({KETTLES: 2}), *items({KETTLES: 2}))

    refusal = refused(unshipped(), shipment_confirmed(order_items=twice))

    assert refusal.reason == "more_units_than_open"
    assert refusal.detail == "Item item-kettle: 4 units in the package, 3 are open."


def test_r11_refusals_have_an_order_of_precedence() -> None:
    full = partially_shipped(package_delivered())
    wrong: dict[str, Any] = {
        "seller_id": OTHER_SELLER,
        "tracking_number": "",
        "order_items": items({KETTLES: 9, "item-sugar": 1}),
    }
    right: list[tuple[RefusalReason, str, dict[str, Any]]] = [
        ("not_the_seller", "", {"seller_id": placed().seller_id}),
        ("missing_field", "tracking_number", {"tracking_number": "JD0003"}),
        ("package_delivered", "package_reference_id", {"package_reference_id": "2"}),
        ("unknown_item", "order_items", {"order_items": items({KETTLES: 9})}),
        ("more_units_than_open", "order_items", {"order_items": items({KETTLES: 1})}),
    ]
    for reason, field, mended in right:
        refusal = refused(full, shipment_confirmed(**wrong))
        assert (refusal.reason, refusal.field) == (reason, field)
        wrong |= mended
    assert len(after(full, shipment_confirmed(**wrong)).packages) == 2


def test_r11_an_order_has_a_limit_of_packages() -> None:
    many = placed().items[0].model_copy(update={"quantity": MAX_PACKAGES + 1})
    each = [shipment_confirmed({KETTLES: 1}, str(n + 1)) for n in range(MAX_PACKAGES + 1)]
    *accepted, one_more = each
    order = unshipped(items=(many,), order_total=eur(7), purchase_date=PURCHASED)
    full = after(order, *accepted)

    assert len(full.packages) == MAX_PACKAGES
    refusal = refused(full, one_more)
    assert (refusal.reason, refusal.field) == ("too_many_packages", "package_reference_id")
    assert refusal.detail == "An order has at most 50 packages."
    assert confirmed(full, shipment_confirmed({KETTLES: 2}, "1", HOLD_ENDS + 2 * DAY)).edited


def test_r11_all_packages_of_an_order_have_a_limit_of_entries() -> None:
    lines = tuple(
        placed().items[0].model_copy(update={"order_item_id": f"item-{n}", "quantity": 99})
        for n in range(MAX_ITEMS)
    )
    each_one = {line.order_item_id: 1 for line in lines}
    packages = MAX_PACKED_ITEMS // MAX_ITEMS
    full = unshipped(
        *(shipment_confirmed(each_one, str(n + 1)) for n in range(packages)), items=lines
    )

    one_more = refused(full, shipment_confirmed({"item-0": 1}, str(packages + 1)))
    assert (one_more.reason, one_more.field) == ("too_many_packages", "order_items")
    assert one_more.detail == "All packages of an order have at most 1000 entries."
    assert confirmed(full, shipment_confirmed({"item-0": 2}, "1")).edited


def test_r11_the_same_reference_edits_its_package() -> None:
    order = partially_shipped()
    edit = shipment_confirmed(
        {KETTLES: 1, TEAS: 2}, "1", HOLD_ENDS + 3 * DAY, tracking_number="JD0009"
    )

    fact = confirmed(order, edit)
    edited = after(order, edit)

    assert fact.edited
    assert fact.units_shipped == (
        SkuChange(sku=KETTLE, change=-1),
        SkuChange(sku=TEA, change=2),
    )
    assert shipped_units(edited) == {KETTLES: 1, TEAS: 2}
    assert [package.tracking_number for package in edited.packages] == ["JD0009"]
    assert edited.packages[0].confirmed_at == HOLD_ENDS + DAY, "an edit is a correction (R12)"


def test_r11_an_edit_may_move_units_between_lines_of_one_sku() -> None:
    first, second = placed().items
    order = unshipped(items=(first, second.model_copy(update={"sku": KETTLE})))

    fact = confirmed(
        after(order, shipment_confirmed({KETTLES: 2})), shipment_confirmed({KETTLES: 1, TEAS: 1})
    )

    assert fact.units_shipped == (), "no unit of the SKU moves"


def test_r11_the_same_confirmation_again_changes_nothing() -> None:
    order = shipped()
    again = shipment_confirmed(at=HOLD_ENDS + 2 * DAY, ship_date=HOLD_ENDS + DAY - HOUR)

    assert play(order, again) == (order, [])


def test_r11_an_edit_that_takes_units_back_opens_a_shipped_order_again() -> None:
    order = after(shipped(), shipment_confirmed({KETTLES: 3}, "1", HOLD_ENDS + 2 * DAY))

    assert order.status == "PartiallyShipped"
    assert order.deadlines[:3] == unshipped().deadlines, "its seller is waited for again"
    assert [deadline.kind for deadline in order.deadlines[3:]] == ["package_lost"]
    assert after(order, shipment_confirmed({TEAS: 2}, "2")).status == "Shipped"


def test_p2_shipped_with_delivery_known_is_not_left_again() -> None:
    order = shipped(package_delivered())
    edit = shipment_confirmed({KETTLES: 3}, "1", HOLD_ENDS + 5 * DAY)

    assert refused(order, edit).reason == "package_delivered"
    assert refused(order, shipment_confirmed({TEAS: 1}, "2")).reason == "more_units_than_open"


def test_r13_an_edit_takes_no_unit_back_of_an_order_whose_rest_was_canceled() -> None:
    order = after(partially_shipped(), reached(unshipped().deadlines[2]))
    assert order.status == "Shipped"

    fewer = shipment_confirmed({KETTLES: 1}, "1", CANCEL_AT + DAY)
    corrected = shipment_confirmed({KETTLES: 2}, "1", CANCEL_AT + DAY, tracking_number="JD0004")

    refusal = refused(order, fewer)
    assert (refusal.reason, refusal.field) == ("order_shipped", "order_items")
    assert refusal.detail == "The rest of the order was canceled: shipped units stay shipped."
    assert after(order, corrected).packages[0].tracking_number == "JD0004"
