"""Health over HTTP: is the process alive, is it ready, what is it doing.

`/health/live` asks only whether the loop makes progress: an outage of Kafka or Redis must not
restart every worker. `/health/ready` asks whether partitions are assigned and open and Redis
answers. `/health` tells both, with partitions, counts and, when it is not wall time, the clock.
`/metrics` is for Prometheus.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog
import uvicorn
from pydantic_core import to_json

from shared.clock import BusinessClock
from shared.http_server import HttpServer, listen
from shared.metrics import CONTENT_TYPE, Measured, Seen, exposition
from shared.settings import Settings

LIVE_WITHIN_S = 15.0
"""The opener ticks every second; a loop that is silent for so long is blocked."""

REACHED_WITHIN_S = 5.0
"""Redis is asked every second; one that is silent for so long is away."""

_log = structlog.get_logger()


class Watched(Measured, Protocol):
    """What health needs to know of a worker."""

    clock: BusinessClock

    @property
    def health(self) -> "Health": ...


class Health:
    """What a worker's opener has seen at its last tick."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.partitions: Mapping[int, str] = {}
        self.lateness_ms: dict[str, float] = {}
        self._ticked_at = time.monotonic()
        self._redis_at = -REACHED_WITHIN_S

    def tick(self, partitions: Mapping[int, str]) -> None:
        """Note that the loop runs, and the state of each held partition: `open` or `opening`."""
        self.partitions = partitions
        self._ticked_at = time.monotonic()

    def reached_redis(self) -> None:
        """Note that Redis answers."""
        self._redis_at = time.monotonic()

    @property
    def live(self) -> bool:
        """Whether the loop has ticked lately."""
        return time.monotonic() - self._ticked_at < LIVE_WITHIN_S

    @property
    def reaches_redis(self) -> bool:
        """Whether Redis has answered lately."""
        return time.monotonic() - self._redis_at < REACHED_WITHIN_S

    @property
    def ready(self) -> bool:
        """Whether partitions are held, all of them are open, and Redis has answered lately."""
        return self.reaches_redis and {"open"} == set(self.partitions.values())


Send = Callable[[Mapping[str, Any]], Awaitable[None]]


@asynccontextmanager
async def serve_health(worker: Watched, settings: Settings) -> AsyncIterator[None]:
    """Serve health on HEALTH_HOST:HEALTH_PORT (0: a free port, logged) while inside."""

    async def application(scope: Mapping[str, Any], _receive: object, send: Send) -> None:
        await _answer(worker, scope["path"], send)

    listening = listen("HEALTH", settings.health_host, settings.health_port)
    config = uvicorn.Config(application, lifespan="off", log_config=None, access_log=False)
    server = HttpServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    host, port = listening.getsockname()[:2]
    _log.info("serving health", url=f"http://{host}:{port}/health", clock=worker.clock.describe())
    try:
        yield
    finally:
        server.end()
        await serving


async def _answer(worker: Watched, path: str, send: Send) -> None:
    health = worker.health
    if path == "/metrics":
        seen = Seen(health.ready, health.partitions)
        await _send(send, 200, CONTENT_TYPE, await exposition(worker, seen))
        return
    ok = {"/health": True, "/health/live": health.live, "/health/ready": health.ready}.get(path)
    status = 404 if ok is None else 200 if ok else 503
    body = {
        "service": health.service,
        "live": health.live,
        "ready": health.ready,
        "clock": worker.clock.describe(),
        "partitions": {str(number): state for number, state in sorted(health.partitions.items())},
        "counts": dict(worker.totals()),
    }
    if health.lateness_ms:
        body["deadline_lateness_ms"] = health.lateness_ms
    await _send(send, status, "application/json", to_json(body) if ok is not None else b"")


async def _send(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
