"""The real services die in the middle of their work, all at once: a sample of tests/chaos."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli.system import System
from tests.support.market import Market
from tests.support.ordeal import check, killed_at

OPENING = datetime(2028, 2, 28, 23, 11, 7, 501_000, UTC)
"""The night before a leap day."""
PARTITIONS = 3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


async def test_p1_to_p6_each_service_killed_between_two_steps_loses_and_doubles_nothing(
    market: Market, running: System, tmp_path: Path
) -> None:
    steps = {
        "inventory": "loaded",  # the stock has moved, and nothing of it is committed
        "payment": "dead_lettered",
        "fulfillment": "committed",  # and nothing of it is published
        "deadlines": "published",
    }
    async with market.trade():
        await killed_at(market, running, tmp_path, steps)

    await check(market, running)
