"""Signing in and out, and who may do what: every page but these asks for a session."""

import hmac
from collections.abc import AsyncGenerator
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import ImmutableMultiDict, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.dashboard.accounts import (
    MAX_PASSWORD,
    MIN_PASSWORD,
    Accounts,
    TooManyTriesError,
    Who,
)
from services.dashboard.sessions import LASTS_S, Session
from services.dashboard.web.pages import address_of, away, page, parts_of
from shared.errors import TransientError

COOKIE = "orderflow"
OPEN = ("/sign-in", "/welcome", "/health", "/metrics", "/static")
"""Where nobody has to be signed in: the doors, what a load balancer and Prometheus ask, and files
of ours.
"""
MAX_FORM_BYTES = 64 * 1024
"""The largest form has the items of the largest order."""
MAX_UPLOAD_BYTES = 2 * 2**20
"""Of a form with a file: twice what the most rows of a ship-confirm file have."""
Form = ImmutableMultiDict[str, str]
"""The fields of a form by name, of several of a name the last."""


def way_in(token: str) -> str:
    """The path of a one-time link."""
    return f"/welcome?link={quote(token)}"


async def first_way_in(accounts: Accounts) -> str | None:
    """The path by which the first one comes in; None where somebody can sign in already."""
    token = await accounts.first_invitation()
    return way_in(token) if token else None


class SignedIn:
    """Finds the session of each request; without one there is only the way to sign in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            first = "/" + request.url.path.split("/")[1]
            if first not in OPEN:
                try:
                    session = await _session_of(request)
                except TransientError as error:
                    answer = await away(request, error)
                    return await answer(scope, receive, send)
                if session is None:
                    return await _to_the_door(request)(scope, receive, send)
                request.state.session = session
        return await self._app(scope, receive, send)


async def sign_in(request: Request) -> Response:
    """The form with name and password, and what comes of it."""
    onward = _onward(request.query_params.get("next", ""))
    if request.method == "GET":
        return page(request, "sign_in.html", name="", problem="", onward=onward)
    form = await _form(request)
    name, password = form.get("name", "").strip(), form.get("password", "")
    address = request.client.host if request.client else ""
    problem, status = "Name and password do not belong together.", 401
    try:
        who = await parts_of(request).accounts.sign_in(name, password, address)
    except TooManyTriesError:
        who, problem, status = None, "Too many tries: wait five minutes, then try again.", 429
    if who is None:
        values = {"name": name, "problem": problem, "onward": onward}
        return page(request, "sign_in.html", **values, status_code=status)
    return await _come_in(request, who, onward)


async def welcome(request: Request) -> Response:
    """A one-time link: opening it shows whom it is for, and uses nothing up."""
    token = request.query_params.get("link", "")
    accounts = parts_of(request).accounts
    invited = await accounts.invited(token)
    if invited is None:
        text = "It was used, or is older than a day. `orderflow accounts invite` makes another."
        return page(request, "message.html", title="This link is over", text=text, status_code=404)
    if request.method == "GET":
        return page(request, "welcome.html", who=invited, problem="", least=MIN_PASSWORD)
    password = (await _form(request)).get("password", "")
    if password and not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        problem = f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters."
        return page(
            request,
            "welcome.html",
            who=invited,
            problem=problem,
            least=MIN_PASSWORD,
            status_code=422,
        )
    who = await accounts.accept(token, password)
    if who is None:
        raise HTTPException(409)
    return await _come_in(request, who, "/")


async def sign_out(request: Request) -> Response:
    """End the session."""
    await sent_form(request)
    await parts_of(request).sessions.end(request.cookies[COOKIE])
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE)
    return answer


async def sent_form(request: Request, most_bytes: int = MAX_FORM_BYTES) -> Form:
    """The fields of a form of ours; refuses what was not sent from a page of this session."""
    form = await _form(request, most_bytes)
    _check_token(request, form)
    return form


async def sent_upload(request: Request) -> tuple[Form, bytes]:
    """The fields of a form of ours that takes a file, and the file, empty where none was chosen;
    refuses what `sent_form` does.
    """
    _check_origin(request)
    body = _at_most(MAX_UPLOAD_BYTES, request)
    try:
        sent = await MultiPartParser(request.headers, body, max_files=1, max_fields=10).parse()
    except (MultiPartException, KeyError) as error:  # KeyError: it has no boundary
        raise HTTPException(400) from error
    texts = [(name, value) for name, value in sent.multi_items() if isinstance(value, str)]
    files = [value for _, value in sent.multi_items() if isinstance(value, UploadFile)]
    content = b"".join([await each.read() for each in files])
    await sent.close()
    form = Form(texts)
    _check_token(request, form)
    return form, content


def _check_token(request: Request, form: Form) -> None:
    if not hmac.compare_digest(form.get("csrf", "").encode(), session_of(request).csrf.encode()):
        raise HTTPException(403)


def session_of(request: Request) -> Session:
    """The session of a request that has one."""
    session: Session = request.state.session
    return session


def operator_of(request: Request) -> Who:
    """Who acts; refuses whom may only read."""
    who = session_of(request).who
    if not who.operates:
        raise HTTPException(403)
    return who


async def _form(request: Request, most_bytes: int = MAX_FORM_BYTES) -> Form:
    """The fields of a form that a page of this site sent."""
    _check_origin(request)
    body = b"".join([chunk async for chunk in _at_most(most_bytes, request)])
    return Form(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403)


async def _at_most(most_bytes: int, request: Request) -> AsyncGenerator[bytes]:
    """The body of a request as it comes; refuses one that goes on."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise HTTPException(413)
        yield chunk


async def _session_of(request: Request) -> Session | None:
    token = request.cookies.get(COOKIE)
    return await parts_of(request).sessions.of(token) if token else None


async def _come_in(request: Request, who: Who, onward: str) -> Response:
    token = await parts_of(request).sessions.begin(who)
    answer = RedirectResponse(onward, 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, max_age=LASTS_S, secure=secure, httponly=True, samesite="lax")
    return answer


def _to_the_door(request: Request) -> Response:
    if request.method != "GET" or request.url.path == "/live":
        return Response(status_code=401)
    return RedirectResponse(f"/sign-in?next={quote(address_of(request))}", 303)


def _onward(address: str) -> str:
    """Where to after signing in: a page of ours, never another site."""
    ours = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if ours else "/"
