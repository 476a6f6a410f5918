"""The history that tests of the books falsify."""

import pytest

from tests.support.tales import tell_all
from tests.support.world import World


@pytest.fixture
def world() -> World:
    return tell_all()
