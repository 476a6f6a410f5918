"""The pages, as a browser without JavaScript gets them."""

import re
from html import unescape
from urllib.parse import parse_qsl

import httpx
import pytest

from services.dashboard.app import build
from services.dashboard.web.site import HEADERS, ROUTES, site
from shared.errors import TransientError
from shared.events.inventory import STOCK_LEVELS
from shared.events.topics import TOPICS
from shared.events.warehouse import stock_subject
from shared.redis import connect
from tests.support.orders import KETTLE, SELLER, TRACKING
from tests.support.screen import Screen, Teller, open_screen, project
from tests.unit.dashboard.conftest import (
    CANCELED,
    LATE,
    NOW,
    PARTLY,
    PENDING,
    REFUSED,
    SHIPPED,
    TOLD,
    level,
)

pytestmark = pytest.mark.asyncio

NAMES = ("Mirabel", "mirabel@example.org", "Kastanienallee", "14471")
"""Of the buyer: what a page shows to nobody who has not asked."""


def rows(page: str) -> list[str]:
    """The orders in the list of a page, in order."""
    return re.findall(r'<tr id="o-([^"]+)"', page)


# -- every page -------------------------------------------------------------------------------

ADDRESSES = (
    "/",
    "/orders",
    f"/orders/{LATE}",
    f"/orders/{PENDING}",
    f"/orders/{SHIPPED}",
    f"/orders/{CANCELED}",
    f"/orders/{PARTLY}",
    f"/orders/{REFUSED}",
    "/stock",
    f"/stock/{SELLER}/{KETTLE}",
    "/deadlines",
    "/deadlines?kind=ship_by",
    "/letters",
    "/letters?state=all&reason=invalid_field&service=fulfillment&text=order",
    "/letters/orders/1/17",
    "/letters/selected?origin=orders:1:17&origin=orders:1:18",
    "/letters/selected?all=yes",
    "/audit",
    "/audit?person=anna&about=X&kind=letter.replayed&page=7",
    "/records/fulfillment.events/0/0",
    "/reports",
    "/policies",
    "/traffic",
    "/traffic?span=all",
    "/sign-in",
)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_page_is_whole_without_scripts_and_shows_no_name(
    screen: Screen, address: str
) -> None:
    page = await screen.get(address)

    assert page.rstrip().endswith("</html>")
    assert page.count("<h1") == 1
    assert "None" not in re.sub(r"<[^>]*>", "", page)
    assert not [name for name in NAMES if name in page]


@pytest.mark.parametrize("address", [*ADDRESSES, "/nowhere", "/static/dashboard.css"])
async def test_no_page_runs_or_styles_anything_that_is_not_a_file_of_ours(
    screen: Screen, address: str
) -> None:
    answer = await screen.client.get(address)

    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "'unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]* src=\"/static/)", answer.text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", answer.text)


async def test_every_address_is_asked_here(screen: Screen) -> None:
    apart = {"/live", "/health", "/health/{of}", "/reports/{kind}", "/welcome", "/sign-out"}
    apart |= {"/several/ship-confirm", "/several/cancel", "/metrics"}
    asked = {"/" + address.partition("?")[0].split("/")[1] for address in ADDRESSES}

    assert {"/" + r.path.split("/")[1] for r in ROUTES if r.path not in apart} == asked


async def test_what_is_not_there_is_said_so_and_escaped(screen: Screen) -> None:
    page = await screen.get("/orders/<b>bold", 404)

    assert "There is no order &lt;b&gt;bold" in page
    assert "Not found" in await screen.get("/records/fulfillment.events/0/999", 404)
    assert "Not found" in await screen.get("/records/__consumer_offsets/0/0", 404)
    assert "Not found" in await screen.get("/nowhere", 404)


async def test_an_outage_is_a_page_too(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise TransientError("Redis did not answer within 5 s")

    monkeypatch.setattr(type(screen.parts.views), "view", away)

    page = await screen.get(f"/orders/{LATE}", 503)
    assert "Away for now" in page
    assert "Redis did not answer within 5 s" in page


async def test_what_is_old_says_how_old_it_is(screen: Screen) -> None:
    assert "Stale" not in await screen.get("/orders")

    screen.parts.follower._looked_at_s -= 40

    assert "Data 40 s old" in await screen.get("/orders")
    assert (await screen.client.get("/health/ready")).status_code == 503


# -- the overview -----------------------------------------------------------------------------


async def test_the_overview_counts_orders_by_status_with_the_oldest(screen: Screen) -> None:
    page = " ".join((await screen.get("/")).split())

    shown = re.findall(
        r'status=(\w+)"> <span[^>]*>\w+</span> <strong>(\d+)</strong> <small>([^<]*)', page
    )
    assert {name: (n, oldest) for name, n, oldest in shown} == {
        "Pending": ("1", "order, the oldest of 11 Mar 2026 09:41"),
        "Unshipped": ("1", "order, the oldest of 11 Mar 2026 09:41"),
        "PartiallyShipped": ("1", "order, the oldest of 11 Mar 2026 09:41"),
        "Shipped": ("1", "order, the oldest of 10 Mar 2026 09:41"),
        "Canceled": ("1", "order, the oldest of 11 Mar 2026 09:41"),
    }


async def test_the_overview_says_of_its_numbers_what_they_count(screen: Screen) -> None:
    page = " ".join((await screen.get("/")).split())

    assert "no. 1: 7 behind, last progress" in page
    assert "7 records" in page
    assert re.search(r"\d+ of \d+ orders</td>", page)
    assert re.search(r"\d+ of \d+ packages</td>", page)
    assert ">shipment confirmed</td>" in page


async def test_a_marketplace_has_its_name_beside_its_id(screen: Screen) -> None:
    assert "Germany (A1PA6795UKMFR9)" in await screen.get(f"/orders/{LATE}")


async def test_the_overview_says_what_is_to_be_looked_at(screen: Screen) -> None:
    page = " ".join((await screen.get("/")).split())

    tiles = re.findall(r'<span class="name">([^<]+)</span> <strong>(\d+)</strong>', page)
    counts = {name: int(n) for name, n in tiles}
    assert (counts["Late"], counts["Stuck"], counts["Dead letters"]) == (2, 1, 1)
    assert (counts["Due today"], counts["Returns open"], counts["Cancel asked"]) == (0, 0, 0)


# -- Manage Orders ----------------------------------------------------------------------------


async def test_the_newest_orders_come_first(screen: Screen) -> None:
    assert rows(await screen.get("/orders")) == [PARTLY, CANCELED, LATE, PENDING, SHIPPED]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=Unshipped", [LATE]),
        ("urgency=late&sort=ship_by", [LATE, PARTLY]),
        ("urgency=stuck", [PARTLY]),
        (f"sku={KETTLE}&status=Canceled", [CANCELED]),
        (f"sku={KETTLE[:-1]}", []),
        ("source=advertisement+off_site", [SHIPPED]),
        ("until=2026-03-10", [SHIPPED]),
        ("since=2026-03-11&status=Pending", [PENDING]),
        (f"text={TRACKING.lower()}", [PARTLY, SHIPPED]),
        ("text=s-77", [CANCELED]),
        ("text=Mirabel", []),
        ("sort=purchase", [SHIPPED, PENDING, LATE, CANCELED, PARTLY]),
        ("page=2", []),
    ],
)
async def test_the_list_holds_what_its_address_asks_for(
    screen: Screen, query: str, found: list[str]
) -> None:
    assert rows(await screen.get(f"/orders?{query}")) == found


@pytest.mark.parametrize(
    ("address", "field", "allowed"),
    [
        ("/orders?status=Lost", "status", "Pending, Unshipped"),
        ("/orders?since=yesterday", "since", "a day such as 2026-03-11"),
        ("/orders?until=9999-12-31", "until", "a day such as 2026-03-11"),
        ("/orders?page=0", "page", "a number from 1 to"),
        ("/orders?page=0000001" + "9" * 5_000, "page", "a number from 1 to"),
        ("/orders?sort='; DROP TABLE orders", "sort", "-purchase"),
        (f"/orders?text={'x' * 81}", "text", "at most 80 characters"),
        ("/stock?show=some", "show", "all, none, wrong"),
        (f"/stock?text={'x' * 81}", "text", "at most 80 characters"),
        ("/deadlines?kind=tea", "kind", "hold, ship_by"),
        ("/traffic?span=year", "span", "day, week, month, all"),
        ("/policies?of=mars", "of", "default"),
        ("/letters?state=lost", "state", "open, replayed, edited, discarded, all"),
        (f"/letters?reason={'x' * 81}", "reason", "at most 80 characters"),
        ("/letters?done=eaten", "done", "replay, discard"),
        ("/letters?done=replay&n=-1", "n", "a number from 0 to 100"),
        ("/letters/selected?origin=orders", "origin", "topic:partition:offset of a letter"),
        ("/letters/selected?" + "origin=a:0:1&" * 101, "origin", "topic:partition:offset"),
        ("/letters/selected?all=maybe", "all", "yes"),
        (f"/audit?about={'x' * 81}", "about", "at most 80 characters"),
        ("/audit?kind=lunch", "kind", "letter.replayed, "),
        ("/audit?page=0", "page", "a number from 1 to"),
        ("/reports/order?format=exe", "format", "tsv, csv, json"),
        ("/reports/order?since=now", "since", "a day such as 2026-03-11"),
    ],
)
async def test_what_an_address_can_not_mean_is_named_with_what_is_allowed(
    screen: Screen, address: str, field: str, allowed: str
) -> None:
    page = await screen.get(address, 400)

    assert f"<dt><code>{field}</code></dt><dd>Allowed is {allowed}" in page
    assert f'<a href="{address.partition("?")[0]}">The page without it' in page


async def test_r3_a_pending_order_is_grey_and_has_no_price(screen: Screen) -> None:
    page = await screen.get("/orders")

    line = page.partition(f'id="o-{PENDING}"')[2].partition("</tr>")[0]
    assert line.startswith(' class="pending"')
    assert "133.68" not in line
    assert "133.68 EUR" in page.partition(f'id="o-{LATE}"')[2].partition("</tr>")[0]


async def test_what_is_shown_stays_where_it_is_and_that_the_list_changed_is_told(
    screen: Screen,
) -> None:
    kept = f"{SHIPPED},{LATE}"

    page = await screen.get(f"/orders?shown={kept}")

    assert rows(page) == [SHIPPED, LATE]
    assert "The list has changed" in page
    whole = ",".join([PARTLY, CANCELED, LATE, PENDING, SHIPPED])
    assert "The list has changed" not in await screen.get(f"/orders?shown={whole}")


# -- one order --------------------------------------------------------------------------------


async def test_r22_the_timeline_has_each_fact_with_its_cause_and_its_record(
    screen: Screen,
) -> None:
    page = await screen.get(f"/orders/{SHIPPED}")

    said = re.findall(r'<p class="what">([^<]*)', page)
    assert [text.strip() for text in said if "Buyer is told" not in text][:3] == [
        "Pending: placed, and held",
        "Reserved: 3 × KETTLE-1.7L-CRIMSON, 2 × TEA-EARL-250G",
        "stock is good, more is waited for",
    ]
    assert f"Package 1 confirmed: DHL {TRACKING}" in page
    assert f"Delivered: {TRACKING}" in page
    assert "because of gw-1" in page
    for address in re.findall(r'class="raw" href="([^"]+)"', page):
        assert SHIPPED in await screen.get(address)


async def test_the_money_of_an_order_is_what_its_facts_say(screen: Screen) -> None:
    page = await screen.get(f"/orders/{SHIPPED}")

    assert "133.68 EUR authorised" in page
    assert "133.68 EUR captured" in page
    assert "given back" not in page


async def test_r3_the_page_of_a_pending_order_hides_who_where_and_how_much(
    screen: Screen,
) -> None:
    page = await screen.get(f"/orders/{PENDING}?show=personal")

    assert "address, contact and prices are not the seller's" in page
    assert not [name for name in (*NAMES, "133.68", "119.70") if name in page]


@pytest.mark.parametrize("address", ["/records/fulfillment.events/0/0", "/letters/orders/1/17"])
async def test_a_raw_record_is_for_operators_who_ask(morning: str, address: str) -> None:
    async with open_screen(morning, NOW, TOLD.records, role="viewer") as reading:
        assert "Operators may look at it" in await reading.get(f"{address}?show=personal")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/orders?since=9999-12-30", 200),
        ("/reports/nothing", 404),
    ],
)
async def test_an_address_that_says_nothing_breaks_no_page(
    screen: Screen, address: str, status: int
) -> None:
    await screen.get(address, status)


async def test_what_broke_is_answered_under_the_same_headers(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(type(screen.parts.views), "view", broken)
    loose = httpx.ASGITransport(site(screen.parts), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=loose, base_url="http://dashboard", cookies=screen.client.cookies
    ) as client:
        answer = await client.get(f"/orders/{LATE}")

    assert answer.status_code == 500
    assert not (HEADERS.keys() | {"cache-control"}) - answer.headers.keys()


async def test_names_are_shown_to_who_asks(screen: Screen) -> None:
    page = await screen.get(f"/orders/{LATE}?show=personal")

    assert all(name in page for name in NAMES)


async def test_what_was_asked_of_no_order_is_shown_under_its_id(screen: Screen) -> None:
    page = await screen.get(f"/orders/{REFUSED}")

    assert "No order of this id was accepted" in page
    assert "unknown order" in page


async def test_the_order_shows_its_open_deadlines_of_every_service(screen: Screen) -> None:
    page = await screen.get(f"/orders/{PARTLY}")

    assert "Stuck without the provider" in page
    assert "in 3 h" in page
    assert "Stuck: refund failed" in page


# -- the others -------------------------------------------------------------------------------


async def test_p1_stock_shows_each_sku_and_that_it_adds_up(screen: Screen) -> None:
    page = await screen.get("/stock")

    assert "2 SKUs: 14 units on hand, 9 available, 5 reserved" in page
    assert "All add up" in page
    sku = await screen.get(f"/stock/{SELLER}/{KETTLE}")
    assert "0 units at first, +12 since, are 12 on hand" in sku


async def test_a_dead_letter_is_shown_as_text_whatever_it_holds(screen: Screen) -> None:
    assert "data.items: has to be there" in await screen.get("/letters")

    assert "7b 22 61 22 3a" not in await screen.get("/letters/orders/1/17")
    page = await screen.get("/letters/orders/1/17?show=personal")

    assert "<script>" not in page.partition("<h1")[2]
    assert "&lt;script&gt;" in page
    assert "7b 22 61 22 3a" in page


async def test_a_report_is_masked_unless_names_are_asked_for(screen: Screen) -> None:
    masked = await screen.get("/reports/unshipped")
    named = await screen.get("/reports/unshipped?personal=yes&format=csv")

    assert masked.startswith("order-id\torder-item-id")
    assert LATE in masked
    assert PENDING not in masked
    assert "Mirabel" not in masked
    assert "Mirabel Quist" in named


async def test_r20_traffic_has_orders_and_revenue_by_source(screen: Screen) -> None:
    page = " ".join((await screen.get("/traffic")).split())

    assert re.search(r'advertisement off-site</a></th> <td class="n">1</td>', page)
    assert "267.36 EUR" in page


async def test_r24_policies_are_told_in_sentences(screen: Screen) -> None:
    assert "Every order is held for 30 minutes" in await screen.get("/policies")


async def test_every_topic_of_ours_is_shown(screen: Screen) -> None:
    read = {reading.topic.name for reading in build().reads}
    assert {topic.name for topic in TOPICS if topic.publisher} <= read


@pytest.mark.parametrize("sku", ["50% OFF", "A/B", "A #1?b=c", "%2F", "50%/A//B"])
async def test_the_page_of_a_sku_is_live_at_its_own_address_whatever_its_name(
    morning: str, sku: str
) -> None:
    teller, subject = Teller(), stock_subject(SELLER, sku)
    teller.say(STOCK_LEVELS, level(sku, 1, 7, 7, 0), subject, NOW, 1)
    redis = connect(f"{morning.removesuffix('/0')}/2")
    await project(redis, teller.records)
    async with open_screen(f"{morning.removesuffix('/0')}/2", NOW) as screen:
        (link,) = re.findall(r'href="(/stock/[^"]+)"', await screen.get("/stock"))
        page = await screen.get(unescape(link))
        (again,) = re.findall(r'hx-get="([^"]+)"', page)
        (live,) = re.findall(r'hx-sse:connect="/live[?]([^"]+)"', page)

        assert sku in unescape(await screen.get(unescape(again)))
        assert ("of", f"stock {subject}") in parse_qsl(unescape(live))
    await redis.flushdb()
    await redis.aclose()
