"""The real services die in the middle of their work, all at once: a sample of tests/chaos."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from services.cli.system import System
from tests.support.market import Market, open_market
from tests.support.ordeal import check, killed_at
from tests.support.own_system import own_system

OPENING = datetime(2028, 2, 28, 23, 11, 7, 501_000, UTC)
"""The night before a leap day."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with own_system(tmp_path_factory.mktemp("faults"), partitions=3) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(running: System) -> AsyncIterator[Market]:
    async with open_market(running.settings) as market:
        await market.begin(OPENING)
        yield market


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
