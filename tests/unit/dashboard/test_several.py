"""Several orders at once: a ship-confirm file, and a cancel of what is selected."""

import re
from typing import Any

import pytest

from services.dashboard.web import several
from services.dashboard.web.access import COOKIE, MAX_UPLOAD_BYTES
from shared.events.seller import SHIPMENTS, SellerCanceled, ShipmentConfirmed
from tests.support.orders import KETTLES, SELLER, TEAS
from tests.support.screen import Screen, open_screen
from tests.unit.dashboard.conftest import CANCELED, LATE, NOW, PENDING, SHIPPED, TOLD

pytestmark = pytest.mark.asyncio

HEAD = "order-id\torder-item-id\tquantity\tship-date\tcarrier-code\ttracking-number"
FILE = "\n".join(
    [
        HEAD,
        f"{LATE}\t{KETTLES}\t3\t2026-03-13\tDHL\tJJD0009",
        f"{LATE}\t{TEAS}\t2\t2026-03-13\tDHL\tJJD0009",
        f"{PENDING}\t{KETTLES}\tmany\t2026-03-13\tDHL\tJJD0010",
    ]
)
KEY = "0" * 32


async def csrf(screen: Screen) -> str:
    session = await screen.parts.sessions.of(screen.client.cookies[COOKIE])
    assert session is not None
    return session.csrf


async def upload(screen: Screen, content: str, **form: str) -> Any:
    sent = {"csrf": await csrf(screen), "key": KEY, "seller": SELLER, "marketplace": "", **form}
    files = {"file": ("ship.txt", content.encode(), "text/plain")}
    return await screen.client.post("/several/ship-confirm", data=sent, files=files)


async def cancel(screen: Screen, *order_ids: str, **form: str) -> Any:
    sent: dict[str, Any] = {"csrf": await csrf(screen), "key": KEY, "order": [*order_ids], **form}
    return await screen.client.post("/several/cancel", data=sent)


# -- by file -----------------------------------------------------------------------------------


async def test_r11_a_file_confirms_its_good_packages_and_names_each_bad_row(
    screen: Screen,
) -> None:
    answer = await upload(screen, FILE)

    assert answer.status_code == 200
    assert "Sent: 2 of 3 rows, as 1 package." in answer.text
    assert "a whole number from 1 to 10000" in answer.text
    assert re.search(r'class="n">4</th><td>quantity</td>', answer.text), "line and column"
    (said,) = screen.said
    assert (said.topic, said.subject, said.source) == (SHIPMENTS, LATE, "dashboard/operator")
    assert isinstance(said.fact, ShipmentConfirmed)
    assert [item.quantity for item in said.fact.order_items] == [3, 2]


async def test_a_file_that_is_sent_twice_says_the_same_events(screen: Screen) -> None:
    for _ in range(2):
        await upload(screen, FILE)

    first, again = (said.id for said in screen.said)
    assert first == again


async def test_a_file_that_is_only_checked_says_nothing(screen: Screen) -> None:
    answer = await upload(screen, FILE, check="yes")

    assert "Checked, and nothing was sent. Good are 2 of 3 rows" in answer.text
    assert screen.said == []


@pytest.mark.parametrize(
    ("content", "form", "says"),
    [
        ("order-id\n1", {}, "has no column order-item-id, quantity"),
        ("", {}, "File: choose one"),
        (FILE, {"seller": "no seller"}, "Seller: 1 to 64 letters"),
    ],
)
async def test_a_file_that_can_not_be_used_says_why_and_sends_nothing(
    screen: Screen, content: str, form: dict[str, str], says: str
) -> None:
    answer = await upload(screen, content, **form)

    assert answer.status_code == 422
    assert says in answer.text
    assert screen.said == []


async def test_a_file_has_so_many_rows_and_bytes_and_no_more(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "MAX_ROWS", 3)
    assert (await upload(screen, FILE)).status_code == 200
    monkeypatch.setattr(several, "MAX_ROWS", 2)
    answer = await upload(screen, FILE)
    assert "more than 2 rows" in answer.text

    assert (await upload(screen, "x" * MAX_UPLOAD_BYTES)).status_code == 413
    assert len(screen.said) == 1


# -- selected ----------------------------------------------------------------------------------


async def test_what_can_be_canceled_can_be_selected_in_the_list(screen: Screen) -> None:
    page = await screen.get("/orders")

    assert re.findall(r'id="pick-([^"]+)"', page) == [LATE]


async def test_r18_the_selected_are_shown_first_and_canceled_once_somebody_is_sure(
    screen: Screen,
) -> None:
    looked = await cancel(screen, LATE, SHIPPED, CANCELED, "none", reason_code="PricingError")

    assert screen.said == []
    assert "Cancel 1 order<" in looked.text
    assert "No: it is Shipped" in looked.text
    assert "No: there is no such order" in looked.text
    assert re.findall(r'name="order" value="([^"]+)"', looked.text) == [LATE]
    assert "<option selected>PricingError" in looked.text

    done = await cancel(screen, LATE, reason_code="PricingError", sure="yes")
    await cancel(screen, LATE, reason_code="PricingError", sure="yes")

    assert "Sent for 1 order." in done.text
    first, again = screen.said
    assert first == again
    assert (first.topic, first.subject, first.source) == (SHIPMENTS, LATE, "dashboard/operator")
    assert first.fact == SellerCanceled(seller_id=SELLER, reason_code="PricingError")


async def test_without_a_reason_nothing_is_canceled(screen: Screen) -> None:
    answer = await cancel(screen, LATE, sure="yes")

    assert answer.status_code == 422
    assert "Choose why." in answer.text
    assert screen.said == []


async def test_too_many_at_once_are_refused(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "MAX_SELECTED", 1)

    assert (await cancel(screen, LATE)).status_code == 200
    assert (await cancel(screen, LATE, SHIPPED)).status_code == 413


async def test_a_viewer_neither_selects_nor_sends(morning: str) -> None:
    async with open_screen(morning, NOW, TOLD.records, role="viewer") as screen:
        page = await screen.get("/orders")
        assert 'name="order"' not in page
        assert "Confirm by file" not in page
        assert (
            await cancel(screen, LATE, reason_code="PricingError", sure="yes")
        ).status_code == 403
        assert (await upload(screen, FILE)).status_code == 403
        assert screen.said == []


async def test_what_was_not_sent_by_a_page_of_this_session_is_refused(screen: Screen) -> None:
    assert (await upload(screen, FILE, csrf="x")).status_code == 403
    assert (await cancel(screen, LATE, csrf="x", sure="yes")).status_code == 403
    assert (await upload(screen, FILE, key="x")).status_code == 409
    raw = await screen.client.post("/several/ship-confirm", content=b"x")
    assert raw.status_code == 400
    assert screen.said == []
