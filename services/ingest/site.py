"""The endpoint: which request is answered how.

Whatever is refused is answered by one object: `reason`, a stable code, `field`, and `detail`, a
sentence without values; of a batch, one for each bad event, by its `index`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.ingest.decisions import (
    BATCH,
    MAX_BODY_BYTES,
    Accepted,
    Intake,
    Said,
    kind_of,
    said_in,
)
from services.ingest.openapi import document
from services.ingest.state import Token
from shared.clock import Timeline
from shared.decode import NotAnEvent
from shared.errors import TransientError
from shared.http_metrics import Counted, metrics, note_refused

RETRY_AFTER_S = 5
"""Where Kafka or Redis is away: an outage lasts seconds to minutes."""

STATUS: Mapping[str, int] = {
    "unauthorized": 401,
    "not_allowed": 403,
    "too_large": 413,
    "too_many_events": 413,
    "unsupported_media_type": 415,
    "not_json": 400,
    "not_utf8": 400,
    "not_an_array": 400,
    "not_an_object": 400,
    "too_fast": 429,
}
"""Of a reason; of any other 422: it is JSON, and no event that may be written."""

_log = structlog.get_logger()


class KnowsTokens(Protocol):
    """Who may write (`services/ingest/store.py`)."""

    async def find(self, bearer: str) -> Token | None: ...

    async def count(self, token: Token, events: int) -> int: ...

    async def ping(self) -> None: ...


class Sends(Protocol):
    """Writes to Kafka (`shared/kafka_sender.py`)."""

    async def send(self, records: Sequence[Accepted]) -> Sequence[int]: ...


class Clock(Protocol):
    """Knows when an event arrives, in wall time, and what that is in business time."""

    @property
    def timeline(self) -> Timeline: ...

    def wall_ms(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the endpoint is made with."""

    tokens: KnowsTokens
    intake: Intake
    sender: Sends
    clock: Clock


class _RefusedError(Exception):
    """The request as a whole is refused."""

    def __init__(self, refusal: NotAnEvent, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.headers = headers


def site(parts: Parts) -> ASGIApp:
    """The application, made with its parts."""
    routes = [
        Route("/events", events, methods=["POST"]),
        Route("/openapi.json", described),
        Route("/health", health),
        Route("/health/{of}", health),
        Route("/metrics", metrics),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            _RefusedError: _refused,
            HTTPException: _not_possible,
            TransientError: _away,
        },
    )
    app.state.parts = parts
    return Counted(app)  # outside of all: what broke is an answer, too


async def events(request: Request) -> Response:
    """Write the events of a request, all or none; answered once Kafka has acked them."""
    parts: Parts = request.app.state.parts
    token = await _token(request, parts)
    body = await _body(request)
    headers = request.headers.items()
    batch = said_in(headers, body)
    if isinstance(batch, NotAnEvent):
        raise _RefusedError(batch)
    if wait_s := await parts.tokens.count(token, len(batch)):
        limit = f"at most {token.per_minute} events a minute"
        raise _RefusedError(NotAnEvent("too_fast", limit), {"retry-after": str(wait_s)})
    read = _read(parts, token, batch)
    several = kind_of(headers) == BATCH
    refused = [(n, each) for n, each in enumerate(read) if isinstance(each, NotAnEvent)]
    if refused and several:
        note_refused(each.reason for _, each in refused)
        bad = [{"index": n, **_told(each)} for n, each in refused]
        return JSONResponse({"refused": bad}, 422)
    if refused:
        raise _RefusedError(refused[0][1])
    accepted = [each for each in read if isinstance(each, Accepted)]
    offsets = await parts.sender.send(accepted)
    told = [
        {"id": each.id, "topic": each.topic, "partition": each.partition, "offset": offset}
        for each, offset in zip(accepted, offsets, strict=True)
    ]
    return JSONResponse({"events": told} if several else told[0], 202)


def _read(parts: Parts, token: Token, batch: Sequence[Said]) -> list[Accepted | NotAnEvent]:
    arrival_ms, timeline = parts.clock.wall_ms(), parts.clock.timeline
    return [parts.intake.read(said, token, arrival_ms, timeline) for said in batch]


async def _token(request: Request, parts: Parts) -> Token:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    token = await parts.tokens.find(bearer.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        needed = "Bearer and a token, as `orderflow tokens create` prints it"
        refusal = NotAnEvent("unauthorized", needed, "authorization")
        raise _RefusedError(refusal, {"www-authenticate": "Bearer"})
    return token


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _RefusedError(NotAnEvent("too_large", f"at most {MAX_BODY_BYTES} bytes"))
    return bytes(body)


async def described(_request: Request) -> Response:
    """The OpenAPI document of this endpoint."""
    return JSONResponse(document())


async def health(request: Request) -> Response:
    """Whether the process lives, and is ready: Redis, which knows the tokens, answers."""
    of = request.path_params.get("of")
    if of not in {None, "live", "ready"}:
        raise HTTPException(404)
    ready = True
    if of != "live":
        try:
            await request.app.state.parts.tokens.ping()
        except TransientError:
            ready = False
    body = {"service": "ingest", "live": True, "ready": ready}
    return JSONResponse(body, 503 if of == "ready" and not ready else 200)


def _told(refusal: NotAnEvent) -> dict[str, str]:
    return {"reason": refusal.reason, "field": refusal.field, "detail": refusal.detail}


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, _RefusedError)
    note_refused([error.refusal.reason])
    status = STATUS.get(error.refusal.reason, 422)
    return JSONResponse(_told(error.refusal), status, headers=error.headers)


async def _not_possible(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refusal = NotAnEvent("not_possible", error.detail)
    return JSONResponse(_told(refusal), error.status_code, headers=error.headers)


async def _away(_request: Request, error: Exception) -> Response:
    _log.warning("a request is answered by 503", error=str(error))
    again = "Kafka or Redis is away: send the same again, under the same ids"
    retry = {"retry-after": str(RETRY_AFTER_S)}
    return JSONResponse(_told(NotAnEvent("away", again)), 503, headers=retry)
