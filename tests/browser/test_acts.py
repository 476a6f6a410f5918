"""What people do on the pages: sign in, act once, and get a clear answer, by keyboard too."""

from datetime import timedelta

import pytest
from playwright.async_api import Page, expect

from services.cli.demo.script import AMERICA
from services.dashboard.web.access import way_in
from shared.events.dashboard import LetterDiscarded, LetterReplayed
from shared.events.seller import (
    CancelAnswered,
    DelayAnnounced,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from tests.browser.conftest import Visitors, look_at
from tests.support.shop import NOW, Counter

pytestmark = pytest.mark.asyncio(loop_scope="package")

PASSWORD = "seven kettles on a shelf"
YESTERDAY = NOW - timedelta(days=1)


async def an_order(counter: Counter, nth: int, *lives: str, marketplace_id: str = "") -> str:
    """The page of a new order of yesterday."""
    order_id = counter.shop.order(nth, YESTERDAY, *lives, marketplace_id=marketplace_id)
    await counter.show()
    return f"/orders/{order_id}"


def form(page: Page, title: str) -> "Form":
    return Form(page, title)


class Form:
    """What is folded under a title on a page."""

    def __init__(self, page: Page, title: str) -> None:
        self.page = page
        self.details = page.locator("details.act", has=page.locator("summary", has_text=title))
        self.button = self.details.get_by_role("button").last

    async def open(self, **fields: str) -> "Form":
        """Unfold it, and fill in fields by their labels."""
        await self.details.locator("summary").click()
        for name, value in fields.items():
            await self.details.locator(f'[name="{name}"]').fill(value)
        return self

    async def send(self) -> None:
        await self.button.click()
        await self.page.wait_for_load_state()


PACKED = {"carrier_code": "DHL", "tracking_number": "JJD0009"}


async def test_a_package_is_confirmed_and_the_answer_comes_by_itself(
    page: Page, counter: Counter
) -> None:
    await page.goto(await an_order(counter, 9_001, "released"))

    await (await form(page, "Confirm shipment").open(**PACKED)).send()

    await expect(page.get_by_text("What came of it is in the timeline")).to_be_visible()
    (fact,) = await counter.answer()
    assert isinstance(fact, ShipmentConfirmed)
    await expect(page.locator("h1 .status")).to_have_text("Shipped")
    await expect(page.locator(".timeline")).to_contain_text("by operator")
    await look_at(page, "order-acted")


async def test_what_is_wrong_in_a_form_is_told_at_its_field(
    page: Page, visitors: Visitors, counter: Counter
) -> None:
    visitors.expected = {"422 (Unprocessable"}
    await page.goto(await an_order(counter, 9_002, "released"))

    await (
        await form(page, "Confirm shipment").open(carrier_code="Other", tracking_number="")
    ).send()

    await expect(page.get_by_role("alert")).to_contain_text("Nothing was sent: 2 fields")
    await expect(page.get_by_label("Tracking number")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Carrier name")).to_have_accessible_description(
        "The carrier's name, where its code is Other."
    )
    assert await counter.answer() == []
    await look_at(page, "order-wrong")


async def test_a_double_click_is_one_event(page: Page, counter: Counter) -> None:
    await page.goto(await an_order(counter, 9_003, "released"))
    confirming = await form(page, "Confirm shipment").open(**PACKED)

    await confirming.button.dblclick()
    await expect(page.get_by_text("What came of it is in the timeline")).to_be_visible()

    assert len({said.id for said in counter.screen.said[counter._answered :]}) == 1
    await counter.answer()
    await expect(page.locator(".timeline li", has_text="Package 1 confirmed")).to_have_count(1)


async def test_of_two_operators_on_one_order_the_second_is_told(
    page: Page, visitors: Visitors, counter: Counter
) -> None:
    visitors.expected = {"409 (Conflict)"}
    address = await an_order(counter, 9_004, "released")
    other = await visitors.come("second", java_script_enabled=False)
    await page.goto(address)
    await other.goto(address)
    canceling = form(other, "Cancel the order")
    await canceling.details.locator("summary").click()
    await canceling.details.locator("select").select_option("NoInventory")

    await (await form(page, "Confirm shipment").open(**PACKED)).send()
    await counter.answer()
    await canceling.send()

    await expect(other.get_by_role("heading")).to_have_text("Too late")
    await expect(other.get_by_text("Somebody else was first")).to_be_visible()
    assert await counter.answer() == []
    await look_at(page, "order-shipped-by-another")


async def test_of_two_at_the_same_moment_the_timeline_tells_the_second(
    page: Page, visitors: Visitors, counter: Counter
) -> None:
    address = await an_order(counter, 9_005, "released")
    other = await visitors.come("second")
    for each in (page, other):
        await each.goto(address)
    await (await form(page, "Confirm shipment").open(**PACKED)).send()
    canceling = form(other, "Cancel the order")
    await canceling.details.locator("summary").click()
    await canceling.details.locator("select").select_option("NoInventory")
    await canceling.send()

    assert len(await counter.answer()) == 2

    await expect(other.locator(".timeline")).to_contain_text("The order has shipped")
    await expect(other.locator("h1 .status")).to_have_text("Shipped")


async def test_a_delay_is_announced_and_an_order_canceled(page: Page, counter: Counter) -> None:
    await page.goto(await an_order(counter, 9_006, "released"))

    await (await form(page, "Announce a delay").open(reason="the kiln is full")).send()
    (delay,) = await counter.answer()
    await expect(page.locator(".timeline")).to_contain_text("announced a delay")
    canceling = form(page, "Cancel the order")
    await canceling.details.locator("summary").click()
    await canceling.details.locator("select").select_option("NoInventory")
    await canceling.send()
    (cancel,) = await counter.answer()

    await expect(page.locator("h1 .status")).to_have_text("Canceled")
    assert isinstance(delay, DelayAnnounced)
    assert isinstance(cancel, SellerCanceled)


async def test_a_buyer_is_answered(page: Page, counter: Counter) -> None:
    address = await an_order(counter, 9_007, "released", "buyer_asks", marketplace_id=AMERICA)
    await page.goto(address)
    answering = await form(page, "Answer the buyer").open(reason="it is packed")

    await answering.details.get_by_label("No, it will be shipped").check()
    await answering.send()

    (fact,) = await counter.answer()
    assert isinstance(fact, CancelAnswered)
    await expect(form(page, "Answer the buyer").details).to_have_count(0)


async def test_a_return_is_received(page: Page, counter: Counter) -> None:
    order_id = counter.shop.order(
        9_008, NOW - timedelta(days=4), "released", "shipped", "delivered", "asked_back"
    )
    await counter.show()
    await page.goto(f"/orders/{order_id}")

    await (await form(page, "Receive return").open()).send()

    (fact,) = await counter.answer()
    assert isinstance(fact, ReturnReceived)
    await expect(page.locator(".timeline")).to_contain_text("by operator")


async def test_dead_letters_are_replayed_edited_and_discarded(page: Page, counter: Counter) -> None:
    order_id = (await an_order(counter, 9_009, "released")).removeprefix("/orders/")
    replayed, edited, discarded = (counter.shop.cancel_letter(n, order_id) for n in (41, 42, 43))
    await counter.show()

    await page.goto(f"/letters?text={replayed}")
    await page.get_by_label(f"Select {replayed}", exact=True).check()
    await page.get_by_role("button", name="Look at the selected ones").click()
    await page.get_by_role("button", name="Replay 1").click()
    await expect(page.get_by_text("Done. It is shown here within a moment.")).to_be_visible()
    (fact,) = await counter.answer()
    assert isinstance(fact, LetterReplayed)
    await expect(page.locator("h1 .tag")).to_have_text("replayed")

    await page.goto(f"/letters/{edited.replace(':', '/')}?show=personal")
    editing = await form(page, "Edit a copy").open()
    value = editing.details.locator('[name="value"]')
    await value.fill((await value.input_value()).replace("PricingError", "NoInventory"))
    await editing.details.get_by_role("button", name="What would come of it").click()
    await expect(page.get_by_text("The copy would be decided")).to_be_visible()
    await look_at(page, "letter-edited")
    await page.get_by_role("button", name="Send the copy").click()
    await expect(page.get_by_text("Done. It is shown here within a moment.")).to_be_visible()
    (fact,) = await counter.answer()
    assert isinstance(fact, LetterReplayed)
    assert fact.edited

    await page.goto(f"/letters/{discarded.replace(':', '/')}")
    await (await form(page, "Discard").open(reason="of another shop")).send()
    (fact,) = await counter.answer()
    assert isinstance(fact, LetterDiscarded)
    await expect(page.locator("h1 .tag")).to_have_text("discarded")
    await page.goto("/audit")
    await expect(page.locator("tbody")).to_contain_text("of another shop")


async def test_one_comes_in_by_a_link_and_again_by_password(
    visitors: Visitors, counter: Counter
) -> None:
    page = await visitors.come(role=None)
    visitors.expected = {"401 (Unauthorized)"}
    await page.goto(way_in(await counter.parts.accounts.invite("newcomer", "operator")))
    await look_at(page, "welcome")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Come in").click()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    await page.get_by_role("button", name="Sign out").click()
    await page.goto("/stock")
    await page.get_by_label("Name").fill("newcomer")
    await page.get_by_label("Password").fill("not that one, surely")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text(
        "Name and password do not belong together."
    )
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()

    await expect(page.get_by_role("heading", name="Stock")).to_be_visible()


async def test_a_viewer_sees_no_action_and_may_do_none(
    visitors: Visitors, counter: Counter
) -> None:
    visitors.expected = {"403 (Forbidden)"}
    page = await visitors.come("reader", "viewer")
    await page.goto(await an_order(counter, 9_010, "released"))

    await expect(page.locator("details.act")).to_have_count(0)
    await page.goto("/letters")
    await expect(page.get_by_role("checkbox")).to_have_count(0)
    token = await page.locator('[name="csrf"]').first.get_attribute("value")
    for act in ("/orders/X/cancel", "/letters/selected", "/letters/orders/0/1/edit"):
        assert await page.evaluate(SEND, [act, token]) == 403
    assert await counter.answer() == []


async def test_all_is_reached_by_keyboard_and_seen_where_one_is(
    page: Page, counter: Counter
) -> None:
    await page.goto(await an_order(counter, 9_011, "released"))
    await page.keyboard.press("Tab")
    await expect(page.get_by_text("Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Orders", exact=True).last).to_be_focused()

    confirming = form(page, "Confirm shipment")
    stops = 0
    while not await confirming.details.locator("summary").evaluate(
        "e => e === document.activeElement"
    ):
        assert await page.evaluate(SEEN), await page.evaluate("document.activeElement.outerHTML")
        await page.keyboard.press("Tab")
        stops += 1
        assert stops < 10
    await page.keyboard.press("Enter")
    for name in ("package_reference_id", "carrier_code"):
        await page.keyboard.press("Tab")
        await expect(confirming.details.locator(f'[name="{name}"]')).to_be_focused()
        assert await page.evaluate(SEEN)
    await page.keyboard.type("DHL")
    for _ in range(2):
        await page.keyboard.press("Tab")
    await page.keyboard.type("JJD0009")
    await page.keyboard.press("Enter")

    await expect(page.get_by_text("What came of it is in the timeline")).to_be_visible()
    assert len(await counter.answer()) == 1


SEND = """async ([address, csrf]) => {
  const body = new URLSearchParams({csrf, key: '0'.repeat(32)});
  return (await fetch(address, {method: 'POST', body})).status;
}"""
"""What a form would send; the status of the answer."""
SEEN = """() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
}"""
"""Whether where one is has an outline."""
