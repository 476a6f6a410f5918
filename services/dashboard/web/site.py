"""The site: which address is answered by what, under which security headers."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.dashboard.web.access import SignedIn, sign_in, sign_out, welcome
from services.dashboard.web.acts import act
from services.dashboard.web.assets import STATIC, found_assets
from services.dashboard.web.audit import audit
from services.dashboard.web.deadlines import deadlines
from services.dashboard.web.letters import edit, letter, letters, selected
from services.dashboard.web.live import live
from services.dashboard.web.order import order
from services.dashboard.web.orders import orders
from services.dashboard.web.overview import overview
from services.dashboard.web.pages import STALE_S, away, page, parts_of
from services.dashboard.web.parts import Parts
from services.dashboard.web.query import WrongQuery
from services.dashboard.web.record import record
from services.dashboard.web.reports import download, reports
from services.dashboard.web.several import cancel, ship_confirm
from services.dashboard.web.stock import sku, stock
from services.dashboard.web.traffic import policies, traffic
from shared.errors import TransientError
from shared.http_metrics import Counted, metrics

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}
"""Of every answer: no script and no style but from files of ours, and nobody frames a page."""
OWN_FILES = ("dashboard.css", "dashboard.js", "icon.svg")
FILES_KEPT_S = 300


async def health(request: Request) -> Response:
    """Whether the process lives, and is ready: it has read the lists, and Redis answers."""
    follower = parts_of(request).follower
    ready = follower.loaded and follower.stale_s < STALE_S
    wants = {None: True, "live": True, "ready": ready}
    of = request.path_params.get("of")
    if of not in wants:
        raise HTTPException(404)
    body = {"service": "pages", "live": True, "ready": ready}
    return JSONResponse(body, status_code=200 if wants[of] else 503)


ROUTES = [
    Route("/", overview),
    Route("/orders", orders),
    Route("/several/ship-confirm", ship_confirm, methods=["POST"]),
    Route("/several/cancel", cancel, methods=["POST"]),
    Route("/orders/{order_id}", order),
    Route("/orders/{order_id}/{act}", act, methods=["POST"]),
    Route("/stock", stock),
    Route("/stock/{seller_id}/{sku:path}", sku),
    Route("/deadlines", deadlines),
    Route("/letters", letters),
    Route("/letters/selected", selected, methods=["GET", "POST"]),
    Route("/letters/{topic}/{partition:int}/{offset:int}", letter),
    Route("/letters/{topic}/{partition:int}/{offset:int}/edit", edit, methods=["POST"]),
    Route("/audit", audit),
    Route("/records/{topic}/{partition:int}/{offset:int}", record),
    Route("/reports", reports),
    Route("/reports/{kind}", download),
    Route("/policies", policies),
    Route("/traffic", traffic),
    Route("/live", live),
    Route("/sign-in", sign_in, methods=["GET", "POST"]),
    Route("/welcome", welcome, methods=["GET", "POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/health", health),
    Route("/health/{of}", health),
    Route("/metrics", metrics),
]


def site(parts: Parts) -> ASGIApp:
    """The application, made with its parts."""
    files = {name: STATIC / name for name in OWN_FILES} | found_assets().files
    routes = [*ROUTES, *(Route(f"/static/{name}", _file(path)) for name, path in files.items())]
    app = Starlette(
        routes=routes,
        exception_handlers={
            WrongQuery: _not_understood,
            HTTPException: _refused,
            TransientError: away,
            Exception: _broken,
        },
    )
    app.add_middleware(SignedIn)
    app.state.parts = parts
    return Counted(_Secured(app))  # outside of all: what broke is answered there, too


class _Secured:
    """Puts the headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def send(_request: Request) -> Response:
        return FileResponse(path, headers={"cache-control": f"max-age={FILES_KEPT_S}"})

    return send


async def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, WrongQuery), "it is the handler of no other"
    path = quote(request.scope["path"])
    return page(request, "wrong.html", problems=error.problems, path=path, status_code=400)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    title, text = _SAYS.get(status, ("Not possible", "The request could not be understood."))
    return page(request, "message.html", title=title, text=text, status_code=status)


async def _broken(request: Request, _error: Exception) -> Response:
    text = "This page could not be made. The log of the process says why."
    return page(request, "message.html", title="Something broke", text=text, status_code=500)


_SAYS = {
    403: ("Not allowed", "Your account may not do this, or the page was of an earlier sign-in."),
    404: ("Not found", "There is no page at this address."),
    409: ("Too late", "Somebody else was first. Look at the page anew."),
    413: ("Too large", "That is more than the form takes."),
    405: ("Not possible", "This address does not answer to that."),
}
