"""Tells a page that what it shows has changed: server-sent events, at most one a second."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.dashboard.web.pages import parts_of
from services.dashboard.web.parts import Listeners

AT_MOST_EVERY_S = 1.0
"""Between two pieces of news to one page; the first goes out at once."""
PING_S = 15.0
"""A silent stream says something so often, so that nobody between takes it for dead."""
MAX_LISTENERS = 500
"""Pages that may be live at a time in one process; others are read without."""


async def live(request: Request) -> Response:
    """A stream of `changed` events about what each `of` names: a kind, `order ID`, `stock SKU`;
    one at once where there was any news `since` the page was made.
    """
    listeners = parts_of(request).listeners
    if len(listeners) >= MAX_LISTENERS:
        return Response(status_code=503, headers={"retry-after": "60"})
    wanted, since = request.query_params.getlist("of"), request.query_params.get("since", "")
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(
        news(listeners, wanted, since), media_type="text/event-stream", headers=headers
    )


async def news(listeners: Listeners, wanted: list[str], since: str) -> AsyncGenerator[bytes]:
    """The events of one stream, for ever."""
    queue = listeners.listen(wanted)
    try:
        if since != str(listeners.told):
            queue.put_nowait(None)
        yield b": connected\n\n"
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    await queue.get()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            yield b"event: changed\ndata: now\n\n"
            await asyncio.sleep(AT_MOST_EVERY_S)
    finally:
        listeners.leave(queue)
