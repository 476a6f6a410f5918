"""A system that one module of tests has for itself, and may break."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.cli.run import ORDER_SERVICES
from services.cli.system import System, system

_SHARED = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLOCK_REDIS_URL", "PARTITIONS")


@contextmanager
def own_system(
    data_dir: Path,
    *,
    partitions: int,
    env: Mapping[str, str] | None = None,
    services: Sequence[str] = ORDER_SERVICES,
) -> Iterator[System]:
    """Start it with a Kafka and a Redis of its own, whatever the environment names; `env` is for
    its services.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in _SHARED:
            environment.delenv(name, raising=False)
        with system(data_dir, services=services, partitions=partitions, env=env) as running:
            yield running
