"""What was measured and on what: the commit, the machine, versions, and what a process takes."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from shared.clock import from_ms

PACKAGES = ("aiokafka", "faststream", "hiredis", "jiter", "pydantic", "pydantic-core", "redis")
"""Whose versions move the figures."""


class Usage(NamedTuple):
    """What a process has taken: CPU time since it began, and memory now."""

    cpu_s: float
    rss_mb: float


def usage(pid: int) -> Usage:
    """CPU time (user and system, all threads) and resident memory of a process; Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(cpu_s, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def this_machine() -> dict[str, Any]:
    """Commit, time, CPU, cores, load, and versions of Python and the packages that count."""
    said = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", said, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "commit": _output("git", "describe", "--always", "--dirty"),
        "at": from_ms(round(time.time() * 1000)).isoformat(timespec="seconds"),
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) / 2**20, 1) if memory else None,
        "load_before": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def java_version(java: str) -> str:
    """The Java that runs Kafka, by its own word."""
    shown = subprocess.run((java, "-version"), capture_output=True, text=True, check=False).stderr
    return shown.splitlines()[0] if shown else "unknown"


def properties(path: Path) -> Mapping[str, str]:
    """The settings of a Java properties file, without what differs at each start."""
    lines = [line for line in path.read_text().splitlines() if "=" in line and line[0] != "#"]
    pairs = dict(line.split("=", 1) for line in lines)
    own = ("listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs")
    return {name: value for name, value in pairs.items() if name not in own}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
