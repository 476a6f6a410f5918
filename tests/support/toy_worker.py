"""The toy service as a process of its own, which stops or kills itself at a named step.

Processes are forked from a server that has imported everything: a start takes milliseconds.
"""

import asyncio
import ctypes
import multiprocessing
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any, NamedTuple

from pydantic_core import from_json

from shared import calls, kafka
from shared.calls import CALL_STEPS
from shared.errors import TransientError
from shared.partition import STEPS, Step
from shared.settings import Settings
from shared.telemetry import configure
from shared.worker import run, work
from tests.support import toy, toy_outside

SESSION_TIMEOUT_MS = 6_000
"""The least that a broker allows: a killed member is missed this long."""
HEARTBEAT_MS = 300
AGAIN_MIN_S = 0.05
"""Before a call is performed again."""
HEALTH_WITHIN_S = 5.0
"""For an answer, of a worker that may be busy."""
SERVES_WITHIN_S = 30.0
"""The first start imports everything, the others take 0.2 s."""
ENDS_WITHIN_S = 60.0
"""For an end that comes at once on a quiet machine."""
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

HERE = "signals itself at"
"""What a worker writes last."""

_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload([__name__])


class At(NamedTuple):
    """Where a worker does something to itself: the n-th time that a task reaches a step."""

    step: str
    nth: int = 1
    signal: Signals = SIGKILL


@dataclass
class ToyProcess:
    """A running worker; what it writes goes to `log`."""

    process: BaseProcess
    log: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, a signal as a negative number; None while it runs."""
        return self.process.exitcode

    def signal(self, number: Signals) -> None:
        os.kill(self.pid, number)

    @property
    def there(self) -> bool:
        """Whether it has come to its step."""
        return HERE in self.said

    async def ended(self, within_s: float = ENDS_WITHIN_S) -> int:
        """Wait until it has ended; the exit code.

        Not by join() in a thread: two threads that ask how it ended may both read the one answer,
        and who comes second takes its end for 255.
        """
        deadline_s = time.monotonic() + within_s
        while (code := self.exit_code) is None:
            assert time.monotonic() < deadline_s, f"runs after {within_s:g} s: {self.log}"
            await asyncio.sleep(0.02)
        return code

    async def serves(self) -> None:
        """Wait until it answers about its health."""
        async with asyncio.timeout(SERVES_WITHIN_S):
            while "/health" not in self.said:
                assert self.exit_code is None, self.said
                await asyncio.sleep(0.02)

    async def health(self, path: str = "") -> tuple[int, dict[str, Any]]:
        """Ask its `/health` or one below: the status and what it says."""
        status, body = await self._ask(f"/health{path}")
        return status, from_json(body or b"{}")

    async def metrics(self) -> str:
        """What it tells Prometheus."""
        status, body = await self._ask("/metrics")
        assert status == 200
        return body.decode()

    async def _ask(self, path: str) -> tuple[int, bytes]:
        found = re.search(r"url=http://127.0.0.1:(\d+)/health", self.said)
        assert found, f"no health yet in {self.log}"
        async with asyncio.timeout(HEALTH_WITHIN_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(found[1]))
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def end(self) -> None:
        """Make sure that it is gone, even if it was stopped."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()

    @property
    def said(self) -> str:
        """What it wrote so far."""
        return self.log.read_text()


def start(name: str, environment: Mapping[str, str], log: Path, at: At | None = None) -> ToyProcess:
    """Start a worker of the toy of this name."""
    log.touch()
    process = _forked.Process(target=_main, args=(name, dict(environment), log, at), daemon=True)
    process.start()
    return ToyProcess(process, log)


def step_of(at: At) -> Step:
    """The hook that sends the process its signal at the step."""
    assert at.step in {*STEPS, *CALL_STEPS}, at
    reached: Counter[str] = Counter()

    async def step(name: str) -> None:
        reached[name] += 1
        if (name, reached[name]) == (at.step, at.nth):
            sys.stderr.write(f"{HERE} {name}\n")
            os.kill(os.getpid(), at.signal)

    return step


def quick_to_notice() -> None:
    """Let this process's consumers miss each other, and hear of it, as soon as a broker allows;
    let it call the outside again at once.
    """
    calls.AGAIN_MIN_S = AGAIN_MIN_S
    kafka.SESSION_TIMEOUT_MS = SESSION_TIMEOUT_MS
    kafka.HEARTBEAT_MS = HEARTBEAT_MS


def _main(name: str, environment: Mapping[str, str], log: Path, at: At | None) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    quick_to_notice()
    perform = toy_outside.call_outside if toy_outside.PORT in environment else None
    service = toy.service(name, perform)
    if at is None:
        return run(service, calls=lambda _: service.calls)
    settings = Settings.load()
    configure(name, settings)
    step = step_of(at)
    while True:  # as whoever runs a worker would: servers may be too busy to answer a start
        with suppress(TransientError):
            sys.exit(asyncio.run(work(service, settings, step=step)))
