"""Dead letters: what could not be handled, by reason, and one of them whole."""

from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.letters import letter_subject
from services.dashboard.web.pages import not_found, page, parts_of
from services.dashboard.web.record import may_reveal, record_values
from shared.kafka import DEAD_LETTERS

SHOWN = 100


async def letters(request: Request) -> Response:
    """The page: all letters, or those of a reason or of a service."""
    index = parts_of(request).index
    asked = {name: request.query_params.get(name, "") for name in ("reason", "service")}
    rows = index.ask(
        "SELECT * FROM letters WHERE :reason IN ('', reason) AND :service IN ('', service)"
        " ORDER BY kept_ms DESC LIMIT :most",
        **asked,
        most=SHOWN,
    )
    reasons = index.ask(
        "SELECT reason, service, count(*) AS n, max(kept_ms) AS last_ms FROM letters"
        " GROUP BY reason, service ORDER BY n DESC"
    )
    return page(
        request,
        "letters.html",
        live=("letters",),
        rows=rows,
        reasons=reasons,
        asked=asked,
        most=SHOWN,
    )


async def letter(request: Request) -> Response:
    """The page of one letter: why it was kept, where it came from, and its record."""
    parts, path = parts_of(request), request.path_params
    origin = f"{path['topic']}:{path['partition']}:{path['offset']}"
    view = await parts.views.view(letter_subject(origin), path["partition"])
    if view is None or view.letter is None:
        return not_found(request, f"No dead letter came from {origin}.")
    found = await parts.records.record(DEAD_LETTERS, path["partition"], view.letter.offset)
    return page(
        request,
        "letter.html",
        letter=view.letter,
        partition=path["partition"],
        **record_values(found, revealed=may_reveal(request)),
    )
