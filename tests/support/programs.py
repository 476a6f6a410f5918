"""Programs for tests: small ones in Python, and what is asked about running ones."""

import os
import select
import stat
import sys
import time
from pathlib import Path

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('deaf', flush=True); time.sleep(600)"
)
HEEDS_SIGTERM = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0));"
    "print('ready', flush=True); time.sleep(600)"
)
APPEARS_WITHIN_S = 20.0
"""A line in a log of a program that starts, on a machine with other things to do."""


def program(path: Path, name: str, script: str) -> Path:
    file = path / name
    file.write_text(f"#!{sys.executable}\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < deadline, f"{text!r} did not appear in {log}"
        time.sleep(0.01)


def gone(pid: int, within_s: float) -> bool:
    """Whether a process that need not be our child ends within this time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within_s)[0])
    finally:
        os.close(handle)
