"""Metrics for Prometheus of a process that answers requests: how it answered, and what it refused.

No label holds an id, a name or an address, and what a scraper or a probe asks is not counted.
"""

from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, ProcessCollector
from prometheus_client.exposition import generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REGISTRY = CollectorRegistry()
"""Not that of a worker's metrics: a process that commits nothing tells nothing of commits."""

UNCOUNTED = ("/health", "/metrics")

ProcessCollector(registry=REGISTRY)
_REQUESTS = Counter(
    "orderflow_http_requests",
    "Requests that were answered, by status.",
    ["status"],
    registry=REGISTRY,
)
_REFUSED = Counter(
    "orderflow_ingest_refused",
    "Requests, and events of a batch, that were refused, by reason; unauthorized is a token.",
    ["reason"],
    registry=REGISTRY,
)


def note_refused(reasons: Iterable[str]) -> None:
    """Note what was refused, once for each reason in `reasons`."""
    for reason in reasons:
        _REFUSED.labels(reason).inc()


async def metrics(_request: Request) -> Response:
    """All metrics of this process, in Prometheus' text format."""
    return Response(generate_latest(REGISTRY), headers={"content-type": CONTENT_TYPE_LATEST})


class Counted:
    """Counts the answers of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                _REQUESTS.labels(message["status"]).inc()
            await send(message)

        counts = scope["type"] == "http" and not scope["path"].startswith(UNCOUNTED)
        await self._app(scope, receive, counting if counts else send)
