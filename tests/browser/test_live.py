"""Pages are live: what changes is shown, what a reader does stays, and an outage says so."""

from datetime import timedelta

import pytest
from playwright.async_api import Page, expect

from shared.errors import TransientError
from tests.browser.conftest import Visitors, look_at
from tests.support.screen import served
from tests.support.shop import NOW, Counter

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_an_orders_page_shows_a_fact_once_it_is_there(page: Page, counter: Counter) -> None:
    order_id = counter.shop.order(8_001, NOW - timedelta(hours=1), "reserved")
    await counter.show()
    await page.goto(f"/orders/{order_id}")
    await expect(page.locator(".timeline li")).to_have_count(3)

    counter.shop.buyer_cancels(order_id)
    await counter.show()

    await expect(page.locator("h1 .status")).to_have_text("Canceled")


async def test_the_list_does_not_jump_under_a_readers_hand(page: Page, counter: Counter) -> None:
    await page.goto("/orders")
    rows = page.locator("table.orders tbody th")
    shown = await rows.all_inner_texts()
    await page.locator(f"text={shown[30]}").scroll_into_view_if_needed()
    was_at = await page.evaluate("scrollY")

    newest = counter.shop.order(8_002, NOW)
    changed = shown[0]
    counter.shop.buyer_cancels(changed)
    await counter.show()

    again = page.get_by_role("link", name="The list has changed: show it anew")
    await expect(again).to_be_visible()
    await expect(page.locator(f"#o-{changed} .status")).to_have_text("Canceled")
    assert await rows.all_inner_texts() == shown
    assert await page.evaluate("scrollY") == was_at
    await again.click()
    await expect(rows.first).to_have_text(newest)


async def test_what_is_ticked_typed_and_opened_stays(page: Page, counter: Counter) -> None:
    order_id = counter.shop.order(8_003, NOW - timedelta(hours=1), "released")
    await counter.show()
    await page.goto("/letters")
    ticked = page.get_by_role("checkbox").nth(1)
    which = await ticked.get_attribute("value")
    await ticked.check()
    counter.shop.cancel_letter(31, order_id)
    await counter.show()

    await expect(page.locator("tbody tr").first).to_contain_text(order_id)
    checked = page.locator("input:checked")
    assert [await each.get_attribute("value") for each in await checked.all()] == [which]

    await page.goto(f"/orders/{order_id}")
    facts = await page.locator(".timeline li").count()
    await page.locator("summary", has_text="Confirm shipment").click()
    await page.get_by_label("Tracking number").fill("JJD-half-typ")
    counter.shop.delayed(order_id)
    await counter.show()

    await expect(page.locator(".timeline li")).not_to_have_count(facts)
    await expect(page.get_by_label("Tracking number")).to_have_value("JJD-half-typ")
    await expect(page.get_by_label("Tracking number")).to_be_focused()

    await page.goto("/")
    await page.get_by_text("As figures").click()
    counter.shop.order(8_004, NOW)
    placed = page.locator("figure details tbody tr:last-child td").first
    before = await placed.inner_text()
    await counter.show()
    await expect(placed).not_to_have_text(before)
    await expect(placed).to_be_visible()
    await expect(page.locator("figure canvas")).to_be_visible()


async def test_a_stream_that_is_cut_says_so_and_what_it_missed_is_shown_once_it_is_back(
    visitors: Visitors, counter: Counter
) -> None:
    visitors.expected = {"ERR_CONNECTION", "ERR_INCOMPLETE", "Failed to fetch", "network error"}
    order_id = counter.shop.order(8_005, NOW - timedelta(hours=1), "reserved")
    await counter.show()
    async with served(counter.parts) as first:
        page = await visitors.come(base_url=first)
        await page.goto(f"/orders/{order_id}")
        await expect(page.get_by_text("Not live")).to_be_hidden()
    await expect(page.get_by_text("Not live")).to_be_visible()
    await look_at(page, "cut")

    counter.shop.buyer_cancels(order_id)
    await counter.show()
    async with served(counter.parts, port=int(first.rpartition(":")[2])):
        await expect(page.locator("h1 .status")).to_have_text("Canceled")
        await expect(page.get_by_text("Not live")).to_be_hidden()
        await page.close()


async def test_an_open_page_says_that_it_is_stale_until_redis_is_back(
    page: Page, counter: Counter, visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors.expected = {"503 (Service Unavailable)"}
    order_id = counter.shop.order(8_006, NOW, "reserved")
    await counter.show()
    other = await visitors.come()
    await page.goto("/stock")

    async def away(*_: object) -> None:
        raise TransientError("Redis did not answer within 5 s")

    with monkeypatch.context() as patched:
        patched.setattr("shared.redis.Pipeline.run", away)
        counter.parts.follower._looked_at_s -= 40
        await expect(page.get_by_text("Data 4")).to_be_visible()
        await look_at(page, "stale")
        await other.goto(f"/orders/{order_id}")
        await expect(other.get_by_role("heading", name="Away for now")).to_be_visible()
        await look_at(other, "away")

    await expect(page.get_by_text("Stale")).to_be_hidden()
    await expect(other.get_by_role("heading", name=f"Order {order_id}")).to_be_visible()
