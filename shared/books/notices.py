"""P4: what people are told is what happened, once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple, get_args

from shared.books.result import Draft
from shared.books.story import Entry, Story
from shared.events.fulfillment import (
    FULFILLMENT_EVENTS,
    AddressChanged,
    CancelAsked,
    CancelDenied,
    CancelWarned,
    NoticeResent,
    OpenUnitsCanceled,
    OrderCanceled,
    OrderUnshipped,
    PackageConfirmed,
    ReorderAnswered,
    RequestRefused,
    ReturnOpened,
    ShipmentDelayed,
    ShipmentLate,
    UnitsReturned,
)
from shared.events.notices import NOTICES, NoticeRequested, NoticeRequestedAgain
from shared.events.payment import PaymentRefusal
from shared.events.storefront import CancelRequested

SILENT = frozenset(get_args(PaymentRefusal))
"""Reasons of cancels that nobody is told of (R6)."""

EACH_TELLS: Mapping[str, tuple[tuple[str, str], ...]] = {
    OrderUnshipped.TYPE: (("estimated_delivery", "BUYER"),),
    CancelWarned.TYPE: (("cancel_warning", "SELLER"),),
    CancelAsked.TYPE: (("cancel_asked", "SELLER"),),
    CancelDenied.TYPE: (("cancel_denied", "BUYER"),),
    ReturnOpened.TYPE: (("return_requested", "SELLER"), ("return_opened", "BUYER")),
    UnitsReturned.TYPE: (("return_received", "BUYER"),),
    AddressChanged.TYPE: (("address_changed", "BUYER"), ("new_ship_address", "SELLER")),
}
"""Facts each of which calls for notices, numbered like the facts of their type."""
HIDDEN = "new_ship_address"
"""What the seller is told of an order only once it has left Pending (R3)."""


class Notice(NamedTuple):
    """A notice, and the event that led to it."""

    kind: str
    occurrence: int
    recipient: str
    cause: str | None

    def __str__(self) -> str:
        return f"notice {self.kind} {self.occurrence} to {self.recipient}, cause {self.cause}"


def check_notices(story: Story, page: Draft) -> None:
    """P4: each (order, kind, occurrence) is one notice; none is missing, none is too many."""
    told = [_notice(entry) for entry in story.of(NOTICES, NoticeRequested.TYPE)]
    due = list(_due(story.of(FULFILLMENT_EVENTS)))
    page.count("notices", len(told))
    page.count("silent cancels", sum(_is_silent(e) for e in story.of(FULFILLMENT_EVENTS)))
    for missing in Counter(due) - Counter(told):
        page.violate(story.subject, f"nobody was sent the {missing}")
    for unfounded in Counter(told) - Counter(due):
        page.violate(story.subject, f"no fact stands behind the {unfounded}")
    for (kind, occurrence), n in Counter((n.kind, n.occurrence) for n in told).items():
        if n > 1:
            page.violate(story.subject, f"notice {kind} {occurrence} was sent {n} times")
    _check_sent_again(story, {(notice.kind, notice.occurrence) for notice in told}, page)


def _check_sent_again(story: Story, told: set[tuple[str, int]], page: Draft) -> None:
    """P4: what is sent again was sent before, and somebody asked for it each time."""
    again = Counter(
        (entry.data["nth"], _notice(entry)._replace(recipient=""))
        for entry in story.of(NOTICES, NoticeRequestedAgain.TYPE)
    )
    asked = Counter(
        (entry.data["nth"], _notice(entry)._replace(recipient=""))
        for entry in story.of(FULFILLMENT_EVENTS, NoticeResent.TYPE)
    )
    page.count("notices sent again", again.total())
    for nth, notice in asked - again:
        page.violate(story.subject, f"nobody was sent again, for the {nth}. time, the {notice}")
    for nth, notice in again - asked:
        page.violate(story.subject, f"nobody asked again, for the {nth}. time, for the {notice}")
    for _, notice in again:
        if (notice.kind, notice.occurrence) not in told:
            page.violate(story.subject, f"sent again, and never before: the {notice}")


def _notice(entry: Entry) -> Notice:
    data = entry.data
    return Notice(data["kind"], data["occurrence"], data.get("recipient", ""), entry.cause)


def _due(facts: list[Entry]) -> Iterator[Notice]:
    """The notices that the facts of an order call for (R4, R6, R9, R11–R13, R15–R19)."""
    packages = refusals = 0
    before = ""
    told: Counter[str] = Counter()
    for entry in facts:
        told[entry.type] += 1
        for kind, recipient in _each_tells(entry):
            yield Notice(kind, told[entry.type], recipient, entry.cause)
        match entry.type:
            case PackageConfirmed.TYPE if not entry.data["edited"]:
                packages += 1
                yield Notice("package_shipped", packages, "BUYER", entry.cause)
            case ShipmentDelayed.TYPE:
                yield Notice("new_delivery_date", entry.data["occurrence"], "BUYER", entry.cause)
            case ShipmentLate.TYPE:
                nth = entry.data["occurrence"]
                yield Notice("late_shipment", nth, "SELLER", entry.cause)
                yield Notice("new_delivery_date", nth, "BUYER", entry.cause)
            case OrderCanceled.TYPE | OpenUnitsCanceled.TYPE if not _is_silent(entry):
                yield Notice("order_canceled", 1, "BUYER", entry.cause)
                if _stops_seller(entry, before):
                    yield Notice("do_not_ship", 1, "SELLER", entry.cause)
            case RequestRefused.TYPE if _is_way_back(entry):
                refusals += 1
                yield Notice("cancel_refused", refusals, "BUYER", entry.cause)
            case ReorderAnswered.TYPE:
                kind = "reorder_suggestion" if entry.data["in_stock"] else "reorder_unavailable"
                yield Notice(kind, entry.data["nth"], "BUYER", entry.cause)
        before = entry.status


def _each_tells(entry: Entry) -> Iterator[tuple[str, str]]:
    for kind, recipient in EACH_TELLS.get(entry.type, ()):
        if (kind, entry.status) != (HIDDEN, "Pending"):
            yield kind, recipient


def _stops_seller(entry: Entry, before: str) -> bool:
    """A seller who may be packing is told to stop, unless the seller canceled (R15, R7)."""
    why = entry.data["cancellation"]
    stops = why["reason"] in {"buyer", "payment_reversed"} and why["executed_by"] != "MERCHANT"
    return stops and before in {"Unshipped", "PartiallyShipped"}


def _is_silent(entry: Entry) -> bool:
    return entry.type == OrderCanceled.TYPE and entry.data["cancellation"]["reason"] in SILENT


def _is_way_back(entry: Entry) -> bool:
    """R16: a cancel that came too late is answered with how to return the goods."""
    said = (entry.data["request_type"], entry.data["reason"])
    return said == (CancelRequested.TYPE, "order_shipped")
