"""P2: every accepted order is live before a deadline, ended, or visible as stuck."""

from collections.abc import Mapping

from shared.books.result import Draft
from shared.books.story import Entry, Json, Story, ms_of
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.fulfillment import (
    FULFILLMENT_EVENTS,
    OpenUnitsCanceled,
    OrderCanceled,
    OrderHeld,
    RequestRefused,
)
from shared.events.inventory import INVENTORY_EVENTS
from shared.events.payment import PAYMENT_EVENTS
from shared.events.storefront import ORDERS, OrderPlaced
from shared.waiting import WAITS

WAITING = (FULFILLMENT_EVENTS, PAYMENT_EVENTS)
"""The journals whose facts list deadlines."""
KNOWN_WAITS = frozenset((wait.publisher, wait.kind) for wait in WAITS)
"""All that may wait."""

Ledger = Mapping[tuple[str, str], int]
"""Deadlines of one subject: publisher and kind, due in business ms."""


def check_order(story: Story, ledger: Ledger, page: Draft) -> None:
    """P2: what was placed has its answer; what was accepted waits for something, or is over."""
    _check_answered(story, page)
    open_ = _still_open(story, page)
    _check_ledger(story, open_, ledger, page)
    order, held = story.order(), story.of(FULFILLMENT_EVENTS, OrderHeld.TYPE)
    if order is None:
        if held:
            page.violate(story.subject, "was held, but there is no order")
        return
    page.count("orders accepted")
    page.count(f"orders {order['status']}")
    _check_ended_once(story, page)
    _check_alive(story, order, open_, page)


def _check_answered(story: Story, page: Draft) -> None:
    """An order that was placed is held, refused, or kept."""
    held = {entry.cause for entry in story.of(FULFILLMENT_EVENTS, OrderHeld.TYPE)}
    refused = {
        entry.data["request_id"] for entry in story.of(FULFILLMENT_EVENTS, RequestRefused.TYPE)
    }
    placed = story.of(ORDERS, OrderPlaced.TYPE)
    for entry in placed:
        page.count("orders placed")
        if entry.id in held:
            continue
        if entry.id in refused:
            page.count("placed again, refused")
        elif entry.id in story.kept:
            page.count("placed, kept as dead letters")
        else:
            page.violate(story.subject, f"placed by {entry.id}, was neither held nor refused")
    if made_up := held - {entry.id for entry in placed}:
        page.violate(story.subject, f"was held for {made_up}, which placed no order")
    for topic in (INVENTORY_EVENTS, PAYMENT_EVENTS) if held and not story.failed else ():
        if not story.of(topic):
            page.violate(story.subject, f"was held, and {topic.publisher} never heard of it")


def _still_open(story: Story, page: Draft) -> dict[tuple[str, str], int]:
    """What is listed as open, and was not reached yet."""
    reached = {_reached(entry) for entry in story.of(DEADLINES_EVENTS)}
    open_: dict[tuple[str, str], int] = {}
    for topic in WAITING:
        for kind, due_ms in story.deadlines(topic):
            deadline = (str(topic.publisher), kind)
            if deadline not in KNOWN_WAITS:
                page.violate(story.subject, f"waits for {' '.join(deadline)}, which is no wait")
            if (*deadline, due_ms) not in reached:
                open_[deadline] = due_ms
            elif story.failed:
                page.count("deadlines stuck")
            else:
                page.violate(story.subject, f"{' '.join(deadline)} was reached, and did nothing")
    page.count("deadlines open", len(open_))
    return open_


def _check_ledger(story: Story, open_: Ledger, ledger: Ledger, page: Draft) -> None:
    """R23: what is listed as open is armed, and nothing else is."""
    for deadline in open_.keys() | ledger.keys():
        listed_ms, armed_ms = open_.get(deadline), ledger.get(deadline)
        if listed_ms != armed_ms:
            found = f"is listed for {listed_ms}, and armed for {armed_ms} (business ms)"
            page.violate(story.subject, f"{' '.join(deadline)} {found}")


def _reached(entry: Entry) -> tuple[str, str, int]:
    return entry.data["publisher"], entry.data["kind"], ms_of(entry.data["due"])


def _check_ended_once(story: Story, page: Draft) -> None:
    """An order is canceled once, and what is over does not change any more."""
    before: Entry | None = None
    for entry in story.of(FULFILLMENT_EVENTS):
        if before is not None and before.over and entry.status != before.status:
            change = f"was {before.status} for good, and became {entry.status} by {entry.type}"
            page.violate(story.subject, change)
        before = entry
    if len(story.of(FULFILLMENT_EVENTS, OrderCanceled.TYPE, OpenUnitsCanceled.TYPE)) > 1:
        page.violate(story.subject, "was canceled twice")


def _check_alive(story: Story, order: Json, open_: Ledger, page: Draft) -> None:
    """R23: nothing waits for ever. What is over waits to be archived, and then for nothing."""
    status, last = order["status"], story.last(FULFILLMENT_EVENTS)
    over = last is not None and last.over
    if status == "Shipped":
        page.count("shipped, delivered" if over else "shipped, on the way")
    if order.get("archived_at"):
        page.count("orders archived")
        if "ship_address" in order or order["buyer"].get("name"):
            page.violate(story.subject, "was archived, and still names its buyer")
    elif order.get("stuck") or (story.failed and not open_):
        page.count("orders stuck")
    elif open_:
        page.count("orders live", n=not over)
    else:
        page.violate(story.subject, f"is {status} and waits for nothing")
