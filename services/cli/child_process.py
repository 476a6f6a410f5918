"""Child processes: started, watched, stopped in bounded time, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

STOP_GRACE_S = 10.0
"""From SIGTERM to SIGKILL. Kafka and Redis stop within 1 s; a service may have to finish a batch
and wait for the acks of Kafka."""

LAST_LINES = 20
"""Of a log, in the message about its process's end: a Java error with its causes fits."""

_LAST_BYTES = 16 * 1024
_WRAPPER = Path(__file__).with_name("dies_with_parent.py")

# The kernel takes "the parent" of PR_SET_PDEATHSIG to be the thread that forked. A caller's thread
# may end long before the process does (asyncio.to_thread), so one that lasts does all the forking.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
# The thread is made now: of one made in a start() that a signal ends, the executor knows nothing,
# and the interpreter waits for it for ever.
_SPAWNER.submit(int).result()


@dataclass(frozen=True)
class Ended:
    """How a process ended. A negative exit code is the signal that killed it."""

    name: str
    exit_code: int
    log: Path
    last_lines: tuple[str, ...]

    def __str__(self) -> str:
        if self.exit_code < 0:
            how = f"was killed by {signal.Signals(-self.exit_code).name}"
        else:
            how = f"ended with exit code {self.exit_code}"
        lines = "\n".join(f"  {line}" for line in self.last_lines) or "  (it wrote nothing)"
        return f"{self.name} {how}. Last lines of {self.log}:\n{lines}"


class ChildProcess:
    """One program as a child of this process; it can be started again after its end.

    `env` is added to this process's environment; all output goes to `log`, emptied by the first
    start. On Linux the child dies with this process, however that ends (dies_with_parent.py). It
    has a session of its own: Ctrl-C reaches only the parent, who stops everything in order.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self._env = dict(env or {})
        self._spawned: Future[subprocess.Popen[bytes]] | None = None

    def start(self) -> None:
        """Start the program and return at once. It must not be running."""
        assert not self.running, f"{self.name} runs already"
        self._spawned = _SPAWNER.submit(self._spawn, "wb" if self._spawned is None else "ab")
        self._spawned.result()

    @property
    def pid(self) -> int | None:
        """The process id; None while it is not running."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def ended(self) -> Ended | None:
        """How it ended, by itself or by us; None while it runs or was never started."""
        process = self._process
        exit_code = process.poll() if process else None
        return None if exit_code is None else Ended(self.name, exit_code, self.log, self._tail())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; to an ended process nothing is sent."""
        if process := self._process:
            process.send_signal(number)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM, up to `grace_s` for an orderly end, then SIGKILL."""
        stop_all([self], grace_s)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        stop_all([self], grace_s=0.0, first=signal.SIGKILL)

    def end_by(self, deadline_s: float) -> None:
        """Wait until it has ended, by `deadline_s` of time.monotonic; kill it after that."""
        if process := self._process:
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def _process(self) -> subprocess.Popen[bytes] | None:
        """The process, waited for where a signal ended start() while it was being spawned."""
        if self._spawned is None or self._spawned.exception():
            return None
        return self._spawned.result()

    def _spawn(self, log_mode: str) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open(log_mode) as log:
            return subprocess.Popen(
                (sys.executable, "-I", "-S", _WRAPPER, str(os.getpid()), *self.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._env},  # noqa: TID251 inherited, not read
                start_new_session=True,
            )

    def _tail(self) -> tuple[str, ...]:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _LAST_BYTES))
            text = log.read().decode(errors="replace")
        return tuple(text.splitlines()[-LAST_LINES:])


def stop_all(
    children: Sequence[ChildProcess],
    grace_s: float = STOP_GRACE_S,
    first: signal.Signals = signal.SIGTERM,
) -> None:
    """Send `first` to all at once, give them `grace_s` together, then SIGKILL who is left."""
    for child in children:
        child.signal(first)
    deadline_s = time.monotonic() + grace_s
    for child in children:
        child.end_by(deadline_s)


class Processes:
    """The processes of `orderflow up`, by name: who died is noticed, and all stop together.

    Use it as a context manager: whatever way the block ends, no child is left.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._children: dict[str, ChildProcess] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __getitem__(self, name: str) -> ChildProcess:
        return self._children[name]

    def start(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ChildProcess:
        """Start a process under a new name, its output in `<log_dir>/<name>.log`."""
        assert name not in self._children, f"there is a process {name} already"
        child = ChildProcess(name, argv, log=self._log_dir / f"{name}.log", env=env)
        self._children[name] = child
        child.start()
        return child

    def ended(self) -> tuple[Ended, ...]:
        """Those that do not run any more, in the order of their start."""
        found = (child.ended() for child in self._children.values())
        return tuple(end for end in found if end)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM to all, `grace_s` for them together, then SIGKILL. Stopping twice is fine."""
        stop_all(list(self._children.values()), grace_s)
