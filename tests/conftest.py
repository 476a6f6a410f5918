"""What every test of the project may use."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.servers", "tests.support.own_market"]

# How long an example takes tells what else the machine does.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", settings.get_profile("any machine"), max_examples=2_000)
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """A test that runs a command or sets up logs leaves neither level nor stream to the next."""
    loggers = [logging.getLogger(name) for name in (None, "aiokafka")]
    before = [(logger.handlers, logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers = handlers
        logger.setLevel(level)
    structlog.reset_defaults()
