"""Somebody outside whom the toy calls: does each piece of work once, whatever becomes of the line.

One line is one call: `KEY SUBJECT`, answered by what was done for that key. Workers that are
processes of their own find it by the port in their environment.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum

from shared.errors import TransientError
from shared.events.envelope import Event
from tests.support.toy import Dialed, Said

PORT = "TOY_OUTSIDE_PORT"


class Line(Enum):
    """What becomes of one call."""

    GOOD = "is answered"
    CUT = "the work is done, and the connection cut before the answer"
    DEAF = "nothing is done, and no answer comes"
    LATE = "the work is done, and the answer comes when nobody waits for it any more"


class Outside:
    """Does the work that it is called for.

    `line` is asked about each call, by its subject; `calls` counts them by key, `done` is what was
    done for each key, `at_once` the most calls that were on their way at the same time.
    """

    def __init__(self) -> None:
        self.port = 0
        self.line: Callable[[str], Line] = lambda _subject: Line.GOOD
        self.calls: Counter[str] = Counter()
        self.done: dict[str, str] = {}
        self.at_once = 0
        self._on_their_way = 0
        self._lines: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Outside"]:
        """Serve on a port of its own while inside."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for line in self._lines:
                line.cancel()
            await asyncio.gather(*self._lines, return_exceptions=True)

    async def perform(self, dialed: Event[Dialed]) -> Said:
        """Call it, as a worker does."""
        return await call(self.port, dialed)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)
        self._on_their_way += 1
        self.at_once = max(self.at_once, self._on_their_way)
        try:
            key, subject = (await reader.readline()).decode().split()
            await self._answer(key, subject, writer, reader)
        except OSError:
            pass  # the caller is gone
        finally:
            self._on_their_way -= 1
            writer.close()

    async def _answer(
        self, key: str, subject: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
    ) -> None:
        self.calls[key] += 1
        line = self.line(subject)
        if line is not Line.DEAF:
            self.done.setdefault(key, f"work-{len(self.done)}")
        if line in {Line.DEAF, Line.LATE}:
            await reader.read()  # until the caller hangs up
        if line is Line.GOOD:
            writer.write(f"{self.done[key]}\n".encode())
            await writer.drain()


async def call(port: int, dialed: Event[Dialed]) -> Said:
    """One try; raises TransientError where the line breaks."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"{dialed.id} {dialed.subject}\n".encode())
            words = await reader.readline()
        finally:
            writer.close()
    except OSError as error:
        raise TransientError(f"the line broke: {error!r}") from error
    if not words:
        raise TransientError("the line was cut")
    return Said(words=words.decode().strip())


async def call_outside(dialed: Event[Dialed]) -> Said:
    """One try at the outside that the environment names."""
    return await call(int(os.environ[PORT]), dialed)
