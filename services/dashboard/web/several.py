"""Several orders at once: packages confirmed by a file, and selected orders canceled.

Each order gets an event of its own, told once however often the page sends the same.
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.actions import CANCEL_REASONS, event_id, offered, read_form
from services.dashboard.web.access import operator_of, sent_form, sent_upload
from services.dashboard.web.acts import KEY
from services.dashboard.web.order import is_hidden
from services.dashboard.web.pages import page, parts_of
from services.dashboard.web.parts import Parts, Word
from shared.currencies import money
from shared.events.dashboard import PAGES
from shared.events.fields import SellerId
from shared.events.fulfillment import Order
from shared.events.seller import SHIPMENTS
from shared.upload_rows import RefusedFile
from shared.uploads import Upload, read_ship_confirm
from shared.uploads import event_id as uploaded_id

MAX_SELECTED = 200
"""Orders of one cancel: four pages of the list, which a person has looked through."""
MAX_ROWS = 5_000
"""Of a file: somebody waits for the answer. `orderflow upload` takes ten times as many."""
ROWS_SHOWN = 500
"""Of the good and of the bad ones: more than a person mends at a time."""

_SELLER = TypeAdapter[str](SellerId)


async def ship_confirm(request: Request) -> Response:
    """R11: confirm the packages of an uploaded file. Bad rows are answered with line and reason;
    what the good ones say is told, or only shown where the file is to be checked.
    """
    who, (form, content) = operator_of(request), await sent_upload(request)
    parts, only_check = parts_of(request), form.get("check") == "yes"
    key = _key(form)
    try:
        found = await _read(parts, form, content)
    except RefusedFile as refused:
        return page(request, "uploaded.html", status_code=422, problem=str(refused), found=None)
    if not only_check:
        words = [Word(uploaded_id(key, each), each.order_id, each.fact) for each in found.said]
        await parts.desk.say_all(SHIPMENTS, words, source=f"{PAGES}{who.name}", time=parts.now)
    return page(
        request,
        "uploaded.html",
        problem="",
        found=found,
        good=sum(len(each.lines) for each in found.said),
        only_check=only_check,
        most=ROWS_SHOWN,
    )


async def _read(parts: Parts, form: Mapping[str, str], content: bytes) -> Upload:
    """What the file says; RefusedFile where it, or what was typed beside it, can not be used."""
    seller, marketplace = form.get("seller", "").strip(), form.get("marketplace", "")
    try:
        _SELLER.validate_python(seller)
    except ValidationError:
        raise RefusedFile("Seller: 1 to 64 letters, digits and . _ : -") from None
    if not content:
        raise RefusedFile("File: choose one, tab-separated, its columns named.")
    zone = parts.policies.of(marketplace).calendar.time_zone
    try:
        found = await asyncio.to_thread(read_ship_confirm, content, seller, zone)
    except RefusedFile as refused:
        raise RefusedFile(f"The file {refused}.") from None
    if found.rows > MAX_ROWS:
        raise RefusedFile(f"The file has more than {MAX_ROWS:,} rows: `orderflow upload` takes it.")
    return found


class Selected(NamedTuple):
    """An order that is to be canceled, and why it can not be; empty where it can."""

    order_id: str
    status: str
    units: int
    total: str
    why_not: str


async def cancel(request: Request) -> Response:
    """R18: cancel the selected orders. They are shown first, with what it will do, and canceled
    once somebody is sure; one that is not Unshipped any more is left out.
    """
    who, form = operator_of(request), await sent_form(request)
    parts, key, order_ids = parts_of(request), _key(form), dict.fromkeys(form.getlist("order"))
    if len(order_ids) > MAX_SELECTED:
        raise HTTPException(413)
    views = await parts.views.some([*order_ids])
    orders = {id_: view.order if view else None for id_, view in zip(order_ids, views, strict=True)}
    lines = [_selected(order_id, order, parts) for order_id, order in orders.items()]
    able = [order for line in lines if not line.why_not and (order := orders[line.order_id])]
    words = [word for order in able if (word := _word(key, order, form, parts))]
    sure = form.get("sure") == "yes"
    if sure and words:
        await parts.desk.say_all(SHIPMENTS, words, source=f"{PAGES}{who.name}", time=parts.now)
    problem = "" if words or not (sure and able) else "Choose why."
    return page(
        request,
        "canceled.html",
        status_code=422 if problem else 200,
        lines=lines,
        able=len(able),
        key=key,
        reason_code=form.get("reason_code", ""),
        reasons=CANCEL_REASONS,
        problem=problem,
        done=sure and not problem,
    )


def _key(form: Mapping[str, str]) -> str:
    key = form.get("key", "")
    if not KEY.fullmatch(key):
        raise HTTPException(409)
    return key


def _selected(order_id: str, order: Order | None, parts: Parts) -> Selected:
    if order is None:
        return Selected(order_id, "", 0, "", "there is no such order")
    why_not = "" if "cancel" in offered(order, parts.now) else f"it is {order.status}"
    total = order.order_total
    return Selected(
        order_id=order_id,
        status=order.status,
        units=sum(line.quantity for line in order.items),
        total="" if is_hidden(order) else money(total.amount_minor, total.currency),
        why_not=why_not,
    )


def _word(key: str, order: Order, form: Mapping[str, str], parts: Parts) -> Word | None:
    """What is told of an order; None where the form names no reason."""
    zone = parts.policies.of(order.marketplace_id).calendar.time_zone
    fact = read_form("cancel", order, form, zone).fact
    return Word(event_id(key, order.order_id, fact), order.order_id, fact) if fact else None
