"""Every page, as people see it: light, dark, on a phone, by keyboard, without JavaScript."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visitors, look_at
from tests.support.shop import Counter

pytestmark = pytest.mark.asyncio(loop_scope="package")


def order(counter: Counter, status: str) -> str:
    """The page of an order in a status, one whose life is over if that may be."""
    sql = "SELECT order_id FROM orders WHERE status = :status ORDER BY purchase_ms LIMIT 1"
    return f"/orders/{counter.parts.index.one(sql, status=status)['order_id']}"


def origin(counter: Counter, reason: str) -> str:
    sql = "SELECT origin FROM letters WHERE reason = :reason ORDER BY kept_ms LIMIT 1"
    return f"/letters/{counter.parts.index.one(sql, reason=reason)['origin'].replace(':', '/')}"


PAGES = {
    "overview": "/",
    "orders": "/orders",
    "orders-late": "/orders?urgency=late&sort=ship_by",
    "orders-none": "/orders?text=nothing+like+this",
    "orders-wrong": "/orders?status=Lost&since=yesterday",
    "stock": "/stock",
    "sku": "/stock/TEAHOUSE/MATCHA-100G",
    "deadlines": "/deadlines",
    "letters": "/letters",
    "letters-none": "/letters?state=discarded",
    "selected": "/letters/selected?all=yes",
    "audit": "/audit",
    "record": "/records/fulfillment.events/0/0",
    "reports": "/reports",
    "policies": "/policies?of=ATVPDKIKX0DER",
    "traffic": "/traffic",
    "not-found": "/nowhere",
    "sign-in": "/sign-in",
}


@pytest.mark.parametrize("name", PAGES)
async def test_nobody_is_kept_out_of_a_page_light_dark_or_on_a_phone(
    page: Page, visitors: Visitors, name: str
) -> None:
    visitors.expected = {"404 (Not Found)"}

    await page.goto(PAGES[name])

    await look_at(page, name)


@pytest.mark.parametrize(
    "status", ["Pending", "Unshipped", "PartiallyShipped", "Shipped", "Canceled"]
)
async def test_nor_of_an_orders_page(page: Page, counter: Counter, status: str) -> None:
    await page.goto(order(counter, status))

    await look_at(page, f"order-{status.lower()}")


@pytest.mark.parametrize("reason", ["decision_failed", "not_json"])
async def test_nor_of_a_dead_letters(page: Page, counter: Counter, reason: str) -> None:
    await page.goto(origin(counter, reason) + "?show=personal")

    await look_at(page, f"letter-{reason}")


@pytest.mark.parametrize("name", PAGES)
async def test_it_is_read_without_javascript(visitors: Visitors, name: str) -> None:
    visitors.expected = {"404 (Not Found)"}
    page = await visitors.come(java_script_enabled=False)
    await page.goto(PAGES[name])

    await expect(page.locator("h1")).to_be_visible()
    for table in await page.locator("main > * table").all():
        if not await table.locator("xpath=ancestor::details").count():
            await expect(table).to_be_visible()
