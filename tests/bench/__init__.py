"""Measurements of speed: run by hand, for the figures in the README."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print figures as one line of JSON, with what was measured and on what."""
    commit = subprocess.run(
        ("git", "describe", "--always", "--dirty"), capture_output=True, text=True, check=False
    )
    measured = {
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    sys.stdout.write(json.dumps({**figures, **measured}) + "\n")
