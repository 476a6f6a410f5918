"""Takes README's pictures of the pages, of a shop as the demo's: `make pictures`."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from playwright.async_api import ViewportSize, async_playwright

from services.cli.redis_server import choose_redis
from services.dashboard.web.access import COOKIE
from tests.support.screen import served
from tests.support.shop import open_counter, opened_shop

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1280, "height": 700}
PARTLY = "SELECT order_id FROM orders WHERE status = 'PartiallyShipped' ORDER BY order_id LIMIT 1"


async def take(redis_url: str) -> None:
    """All of them, anew."""
    async with open_counter(redis_url, opened_shop()) as counter, served(counter.parts) as url:
        accounts = counter.parts.accounts
        who = await accounts.accept(await accounts.invite("operator", "operator"), "")
        assert who is not None
        token = await counter.parts.sessions.begin(who)
        an_order = counter.parts.index.one(PARTLY)["order_id"]
        shown: dict[str, tuple[str, Literal["light", "dark"]]] = {
            "overview": ("/", "light"),
            "orders": ("/orders?urgency=open&sort=ship_by", "light"),
            "order": (f"/orders/{an_order}", "dark"),
        }
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
            for name, (address, scheme) in shown.items():
                context = await browser.new_context(
                    base_url=url, viewport=SIZE, color_scheme=scheme, timezone_id="UTC"
                )
                await context.add_cookies([{"name": COOKIE, "value": token, "url": url}])
                page = await context.new_page()
                await page.goto(address)
                await page.screenshot(path=PICTURES / f"{name}.png")
                await context.close()
            await browser.close()


def main() -> None:
    """Take them, with a Redis of their own."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        server = choose_redis(Path(made), Path(made) / "redis.log", redis_url=None)
        server.start()
        try:
            asyncio.run(take(server.redis_url))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
