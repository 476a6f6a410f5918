"""Answers a request with a page: the frame around every one, and what goes wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.dashboard.web import show, words
from services.dashboard.web.assets import found_assets
from services.dashboard.web.follower import EVERYTHING
from services.dashboard.web.parts import Parts
from shared.currencies import money

STALE_S = 5.0
"""Behind the projection for longer, a page says so."""

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals |= {
    "lasting": show.lasting,
    "money": money,
    "percent": show.percent,
    "reason": words.reason,
    "marketplace": words.marketplace,
    "asked_for": words.asked,
    "assets": found_assets(),
}
ENVIRONMENT.filters |= {"instant": show.instant, "exactly": show.instant_exactly}

NAVIGATION = (
    ("/", "Overview"),
    ("/orders", "Orders"),
    ("/stock", "Stock"),
    ("/deadlines", "Deadlines"),
    ("/letters", "Dead letters"),
    ("/audit", "Audit"),
    ("/reports", "Reports"),
    ("/policies", "Policies"),
    ("/traffic", "Traffic"),
)


def parts_of(request: Request) -> Parts:
    """What the application was built with."""
    parts: Parts = request.app.state.parts
    return parts


def page(
    request: Request,
    template: str,
    *,
    live: Sequence[str] = (),
    status_code: int = 200,
    **values: Any,
) -> Response:
    """A page of a template; `live` names the news for which it is shown anew."""
    parts = parts_of(request)
    now_ms, told = parts.clock.now_ms(), parts.listeners.told
    html = ENVIRONMENT.get_template(template).render(
        **values,
        **_frame(request, parts, now_ms),
        live=live and urlencode([("since", told), *(("of", each) for each in live)]),
        away=lambda due_ms: show.until(due_ms, now_ms),
    )
    return HTMLResponse(html, status_code=status_code)


def _frame(request: Request, parts: Parts, now_ms: int) -> Mapping[str, Any]:
    path = request.url.path
    wall_ms = parts.clock.wall_ms()
    stale_s = parts.follower.stale_s
    return {
        "here": address_of(request),
        "section": next(
            (at for at, _ in reversed(NAVIGATION) if path == at or path.startswith(f"{at}/")), ""
        ),
        "navigation": NAVIGATION,
        "now_ms": now_ms,
        "rate": parts.clock.timeline.rate_at(wall_ms),
        "geared": parts.clock.timeline.geared,
        "loaded": parts.follower.loaded,
        "session": getattr(request.state, "session", None),
        "stale_s": stale_s if stale_s > STALE_S else 0,
    }


def address_of(request: Request) -> str:
    """The path and query of a request, as a link to it says them."""
    path, query = quote(request.scope["path"]), request.url.query
    return f"{path}?{query}" if query else path


def not_found(request: Request, what: str) -> Response:
    """The page that there is no such thing."""
    return page(request, "message.html", title="Not found", text=what, status_code=404)


async def away(request: Request, error: Exception) -> Response:
    """The page that Kafka or Redis is away."""
    text = f"{error}. Pages come back by themselves once it is there again; nothing is lost."
    live = EVERYTHING if request.method == "GET" else ()
    values = {"title": "Away for now", "text": text}
    return page(request, "message.html", live=live, **values, status_code=503)
