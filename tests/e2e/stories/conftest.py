"""One system for all stories, in which business time goes on from one to the next."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from services.cli.system import System
from tests.support.own_system import own_system
from tests.support.town import Shelf, Town, settle_in

OPENING = datetime(2027, 3, 1, 9, 41, 7, 123_000, UTC)
"""A Monday; every story begins on one, so that its working days are the same."""
WEEK = timedelta(days=7)


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with own_system(tmp_path_factory.mktemp("stories"), partitions=4) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def town_of_all(running: System) -> AsyncIterator[Town]:
    async with settle_in(running.settings) as town:
        await town.begin(OPENING)
        yield town


@pytest_asyncio.fixture(loop_scope="package")
async def town(town_of_all: Town) -> Town:
    weeks = (town_of_all.now - OPENING) // WEEK + 1
    await town_of_all.jump_to(OPENING + weeks * WEEK)
    return town_of_all


@pytest_asyncio.fixture(loop_scope="package")
async def shelf(town: Town) -> Shelf:
    return await town.shelf(on_hand=8)
