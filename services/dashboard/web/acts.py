"""What an operator does to an order: a form becomes an event on Kafka, told once however often it
is sent.
"""

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.dashboard.actions import ACTS, event_id, offered, read_form
from services.dashboard.web.access import operator_of, sent_form
from services.dashboard.web.order import order_page
from services.dashboard.web.pages import parts_of
from shared.events.dashboard import PAGES
from shared.events.topics import TOPIC_OF

KEY = re.compile(r"[0-9a-f]{32}")
"""What tells the sendings of one form from those of another."""


async def act(request: Request) -> Response:
    """Tell it, and go back to the order; where the form is wrong, show it with what is wrong."""
    who, form = operator_of(request), await sent_form(request)
    parts, order_id, what = (
        parts_of(request),
        *(request.path_params[n] for n in ("order_id", "act")),
    )
    view = await parts.views.view(order_id)
    if what not in ACTS or view is None or view.order is None:
        raise HTTPException(404)
    order, now = view.order, parts.now
    if what not in offered(order, now) or not KEY.fullmatch(form.get("key", "")):
        raise HTTPException(409)
    zone = parts.policies.of(order.marketplace_id).calendar.time_zone
    read = read_form(what, order, form, zone)
    if read.fact is None:
        return await order_page(request, order_id, what, form, read.problems)
    await parts.desk.say(
        TOPIC_OF[type(read.fact)],
        read.fact,
        id_=event_id(form["key"], order_id, read.fact),
        source=f"{PAGES}{who.name}",
        subject=order_id,
        time=now,
    )
    return RedirectResponse(f"/orders/{order_id}?sent={what}", 303)
