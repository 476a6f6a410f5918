"""Where the system is that a command talks to: as the environment says, else the one started here.

`orderflow up` chooses free ports. It writes them into its data directory in the form of
environment variables (`set -a; . .orderflow/addresses` gives them to kcat and redis-cli), and the
other commands read them there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from redis.asyncio import Redis

from shared.redis import connect
from shared.settings import Settings, redacted

DEFAULT_DATA_DIR = Path(".orderflow")

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir", file_okay=False, help="Where `orderflow up` keeps its data and addresses."
    ),
]

T = TypeVar("T")

_FILE = "addresses"
_NAMES = ("kafka_bootstrap_servers", "redis_url", "clock_redis_url", "partitions")


def settings_here(data_dir: Path) -> Settings:
    """The settings of a command that talks to a running system.

    What neither environment nor secrets say comes from the system that `orderflow up` runs with
    this data directory, if any does. Raises SettingError.
    """
    told = Settings.load().model_fields_set
    found = _read(data_dir / _FILE)
    return Settings.load(**{name: value for name, value in found.items() if name not in told})


def in_redis(settings: Settings, do: Callable[[Redis], Awaitable[T]]) -> T:
    """What something done in the Redis of a system comes to; raises TransientError."""

    async def done() -> T:
        redis = connect(settings.redis_url)
        try:
            return await do(redis)
        finally:
            await redis.aclose()

    return asyncio.run(done())


@contextmanager
def published(data_dir: Path, settings: Settings) -> Iterator[None]:
    """Let other commands find a system, by its addresses, while it runs.

    A URL with a password gets into no file: those commands need it in their environment, too.
    """
    found = {name: str(getattr(settings, name)) for name in _NAMES}
    lines = [f"{name.upper()}={value}\n" for name, value in found.items() if _public(name, value)]
    path = data_dir / _FILE
    path.write_text("".join(lines))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _public(name: str, value: str) -> bool:
    return not name.endswith("_url") or redacted(value) == value


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name.lower(): value for name, _, value in pairs}
