"""How processes of ours serve HTTP: on a socket opened before, with signals left to them."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6

import uvicorn
from starlette.types import ASGIApp

from shared.errors import RefusedStart

STOP_WITHIN_S = 3
"""For answers that are on their way; live streams are cut."""


class HttpServer(uvicorn.Server):
    """uvicorn that leaves signals to the process."""

    def end(self) -> None:
        """Let `serve` return, once the answers that are on their way are out."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(setting: str, host: str, port: int) -> socket.socket:
    """A socket on `host` and `port` (0: a free one), which the settings SETTING_HOST and
    SETTING_PORT name.

    Raises RefusedStart: uvicorn itself would end the process over a port that is taken, without a
    word of ours.
    """
    try:
        return socket.create_server((host, port), family=AF_INET6 if ":" in host else AF_INET)
    except OSError as error:
        raise RefusedStart(
            f"{setting}_PORT {port} on {setting}_HOST {host} can not be listened on:"
            f" {error.strerror}",
            "Choose another one, or 0 for any free one",
        ) from error


async def serve_until_signaled(app: ASGIApp, listening: socket.socket) -> None:
    """Serve an application on a socket until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )
    server = HttpServer(config)
    loop = asyncio.get_running_loop()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, server.end)
    await server.serve(sockets=[listening])
