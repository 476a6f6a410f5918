"""A TCP proxy between a client and its server, which loses requests and replies at will."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum

CHUNK_BYTES = 1024 * 1024


class Fault(Enum):
    """What happens to one request, and to the reply that it gets."""

    NONE = "passes"
    REQUEST_LOST = "is lost on its way, with the connection"
    REPLY_CUT = "arrives, and the connection is cut before the reply"
    REPLY_SWALLOWED = "arrives, and the reply never comes"
    REPLY_LATE = "arrives, and the reply comes when nobody waits for it any more"


class TcpProxy:
    """Passes on what client and server say.

    `fault` is asked about each request: what a client sends after a reply, so one round trip.
    `faults` are those that there were.
    """

    def __init__(self, host: str, port: int, late_s: float) -> None:
        self.port = 0
        self.faults: list[Fault] = []
        self.fault: Callable[[bytes], Fault] = lambda _request: Fault.NONE
        self._server = (host, port)
        self._late_s = late_s
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["TcpProxy"]:
        """Serve on a port of its own while inside."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        server, requests = await asyncio.open_connection(*self._server)
        try:
            await _Connection(self, self._late_s).run(client, requests, server, answers)
        finally:
            for writer in (requests, answers):
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()


class _Connection:
    """One client's connection: requests and replies take turns."""

    def __init__(self, proxy: TcpProxy, late_s: float) -> None:
        self._proxy = proxy
        self._late_s = late_s
        self._fault = Fault.NONE
        self._answered = True

    async def run(
        self,
        client: asyncio.StreamReader,
        requests: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        answers: asyncio.StreamWriter,
    ) -> None:
        """Until either side ends it, or a fault does."""
        ways = [self._ask(client, requests), self._answer(server, answers)]
        running = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in running:
                way.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _ask(self, client: asyncio.StreamReader, requests: asyncio.StreamWriter) -> None:
        while request := await client.read(CHUNK_BYTES):
            if self._answered:
                self._answered = False
                self._fault = self._proxy.fault(request)
                if self._fault is not Fault.NONE:
                    self._proxy.faults.append(self._fault)
            if self._fault is Fault.REQUEST_LOST:
                return
            requests.write(request)
            await requests.drain()

    async def _answer(self, server: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        while reply := await server.read(CHUNK_BYTES):
            self._answered = True
            if self._fault is Fault.REPLY_CUT:
                return
            if self._fault is Fault.REPLY_SWALLOWED:
                continue
            if self._fault is Fault.REPLY_LATE:
                await asyncio.sleep(self._late_s)
            answers.write(reply)
            await answers.drain()
