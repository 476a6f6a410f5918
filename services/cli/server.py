"""A server that the system stands on: somebody else's, or one started here on 127.0.0.1."""

import itertools
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.cli.child_process import ChildProcess, Ended
from shared.errors import RefusedStart

HOST = "127.0.0.1"

PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections (Linux from 32768, others higher).
A server that a test takes away has to get its port back: had the kernel chosen it (port 0), any
connection made meanwhile could hold it, even that of a client trying to reach the lost server."""

PORTS_APART = 1_009
"""Processes with neighbouring ids look for ports this far apart, a prime: those of one test run
seldom take the port of a server that another of them has taken away for a while."""

POLL_S = 0.02
"""Between two looks at whether a server is up: short against the 0.1 s that Redis takes."""

_tries = itertools.count(os.getpid() * PORTS_APART)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, another one at each call."""
    for _ in PORTS:
        port = PORTS[next(_tries) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RefusedStart(
        f"No free port from {PORTS.start} to {PORTS.stop - 1}", "End what holds them."
    )


class Server(ABC):
    """What may be done with any server, whoever runs it.

    `kind` names what it is; `description` says in one line what was chosen, where it is and why.
    """

    kind: str
    description: str

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The process id; None while none of ours is running."""

    @abstractmethod
    def start(self) -> None:
        """Start it, wait until it serves. Raises RefusedStart with the last lines of its log."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it, within child_process.STOP_GRACE_S."""

    @abstractmethod
    def ended(self) -> Ended | None:
        """How its process ended; None while nothing is wrong."""


class ExternalServer(Server):
    """A server that somebody else runs: it is there, and it stays."""

    kind = "external"
    pid = None

    def start(self) -> None:
        return

    def stop(self) -> None:
        return

    def ended(self) -> None:
        return None


class LocalServer(Server):
    """A server as a child process. It can go away, also the hard way, and come back.

    Back means: on the same port, with the data it had on disk.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        start_limit_s: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._child = ChildProcess(name, argv, log=log, env=env)
        self._start_limit_s = start_limit_s

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> None:
        self._prepare()
        try:
            self._child.start()
            self._wait_until_it_serves()
        except BaseException:  # Ctrl-C too: who is not up is not left behind
            self._child.kill()
            raise

    def stop(self) -> None:
        self._child.stop()

    def kill(self) -> None:
        """Take it away at once, as a crash does."""
        self._child.kill()

    def restart(self) -> None:
        """Bring it back after kill or stop, or stop it first, and wait until it serves again."""
        self.stop()
        self.start()

    def ended(self) -> Ended | None:
        return self._child.ended()

    def _prepare(self) -> None:
        """Do what has to be done before the process starts."""
        return

    @abstractmethod
    def _serves(self) -> bool:
        """Whether a client that connects now is served."""

    def _wait_until_it_serves(self) -> None:
        deadline_s = time.monotonic() + self._start_limit_s
        while not self._serves():
            if end := self._child.ended():
                raise RefusedStart(str(end), "Remove the cause that it names.")
            if time.monotonic() > deadline_s:
                self._child.kill()
                raise RefusedStart(
                    f"It did not serve within {self._start_limit_s:.0f} s: {self._child.ended()}",
                    "Remove the cause, or free the machine.",
                )
            time.sleep(POLL_S)
