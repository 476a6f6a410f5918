"""The pages of a shop in Debian's Chromium, over HTTP; Kafka is not needed for that."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    ViewportSize,
    async_playwright,
    expect,
)

from services.cli.redis_server import choose_redis
from services.dashboard.accounts import Role
from services.dashboard.web.access import COOKIE
from services.dashboard.web.assets import found_assets
from tests.support.screen import served
from tests.support.shop import Counter, open_counter, opened_shop

SCREENS = Path(__file__).resolve().parents[2] / "build" / "screens"
"""Where a run leaves what every page looks like."""
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
STANDARD_RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
COLOR_RULES = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""Dark, nothing else is different."""
WIDE: ViewportSize = {"width": 1280, "height": 800}
NARROW: ViewportSize = {"width": 375, "height": 740}
"""A small phone."""
NOT_HERE = {
    "needs chromium on the PATH": shutil.which("chromium"),
    "needs what npm brings: htmx and uPlot": found_assets().files,
    "needs what npm brings: axe-core": AXE.is_file(),
}
"""Why there is nothing to see here, where one of these is not there."""

expect.set_options(timeout=60_000)  # for what does not come; what comes is waited for no longer


@pytest.fixture(scope="package", autouse=True)
def _all_here() -> None:
    for reason, here in NOT_HERE.items():
        if not here:
            pytest.skip(reason)


@pytest.fixture(scope="package")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data_dir = tmp_path_factory.mktemp("shop")
    server = choose_redis(data_dir, data_dir / "redis.log", redis_url=None)
    server.start()
    yield server.redis_url
    server.stop()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield opened
        await opened.close()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def counter(redis_url: str) -> AsyncIterator[Counter]:
    async with open_counter(redis_url, opened_shop()) as opened:
        yield opened


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def address(counter: Counter) -> AsyncIterator[str]:
    async with served(counter.parts) as url:
        yield url


class Visitors:
    """People at the pages, each in a browser of his own; none of them may break a page."""

    def __init__(self, browser: Browser, counter: Counter, address: str) -> None:
        self._browser = browser
        self._counter = counter
        self._address = address
        self._contexts = AsyncExitStack()
        self._broke: list[str] = []
        self.expected: set[str] = set()

    async def come(
        self, name: str = "operator", role: Role | None = "operator", **how: Any
    ) -> Page:
        """One who is signed in, or has no role and stands at the door."""
        how = {"base_url": self._address, "viewport": WIDE, "timezone_id": "UTC", **how}
        context: BrowserContext = await self._browser.new_context(**how)
        self._contexts.push_async_callback(context.close)
        if role is not None:
            accounts, sessions = self._counter.parts.accounts, self._counter.parts.sessions
            who = await accounts.accept(await accounts.invite(name, role), "")
            assert who is not None
            token = await sessions.begin(who)
            await context.add_cookies([{"name": COOKIE, "value": token, "url": how["base_url"]}])
        page = await context.new_page()
        page.on("pageerror", lambda error: self._broke.append(f"{page.url}: {error}"))
        page.on("console", self._heard)
        return page

    def _heard(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self._broke.append(said.text)

    async def leave(self) -> None:
        await self._contexts.aclose()
        unexpected = [b for b in self._broke if not any(each in b for each in self.expected)]
        assert unexpected == []


@pytest_asyncio.fixture(loop_scope="package")
async def visitors(browser: Browser, counter: Counter, address: str) -> AsyncIterator[Visitors]:
    coming = Visitors(browser, counter, address)
    yield coming
    await coming.leave()


@pytest_asyncio.fixture(loop_scope="package")
async def page(visitors: Visitors) -> Page:
    """The pages for an operator."""
    return await visitors.come()


async def barriers(page: Page, rules: dict[str, Any]) -> list[str]:
    """What axe finds on a page, each with where it is."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text())
    found = await page.evaluate("rules => axe.run({runOnly: rules})", rules)
    return [
        f"{each['id']} at {node['target']}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


async def look_at(page: Page, name: str) -> None:
    """Keep what a page looks like, light, dark and narrow; nobody is kept out of it, and a phone
    scrolls it one way only.
    """
    SCREENS.mkdir(parents=True, exist_ok=True)
    await page.emulate_media(color_scheme="light")
    assert await barriers(page, STANDARD_RULES) == []
    await page.screenshot(path=SCREENS / f"{name}-light.png", full_page=True)
    await page.emulate_media(color_scheme="dark")
    assert await barriers(page, COLOR_RULES) == []
    await page.screenshot(path=SCREENS / f"{name}-dark.png", full_page=True)
    await page.set_viewport_size(NARROW)
    await page.wait_for_function(f"document.documentElement.scrollWidth <= {NARROW['width']}")
    await page.screenshot(path=SCREENS / f"{name}-narrow.png", full_page=True)
    await page.set_viewport_size(WIDE)
    await page.emulate_media(color_scheme="light")
