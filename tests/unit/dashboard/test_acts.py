"""What an operator does: a form becomes an event, once, with who did it."""

import re
from datetime import UTC
from typing import Any

import pytest

from services.dashboard.actions import ACTS, offered, read_form
from services.dashboard.state import Entry
from services.dashboard.web.access import COOKIE
from services.dashboard.web.order import payments, timeline
from shared.decode import partition_of
from shared.events.payment import (
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    PaymentApproved,
    RefundRequested,
    VoidRequested,
)
from shared.events.seller import (
    SHIPMENTS,
    CancelAnswered,
    DelayAnnounced,
    ResendRequested,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import ORDERS, AddressCorrected
from tests.support.orders import (
    BUYER,
    HOUR,
    KETTLES,
    ONE_MS,
    RETURN,
    SELLER,
    SHIP_BY,
    address,
    after,
    archived,
    cancel_requested,
    canceled,
    partially_shipped,
    pending,
    return_requested,
    seller_approves,
    shipped,
    unshipped,
)
from tests.support.screen import PARTITIONS, Screen, open_screen
from tests.unit.dashboard.conftest import CANCELED, LATE, NOW, PENDING, SHIPPED, TOLD

PACKED = {
    "package_reference_id": "1",
    "carrier_code": "DHL",
    "tracking_number": "JJD0009",
    "ship_date": "2026-03-13",
    f"quantity:{KETTLES}": "3",
}


async def act(screen: Screen, order_id: str, what: str, **form: str) -> Any:
    session = await screen.parts.sessions.of(screen.client.cookies[COOKIE])
    assert session is not None
    sent = {"csrf": session.csrf, "key": "0" * 32, **form}
    return await screen.client.post(f"/orders/{order_id}/{what}", data=sent)


# -- what is offered, and what a form says ----------------------------------------------------


def test_what_may_be_done_follows_the_order() -> None:
    asked = after(seller_approves(unshipped()), cancel_requested(at=SHIP_BY - HOUR))
    returning = after(shipped(), return_requested({KETTLES: 2}))

    assert offered(pending(), NOW) == ()
    assert offered(archived(), NOW) == ()
    assert offered(canceled(), NOW) == ("notice",)
    assert offered(shipped(), NOW) == ("notice",)
    assert offered(unshipped(), SHIP_BY) == ("confirm", "delay", "cancel", "address", "notice")
    assert offered(unshipped(), SHIP_BY + ONE_MS) == ("confirm", "cancel", "address", "notice")
    assert offered(partially_shipped(), NOW) == ("confirm", "notice")
    assert "answer" in offered(asked, NOW)
    assert offered(returning, NOW) == ("receive", "notice")


def test_r11_the_form_of_a_package_says_each_field_that_is_missing_or_bad() -> None:
    bad = {
        "package_reference_id": "-1",
        "carrier_code": "Other",
        "ship_date": "the 13th",
        f"quantity:{KETTLES}": "4",
    }

    read = read_form("confirm", unshipped(), bad, UTC)

    assert read.fact is None
    assert read.problems == {
        "package_reference_id": "A positive number.",
        "carrier_name": "The carrier's name, where its code is Other.",
        "tracking_number": "The carrier's number of the package.",
        "ship_date": "A day, such as 2026-03-11.",
        f"quantity:{KETTLES}": "A whole number from 0 to 3.",
        "order_items": "One unit at least.",
    }


def test_r11_a_text_that_no_event_may_hold_is_told_at_its_field() -> None:
    read = read_form("confirm", unshipped(), {**PACKED, "tracking_number": "x" * 201}, UTC)

    assert list(read.problems) == ["tracking_number"]


def test_a_form_becomes_the_fact_that_a_seller_would_tell() -> None:
    confirmed = read_form("confirm", unshipped(), PACKED, UTC).fact
    assert isinstance(confirmed, ShipmentConfirmed)
    assert [(e.order_item_id, e.quantity) for e in confirmed.order_items] == [(KETTLES, 3)]
    assert confirmed.seller_id == SELLER
    assert read_form("delay", unshipped(), {"reason": "Snow"}, UTC).fact == DelayAnnounced(
        seller_id=SELLER, reason="Snow"
    )
    assert read_form("cancel", unshipped(), {"reason_code": "PricingError"}, UTC).fact == (
        SellerCanceled(seller_id=SELLER, reason_code="PricingError")
    )
    assert read_form("answer", unshipped(), {"approved": "no"}, UTC).fact == CancelAnswered(
        seller_id=SELLER, approved=False
    )


def test_r17_units_of_a_return_are_no_more_than_are_in_it() -> None:
    order = after(shipped(), return_requested({KETTLES: 2}))
    (sent_back,) = order.returns
    item, n = sent_back.items[0].order_item_id, sent_back.items[0].quantity
    form = {"return_id": RETURN, f"sellable:{item}": str(n), f"damaged:{item}": "1"}

    assert f"sellable:{item}" in read_form("receive", order, form, UTC).problems

    fact = read_form("receive", order, {**form, f"damaged:{item}": "0"}, UTC).fact
    assert isinstance(fact, ReturnReceived)
    assert [(e.quantity, e.condition) for e in fact.items] == [(n, "Sellable")]


HERE = {"name": "Mirabel Quist", "address_line_1": "Kastanienallee 7", "city": "Potsdam",
        "postal_code": "14471", "reason": "a typing error"}  # fmt: skip


def test_r3_an_address_is_corrected_as_the_marketplace_in_its_country() -> None:
    read = read_form("address", unshipped(), {**HERE, "address_line_1": "Am Neuen Palais 1"}, UTC)

    assert read.fact == AddressCorrected(
        buyer_id=BUYER,
        ship_address=address(address_line_1="Am Neuen Palais 1"),
        requested_by="MARKETPLACE",
        reason="a typing error",
    )


def test_an_address_says_each_field_that_is_missing_and_that_it_is_the_same() -> None:
    assert read_form("address", unshipped(), {"city": "x" * 201}, UTC).problems.keys() == {
        "name",
        "address_line_1",
        "reason",
    }
    assert [*read_form("address", unshipped(), {**HERE, "city": "x" * 201}, UTC).problems] == [
        "city"
    ]
    assert read_form("address", unshipped(), HERE, UTC).problems == {
        "address_line_1": "The order goes there already."
    }


@pytest.mark.parametrize("notice", ["", "hello:1", "package_shipped:0", "package_shipped"])
def test_a_notice_that_there_is_none_of_is_not_asked_for_again(notice: str) -> None:
    assert read_form("notice", shipped(), {"notice": notice}, UTC).problems == {
        "notice": "Choose which."
    }


@pytest.mark.asyncio
async def test_p4_a_notice_is_asked_for_again_from_those_that_were_sent(screen: Screen) -> None:
    page = await screen.get(f"/orders/{SHIPPED}")
    assert '<option value="package_shipped:1">package shipped, to the buyer</option>' in page

    await act(screen, SHIPPED, "notice", notice="package_shipped:1")

    (said,) = screen.said
    assert (said.topic, said.subject, said.source) == (SHIPMENTS, SHIPPED, "dashboard/operator")
    assert said.fact == ResendRequested(seller_id=SELLER, kind="package_shipped", occurrence=1)


@pytest.mark.asyncio
async def test_a_corrected_address_is_an_event_of_the_marketplace(screen: Screen) -> None:
    await act(screen, LATE, "address", **{**HERE, "city": "Werder"})

    (said,) = screen.said
    assert (said.topic, said.source) == (ORDERS, "dashboard/operator")
    assert isinstance(said.fact, AddressCorrected)


@pytest.mark.asyncio
async def test_the_form_of_an_address_begins_with_it_only_where_personal_data_is_shown(
    screen: Screen,
) -> None:
    street = 'value="Kastanienallee 7"'

    assert street not in await screen.get(f"/orders/{LATE}")
    assert street in await screen.get(f"/orders/{LATE}?show=personal")


@pytest.mark.parametrize("what", ["answer", "cancel", "receive", "address", "notice"])
def test_an_empty_form_says_nothing(what: str) -> None:
    assert read_form(what, unshipped(), {}, UTC).fact is None


# -- money ----------------------------------------------------------------------------------


def moved(type_: str, **said: Any) -> Entry:
    said = {"payment_id": "pay-83", "amount": {"amount_minor": 100, "currency": "EUR"}, **said}
    return Entry(type_, 0, 0, "payment.events", 0, "", "", "", said)


def test_r7_money_is_on_its_way_back_until_it_is_told_that_it_went() -> None:
    facts = [
        moved(PaymentApproved.TYPE, captured=False),
        moved(CaptureRequested.TYPE),
        moved(MoneyArrived.TYPE, how="captured"),
        moved(VoidRequested.TYPE),  # the capture came first: there is nothing to void any more
        moved(RefundRequested.TYPE),
        moved(MoneyReturned.TYPE, how="refunded"),
    ]

    (asked,), (came,), (owed,), (back,) = (payments(facts[:n]) for n in (2, 4, 5, 6))
    assert (asked.capturing, asked.going_back) == (100, 0)
    assert (came.capturing, came.going_back) == (0, 0)
    assert (owed.captured, owed.going_back) == (100, 100)
    assert (back.refunded, back.going_back) == (100, 0)


# -- sent from a page -------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_confirmed_package_is_an_event_with_who_did_it(screen: Screen) -> None:
    answer = await act(screen, LATE, "confirm", **PACKED)

    assert answer.headers["location"] == f"/orders/{LATE}?sent=confirm"
    assert "What came of it is in the" in await screen.get(f"/orders/{LATE}?sent=confirm")
    (said,) = screen.said
    assert (said.topic, said.subject, said.source) == (SHIPMENTS, LATE, "dashboard/operator")
    assert isinstance(said.fact, ShipmentConfirmed)


@pytest.mark.asyncio
async def test_a_double_click_is_one_event_and_other_words_are_another(screen: Screen) -> None:
    for _ in range(2):
        await act(screen, LATE, "confirm", **PACKED)
    await act(screen, LATE, "confirm", **{**PACKED, "tracking_number": "JJD0010"})
    await act(screen, LATE, "confirm", **{**PACKED, "key": "1" * 32})

    first, again, corrected, later = (said.id for said in screen.said)
    assert first == again
    assert len({first, corrected, later}) == 3


@pytest.mark.asyncio
async def test_a_wrong_form_sends_nothing_and_comes_back_as_it_was_typed(screen: Screen) -> None:
    answer = await act(
        screen, LATE, "confirm", **{**PACKED, "carrier_code": "<b>", "ship_date": ""}
    )

    assert answer.status_code == 422
    assert screen.said == []
    page = answer.text
    assert "Nothing was sent: 1 field is to be mended" in page
    assert 'value="&lt;b&gt;"' in page
    wrong = re.search(r'name="ship_date"[^>]*aria-describedby="([^"]+)"', page)
    assert wrong is not None
    assert f'id="{wrong[1]}">The day on which' in page
    assert 'name="key" value="' + "0" * 32 in page


@pytest.mark.asyncio
async def test_what_an_order_is_past_is_not_sent(screen: Screen) -> None:
    for order_id, what in ((PENDING, "confirm"), (CANCELED, "cancel"), (SHIPPED, "receive")):
        assert (await act(screen, order_id, what, **PACKED)).status_code == 409
    assert (await act(screen, LATE, "confirm", **{**PACKED, "key": ""})).status_code == 409
    assert (await act(screen, LATE, "explode")).status_code == 404
    assert screen.said == []


@pytest.mark.asyncio
async def test_a_viewer_is_offered_nothing_and_sends_nothing(morning: str) -> None:
    async with open_screen(morning, NOW, TOLD.records, role="viewer") as screen:
        assert 'id="acts"' not in await screen.get(f"/orders/{LATE}")
        for what in ACTS:
            assert (await act(screen, LATE, what, **PACKED)).status_code == 403
        assert screen.said == []


@pytest.mark.asyncio
async def test_the_timeline_says_who_did_it(screen: Screen) -> None:
    view = await screen.parts.views.view(LATE)
    assert view is not None
    last = view.timeline[-1]
    acted = last._replace(cause="elsewhere", cause_source="dashboard/anna")
    told = view.model_copy(update={"timeline": (*view.timeline[:-1], acted)})

    assert timeline(told, partition_of(LATE, PARTITIONS))[-1].person == "anna"
