"""Dead letters: what could not be handled, by reason; one of them whole; and what people do with
them: replay, edit a copy, discard.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.dashboard.replaying import (
    MAX_EDIT_BYTES,
    Examined,
    Typed,
    Verdict,
    as_text,
    replay_of,
)
from services.dashboard.web.access import operator_of, sent_form, session_of
from services.dashboard.web.filters import Problem
from services.dashboard.web.pages import not_found, page, parts_of
from services.dashboard.web.query import WrongQuery, choice, number, text
from services.dashboard.web.record import may_reveal, record_values
from services.dashboard.web.workbench import (
    MAX_AT_ONCE,
    STATES,
    Wanted,
    bench_of,
    count,
    find,
    is_open,
)
from shared.clock import fresh_token
from shared.events.dashboard import PAGES, letter_subject
from shared.events.fields import MAX_TEXT
from shared.kafka import DEAD_LETTERS
from shared.spreadsheet import printable

SHOWN = 100
MAX_EDIT_FORM_BYTES = 4 * MAX_EDIT_BYTES
"""Most of JSON that is sent by a form takes three bytes for one."""

VERDICTS: Mapping[Verdict, str] = {
    "decided": "would be decided",
    "waits": "would wait for its order",
    "repeat": "is known already: nothing would change",
    "unread": "would be a dead letter again",
    "impossible": "can not be replayed",
}
ANY_STATE = "all"
_KEY = re.compile(r"[0-9a-f]{32}")
_ORIGIN = re.compile(r"[A-Za-z0-9._-]{1,100}:[0-9]{1,5}:[0-9]{1,19}")


async def letters(request: Request) -> Response:
    """The page: the open letters, or others; of a reason, of a service, about something."""
    index, wanted = parts_of(request).index, _wanted(request)
    reasons = index.ask_lately(
        "SELECT reason, service, count(*) AS n, max(kept_ms) AS last_ms FROM letters_now"
        " WHERE :state IN ('', state) GROUP BY reason, service ORDER BY n DESC",
        state=wanted.state,
    )
    query = request.query_params
    return page(
        request,
        "letters.html",
        live=("letters", "handled"),
        rows=find(index, wanted, SHOWN),
        total=count(index, wanted),
        reasons=reasons,
        states=STATES,
        wanted=wanted,
        most=SHOWN,
        at_once=MAX_AT_ONCE,
        done=choice(query, "done", ("replay", "discard"), ""),
        counts={name: number(query, name, 0, MAX_AT_ONCE) for name in ("n", "left")},
    )


async def letter(request: Request) -> Response:
    """The page of one letter: why it was kept, where it came from, its record, what may be done."""
    return await _letter(request)


async def _letter(
    request: Request, typed: Typed | None = None, examined: Examined | None = None
) -> Response:
    """The page; of a copy that was edited, with it and what would come of it."""
    parts, path = parts_of(request), request.path_params
    origin = f"{path['topic']}:{path['partition']}:{path['offset']}"
    view = await parts.views.view(letter_subject(origin), path["partition"])
    if view is None or view.letter is None:
        return not_found(request, f"No dead letter came from {origin}.")
    bench, operates = bench_of(parts), session_of(request).who.operates
    found = await parts.records.record(DEAD_LETTERS, path["partition"], view.letter.offset)
    as_is = await bench.examine(origin) if found else None
    handled = (await bench.handled(origin)).handled
    revealed = may_reveal(request) or typed is not None
    text = as_text(as_is.kept) if as_is and is_open(as_is) and operates and revealed else None
    return page(
        request,
        "letter.html",
        live=("letters", "handled") if typed is None else (),
        status_code=422 if examined and not examined.outlook.sends else 200,
        letter=view.letter,
        partition=path["partition"],
        origin=origin,
        handled=handled,
        again=_again(request, [each.copy_at for each in handled]),
        replay_of=replay_of(as_is.kept) if as_is else "",
        examined=as_is if operates else None,
        verdicts=VERDICTS,
        typed=typed or text,
        edited=examined,
        act_key=fresh_token(),
        most_reason=MAX_TEXT,
        sent=request.query_params.get("sent", "") in {"replay", "discard", "edit"},
        **record_values(found, revealed=revealed),
    )


async def edit(request: Request) -> Response:
    """Say what would come of an edited copy, or send it."""
    who, form = operator_of(request), await sent_form(request, MAX_EDIT_FORM_BYTES)
    parts, path = parts_of(request), request.path_params
    origin = f"{path['topic']}:{path['partition']}:{path['offset']}"
    names = ("key_text", "value", "headers")
    typed = Typed(*(form.get(name, "").replace("\r\n", "\n") for name in names))
    bench = bench_of(parts)
    examined = await bench.examine(origin, typed)
    if examined is None:
        return not_found(request, f"No dead letter came from {origin}.")
    if not is_open(examined):
        raise HTTPException(409)
    if form.get("do") != "send" or not examined.outlook.sends:
        return await _letter(request, typed, examined)
    await _once(request, form, lambda: bench.replay(examined, f"{PAGES}{who.name}", edited=True))
    return RedirectResponse(f"{_address(origin)}?sent=edit", 303)


async def selected(request: Request) -> Response:
    """What would come of some letters, or of all that fit a filter; and then do it."""
    who, parts = operator_of(request), parts_of(request)
    bench = bench_of(parts)
    if request.method == "GET":
        origins, wanted, more = _origins(request), _wanted(request), 0
        if choice(request.query_params, "all", ("yes",), ""):
            origins = [each.origin for each in find(parts.index, wanted, MAX_AT_ONCE)]
            more = count(parts.index, wanted) - len(origins)
        examined = await bench.examine_all(origins)
        return _selected(request, examined, more=more)
    form = await sent_form(request)
    origins = [*dict.fromkeys(filter(_is_origin, form.get("origins", "").split()))]
    if len(origins) > MAX_AT_ONCE or form.get("do") not in {"replay", "discard"}:
        raise HTTPException(400)
    source, reason = f"{PAGES}{who.name}", " ".join(printable(form.get("reason", "")).split())
    examined = await bench.examine_all(origins)
    if form["do"] == "discard" and not 1 <= len(reason) <= MAX_TEXT:
        return _selected(request, examined, problem=f"Say why, in 1 to {MAX_TEXT} characters.")
    if form["do"] == "replay":
        chosen = [each for each in examined if each.outlook.sends]
    else:
        chosen = [each for each in examined if is_open(each)]
    n = len(chosen)

    async def do() -> None:
        for each in chosen:
            if form["do"] == "replay":
                await bench.replay(each, source)
            else:
                await bench.discard(each, reason, source)

    await _once(request, form, do)
    if len(origins) == 1 and n:
        return RedirectResponse(f"{_address(origins[0])}?sent={form['do']}", 303)
    return RedirectResponse(f"/letters?done={form['do']}&n={n}&left={len(origins) - n}", 303)


def _selected(
    request: Request, examined: Sequence[Examined], *, more: int = 0, problem: str = ""
) -> Response:
    return page(
        request,
        "selected.html",
        status_code=422 if problem else 200,
        examined=examined,
        verdicts=VERDICTS,
        counts=Counter(each.outlook.verdict for each in examined),
        would_send=sum(each.outlook.sends for each in examined),
        would_discard=sum(map(is_open, examined)),
        more=more,
        act_key=fresh_token(),
        problem=problem,
        most_reason=MAX_TEXT,
    )


async def _once(
    request: Request, form: Mapping[str, str], do: Callable[[], Awaitable[object]]
) -> None:
    """Do it, unless the same form was sent before: a double click is one act."""
    sessions, key = parts_of(request).sessions, form.get("key", "")
    if not _KEY.fullmatch(key):
        raise HTTPException(409)
    if not await sessions.begin_act(key):
        return
    try:
        await do()
    except BaseException:
        await sessions.forget_act(key)
        raise


def _wanted(request: Request) -> Wanted:
    """The filter in an address: by default what is open; raises WrongQuery."""
    query = request.query_params
    state = choice(query, "state", (*STATES, ANY_STATE), "open")
    texts = {name: text(query, name) for name in Wanted._fields if name != "state"}
    return Wanted(**texts, state="" if state == ANY_STATE else state)


def _origins(request: Request) -> list[str]:
    """The letters that an address names; raises WrongQuery."""
    origins = request.query_params.getlist("origin")
    if len(origins) > MAX_AT_ONCE or not all(map(_is_origin, origins)):
        allowed = f"topic:partition:offset of a letter, at most {MAX_AT_ONCE} of them"
        raise WrongQuery([Problem("origin", allowed)])
    return origins


def _again(request: Request, copies: Sequence[str]) -> set[str]:
    """Which of some copies are dead letters again."""
    index = parts_of(request).index
    sql = "SELECT count(*) AS n FROM letters WHERE origin = :origin"
    return {copy for copy in copies if copy and index.one(sql, origin=copy)["n"]}


def _is_origin(text: str) -> bool:
    return _ORIGIN.fullmatch(text) is not None


def _address(origin: str) -> str:
    return f"/letters/{origin.replace(':', '/')}"
