"""`orderflow` commands as processes, for tests: run, watched, and never left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_WITHIN_S = 180.0
"""For `orderflow up`: 10 s on an idle machine with real Kafka, 100 s on one with a load of 20."""

NO_PROGRAMS = {"PATH": "nothing"}
"""An environment in which `up` finds neither Java nor redis-server."""

_OURS = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLOCK_REDIS_URL", "PARTITIONS")


def orderflow(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in an environment that names no servers but those in `env`."""
    return subprocess.run(
        _command(arguments), cwd=cwd, env=_environment(env), capture_output=True, text=True,
        timeout=READY_WITHIN_S, check=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Up:
    """A running `orderflow up`, and the directory it was started in."""

    process: subprocess.Popen[bytes]
    directory: Path

    @property
    def said(self) -> str:
        return (self.directory / "up.out").read_text()

    def wait_until_said(self, text: str) -> None:
        deadline_s = time.monotonic() + READY_WITHIN_S
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline_s, self.said
            time.sleep(0.05)


@contextmanager
def up(directory: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Up]:
    """`orderflow up` in `directory`, as it starts; with its children killed at the end."""
    with (directory / "up.out").open("wb") as out:
        process = subprocess.Popen(
            _command(("up", *arguments)), cwd=directory, env=_environment(env),
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield Up(process, directory)
    finally:
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run, theirs included."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def _command(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "services.cli.app", *arguments)


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in _OURS}
    return {**own, **(env or {})}
