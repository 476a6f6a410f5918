"""What every process of ours does: it loads its settings, works until it ends, and says why."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from shared.errors import IF_AWAY, OrderflowError, TransientError
from shared.settings import Settings
from shared.telemetry import configure

EXIT_REFUSED = 3

Work = Callable[[Settings], Coroutine[Any, Any, int | None]]
"""What a process does; comes to its exit code, none where all is well."""


def run_process(name: str, work: Work) -> NoReturn:
    """Do a process's work; ends it with the exit code, and a word where it could not start."""
    try:
        settings = Settings.load()
        configure(name, settings)
        code = asyncio.run(work(settings))
    except OrderflowError as error:
        remedy = f"{IF_AWAY}\n" if isinstance(error, TransientError) else ""
        sys.stderr.write(f"orderflow {name}: {error}\n{remedy}")
        code = EXIT_REFUSED
    sys.exit(code)


async def until_one_ends(*loops: Coroutine[Any, Any, object]) -> None:
    """Run loops side by side until the first of them ends or fails; then all are over."""
    running = [asyncio.ensure_future(loop) for loop in loops]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for loop in done:
            loop.result()
    finally:
        for loop in running:
            loop.cancel()
