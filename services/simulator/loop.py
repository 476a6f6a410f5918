"""Virtual time: an asyncio loop whose clock jumps to the next timer and waits for nothing real."""

import asyncio
import math
from typing import Any

_HALF_MS = 0.0005


class Stuck(RuntimeError):
    """Everything waits, and nothing is going to come."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready in the order in which it became so, then jumps to the next timer.

    It has no sockets, threads, signals or child processes: what would need them fails.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._selector = self

    def time(self) -> float:
        return self._now_s

    def now_ms(self) -> int:
        """Whole milliseconds since the loop was made."""
        return math.floor(self._now_s * 1000 + _HALF_MS)

    def select(self, timeout: float | None) -> tuple[()]:
        """What asyncio asks a selector when it has nothing to run for so long: time passes."""
        if timeout is None:
            raise Stuck("everything waits, and nothing is going to come")
        if timeout > 0:
            self._now_s = self._scheduled[0].when()  # type: ignore[attr-defined]
        return ()

    def _process_events(self, events: Any) -> None:
        """No selector of ours reports any."""

    def _write_to_self(self) -> None:
        """There is no other thread to wake it from."""
