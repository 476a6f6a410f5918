"""A system that a module of tests has for itself, and a market that trades on it.

The module says its PARTITIONS, and the business time of its OPENING.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from services.cli.system import System
from tests.support.market import Market, open_market
from tests.support.own_system import own_system


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """A system with the module's PARTITIONS."""
    place = tmp_path_factory.mktemp("system")
    with own_system(place, partitions=request.module.PARTITIONS) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(request: pytest.FixtureRequest, running: System) -> AsyncIterator[Market]:
    """A market that has begun at the module's OPENING."""
    async with open_market(running.settings) as market:
        await market.begin(request.module.OPENING)
        yield market
