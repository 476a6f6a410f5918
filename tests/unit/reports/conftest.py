"""A small marketplace's orders, each odd in its own way, for the golden files of both reports."""

from datetime import timedelta

import pytest

from shared.events.fields import Address, Money
from shared.events.fulfillment import BuyerRequestedCancel, Order
from shared.events.storefront import Buyer, OrderItem, TrafficSource
from shared.policy import Policies, Policy
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLES,
    MINUTE,
    PURCHASED,
    after,
    cancel_requested,
    eur,
    hold_over,
    order_placed,
    payment_approved,
    pending,
    seller_canceled,
    shipment_confirmed,
    stock_reserved,
    unshipped,
)

BERLIN, TOKYO = "A1PA6795UKMFR9", "A1VC38T7YXB528"


def yen(units: int) -> Money:
    return Money(amount_minor=units, currency="JPY")


@pytest.fixture(scope="package")
def policies() -> Policies:
    tokyo = Policy(marketplace_id=TOKYO, time_zone="Asia/Tokyo", calendar_country="JP")
    return Policies(by_marketplace={TOKYO: tokyo})


@pytest.fixture(scope="package")
def orders(policies: Policies) -> list[Order]:
    return [
        _of_a_poet(),
        _half_packed(),
        _late_in_tokyo(policies),
        _given_up_by_its_seller(),
        _on_its_way(),
        pending(stock_reserved(), payment_approved(), order_id="902-0000006-PENDING"),
        pending(
            stock_reserved(),
            payment_approved(),
            cancel_requested(PURCHASED + 5 * MINUTE),
            order_id="902-0000007-CANCELED-PENDING",
        ),
    ]


def _of_a_poet() -> Order:
    """Whose every text would run in a spreadsheet, break a row or blank a terminal."""
    order = unshipped(
        order_id="902-0000001-POET",
        buyer=Buyer(buyer_id="B-1", name="@SUM(1+1)", email="-a@example.org", phone="+49 331 555"),
        ship_address=Address(
            name='=HYPERLINK("http://example.org";"Gedicht")',
            address_line_1='"=1+1" Allee 7; =2',
            address_line_2="Hinterhaus\u2028links",
            address_line_3="\u009b2J",
            city="Köln, Ehrenfeld",
            state_or_region="  =NW",
            postal_code="-50823",
            country_code="DE",
            phone="+49 331 556",
        ),
        items=(
            OrderItem(
                order_item_id="item-1",
                sku="=KETTLE;-1",
                product_name='Kettle, 5" spout, „crimson“',
                quantity=3,
                item_price=eur(11_970),
                item_tax=eur(1_911),
                shipping_price=eur(0),
            ),
        ),
        order_total=eur(13_881),
        is_business_order=True,
        purchase_order_number="=PO-7",
        traffic_source=TrafficSource(channel="advertisement", site="off_site"),
        sales_channel="Example.de",
    )
    asked = BuyerRequestedCancel(
        nth=1, reason="@me: two is enough", asked_at=HOLD_ENDS, answer_due=HOLD_ENDS + 2 * DAY
    )
    return order.model_copy(update={"buyer_requested_cancel": asked})


def _half_packed() -> Order:
    """Two of three kettles are on their way, no tea."""
    packed = shipment_confirmed({KETTLES: 2})
    return unshipped(packed, order_id="902-0000002-HALF", is_prime=True)


def _late_in_tokyo(policies: Policies) -> Order:
    """Bought two days before the others, in yen, which have no decimals."""
    purchased = PURCHASED - 2 * DAY
    return after(
        None,
        order_placed(
            purchased,
            order_id="250-0000003-TOKYO",
            marketplace_id=TOKYO,
            purchase_date=purchased,
            ship_service_level="NextDay",
            items=(
                OrderItem(
                    order_item_id="1",
                    sku="SUZU",
                    product_name="鈴",
                    quantity=1,
                    item_price=yen(4_980),
                ),
            ),
            order_total=yen(4_980),
            traffic_source=TrafficSource(channel="direct"),
        ),
        stock_reserved(purchased),
        payment_approved(purchased + MINUTE),
        hold_over(purchased + timedelta(minutes=30)),
        policies=policies,
    )


def _given_up_by_its_seller() -> Order:
    return unshipped(seller_canceled(HOLD_ENDS + HOUR), order_id="902-0000004-GIVEN-UP")


def _on_its_way() -> Order:
    return unshipped(shipment_confirmed(), order_id="902-0000005-SHIPPED")
