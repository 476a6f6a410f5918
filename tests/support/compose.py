"""The repository's docker-compose.yml, brought up for a test, with what a test does to it."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.cli.demo.trade import FASTEST
from services.cli.server import free_port
from shared.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]
NEEDS_COMPOSE = "needs docker compose; here "
NEEDS_ENGINE = "needs a running Docker engine with compose and buildx; here "
BUILD_LIMIT_S = 480.0
"""For the first image on a machine, with all its packages fetched."""
BACK_LIMIT_S = 240.0
"""For Kafka to be healthy again, and services after it: 15 s on an idle machine."""
POLL_S = 0.5


def skip_without_engine() -> None:
    """Skip the test where no engine runs: it is never started for a test."""
    _skip_without(NEEDS_ENGINE, ("info",), ("compose", "version"), ("buildx", "version"))


def described(**env: str) -> Mapping[str, Any]:
    """The services of docker-compose.yml with every profile, as compose reads them, which asks no
    engine. Skips the test where there is no compose.
    """
    _skip_without(NEEDS_COMPOSE, ("compose", "version"))
    said = subprocess.run(
        ("docker", "compose", "--profile", "*", "config", "--format", "json"),
        cwd=CHECKOUT, env={**os.environ, **env}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    services: Mapping[str, Any] = json.loads(said.stdout)["services"]
    return services


def _skip_without(needs: str, *questions: tuple[str, ...]) -> None:
    if shutil.which("docker") is None:
        pytest.skip(needs + "is no docker on the PATH")
    for asked in questions:
        answer = subprocess.run(("docker", *asked), capture_output=True, text=True, check=False)
        if answer.returncode:
            said = answer.stderr.strip().splitlines()
            pytest.skip(f"{needs}docker {asked[0]} says: {said[-1] if said else 'nothing'}")


@dataclass(frozen=True)
class Composed:
    """A project that is up; `settings` are those of a client on this machine."""

    project: str
    env: Mapping[str, str]
    settings: Settings

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` for this project; its output."""
        done = subprocess.run(
            ("docker", "compose", "--project-name", self.project, *arguments),
            cwd=CHECKOUT, env={**os.environ, **self.env}, capture_output=True, text=True,
            timeout=BUILD_LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *arguments: str) -> None:
        """Start what does not run, and wait until all is healthy."""
        self.compose("up", "--detach", "--wait", "--quiet-pull", *arguments)

    def inspect(self, *services: str) -> list[dict[str, Any]]:
        """What the engine knows about the containers of these services, or of all."""
        containers = self.compose("ps", "--all", "--quiet", *services).split()
        said = subprocess.run(
            ("docker", "inspect", *containers), capture_output=True, text=True, check=True
        )
        found: list[dict[str, Any]] = json.loads(said.stdout)
        return found

    def crash(self, *services: str) -> None:
        """Kill these services' processes, and wait until they are there again by themselves.

        `docker kill` would not do: the engine takes it for somebody's wish, and restarts nothing.
        """
        killed = self.inspect(*services)
        restarts = {found["Id"]: found["RestartCount"] for found in killed}
        for found in killed:
            os.kill(found["State"]["Pid"], signal.SIGKILL)
        deadline_s = time.monotonic() + BACK_LIMIT_S
        while not all(
            found["RestartCount"] > restarts.get(found["Id"], -1) and _healthy(found)
            for found in self.inspect()
        ):
            assert time.monotonic() < deadline_s, self.compose("ps", "--all")
            time.sleep(POLL_S)


def _healthy(container: Mapping[str, Any]) -> bool:
    """A step that has ended has no health, and needs none."""
    health = container["State"].get("Health")
    return health is None or health["Status"] == "healthy"


@contextmanager
def composed(partitions: int) -> Iterator[Composed]:
    """The whole system on ports of its own; it ends with its volumes and images."""
    published = ("KAFKA_PORT", "REDIS_PORT", "DASHBOARD_PORT", "INGEST_PORT", "PROMETHEUS_PORT")
    env = {
        **{name: str(free_port()) for name in published},
        "PARTITIONS": str(partitions),
        "TRAFFIC_RATE": str(FASTEST),
        "COMPOSE_PROGRESS": "plain",
    }
    settings = Settings.load(
        kafka_bootstrap_servers=f"localhost:{env['KAFKA_PORT']}",
        redis_url=f"redis://127.0.0.1:{env['REDIS_PORT']}/0",
        partitions=partitions,
    )
    project = Composed(f"orderflow-test-{env['KAFKA_PORT']}", env, settings)
    try:
        project.up("--build")
        yield project
    finally:
        project.compose("--profile", "*", "down", "--volumes", "--rmi", "local")
