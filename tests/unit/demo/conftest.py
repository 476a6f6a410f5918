"""One history of all stories, played once in virtual time."""

import pytest

from services.cli.demo.seen import Seen
from services.cli.demo.stories import STORIES
from services.cli.provider_server import Ledger
from tests.support.theatre import Records, performed, records_of, seen_in
from tests.support.world import World


@pytest.fixture(scope="package")
def performance() -> tuple[World, Ledger]:
    return performed(script for story in STORIES for script in story.orders)


@pytest.fixture(scope="package")
def world(performance: tuple[World, Ledger]) -> World:
    return performance[0]


@pytest.fixture(scope="package")
def ledger(performance: tuple[World, Ledger]) -> Ledger:
    return performance[1]


@pytest.fixture(scope="package")
def records(world: World) -> Records:
    return records_of(world)


@pytest.fixture(scope="package")
def seen(records: Records, ledger: Ledger) -> Seen:
    return seen_in(records, ledger)
