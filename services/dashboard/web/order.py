"""One order: what it is, what it waits for, its money, and its whole timeline (R22)."""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from services.dashboard.actions import (
    ACTS,
    CANCEL_REASONS,
    CARRIERS,
    Form,
    next_reference,
    offered,
)
from services.dashboard.rows import stuck_reasons
from services.dashboard.state import KEPT_FIRST, MAX_TIMELINE, Entry, View, place_in_time
from services.dashboard.web import show
from services.dashboard.web.access import session_of
from services.dashboard.web.index import Index
from services.dashboard.web.pages import not_found, page, parts_of
from services.dashboard.web.words import reason, words_of
from shared.clock import fresh_token, to_ms
from shared.decode import partition_of
from shared.events.dashboard import person_of
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.fulfillment import Order
from shared.events.notices import NoticeRequested
from shared.events.payment import (
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    PaymentApproved,
    RefundRequested,
    VoidRequested,
)

LATE_SHOWN_MS = 1_000
"""A fact that reached the log later than this after its time says so."""

MAX_LETTERS = 20
"""Dead letters of one order that its page lists."""

NOTHING: Mapping[str, str] = MappingProxyType({})

DEADLINE_NAMES: Mapping[str, str] = {
    "hold": "Hold ends",
    "ship_by": "Late from",
    "cancel_warning": "Seller is warned",
    "shipment_unconfirmed": "Canceled if unconfirmed",
    "pending_too_long": "Stuck if still pending",
    "cancel_unanswered": "Stuck without an answer",
    "package_lost": "Package counts as lost",
    "return_overdue": "Return overdue",
    "archive": "Archived",
    "verification": "Payment refused if unverified",
    "provider_answer": "Stuck without the provider's answer",
    "parked": "What waits is given up",
}


class TimelineLine(NamedTuple):
    """One fact on the page; `nth` counts them, `cause_nth` is the cause's, 0 where it has none
    here; `person` is who led to it on these pages, or by the command line.
    """

    nth: int
    time_ms: int
    words: str
    type: str
    service: str
    late: str
    cause_nth: int
    cause: str
    by: str
    person: str
    partition: int
    topic: str
    offset: int


class Amount(NamedTuple):
    """What one payment came to, in minor units of its currency; `*_asked` are all that the provider
    was asked for, done or not.
    """

    payment_id: str
    currency: str
    authorized: int = 0
    captured: int = 0
    capture_asked: int = 0
    void_asked: int = 0
    voided: int = 0
    refund_asked: int = 0
    refunded: int = 0

    @property
    def held(self) -> int:
        """Authorised, neither captured nor given back."""
        return max(self.authorized - self.captured - self.voided, 0)

    @property
    def capturing(self) -> int:
        """Asked to be captured, and still to come."""
        return max(min(self.capture_asked - self.captured, self.held), 0)

    @property
    def going_back(self) -> int:
        """Asked to be voided or refunded, and still to go."""
        voids = min(self.void_asked - self.voided, self.held)
        refunds = min(self.refund_asked - self.refunded, self.captured - self.refunded)
        return max(voids, 0) + max(refunds, 0)


class NoticeTold(NamedTuple):
    """A notice that somebody was told, the last one of its kind."""

    kind: str
    occurrence: int
    recipient: str


class Waiting(NamedTuple):
    """A deadline that is open."""

    name: str
    due_ms: int
    by: str


async def order(request: Request) -> Response:
    """The page of an order; of an id that no order has, what was refused of it."""
    return await order_page(request, request.path_params["order_id"])


async def order_page(
    request: Request,
    order_id: str,
    acted: str = "",
    typed: Form = NOTHING,
    problems: Mapping[str, str] = NOTHING,
) -> Response:
    """The page, with the form of what was tried, as it was `typed`, and its problems by field."""
    parts = parts_of(request)
    view = await parts.views.view(order_id)
    if view is None or view.kind != "order":
        return not_found(request, f"There is no order {order_id}, and nothing was asked of one.")
    partition = partition_of(order_id, parts.views.partitions)
    revealed = request.query_params.get("show") == "personal"
    return page(
        request,
        "order.html",
        live=(f"order {order_id}",) if not acted else (),
        status_code=422 if acted else 200,
        order_id=order_id,
        order=view.order,
        hidden=view.order is not None and is_hidden(view.order),
        people=people(view.order, masked=not revealed) if view.order else {},
        revealed=revealed,
        timeline=timeline(view, partition, geared=parts.clock.timeline.geared),
        left_out=max(view.told - len(view.timeline), 0),
        left_out_after=KEPT_FIRST if view.told > MAX_TIMELINE else 0,
        waiting=waiting(view),
        payments=payments(view.timeline),
        stuck=[reason(each) for each in stuck_reasons(view)],
        letters=letters_about(parts.index, order_id),
        to_ms=to_ms,
        acted=acted,
        typed=typed,
        problems=problems,
        sent=request.query_params.get("sent") in ACTS,
        **_acts(request, view, typed, revealed=revealed),
    )


def letters_about(index: Index, order_id: str) -> Sequence[Any]:
    """The dead letters whose record has an order's id as its key, the newest first."""
    return index.ask(
        "SELECT * FROM letters_now WHERE subject = :order_id ORDER BY kept_ms DESC LIMIT :most",
        order_id=order_id,
        most=MAX_LETTERS,
    )


def _acts(request: Request, view: View, typed: Form, *, revealed: bool) -> dict[str, Any]:
    """What the forms are made with; a form that was tried keeps its key."""
    order_ = view.order
    if order_ is None or not session_of(request).who.operates:
        return {"acts": ()}
    parts = parts_of(request)
    calendar = parts.policies.of(order_.marketplace_id).calendar
    return {
        "acts": offered(order_, parts.now),
        "key": typed.get("key") or fresh_token(),
        "next_reference": next_reference(order_),
        "today": calendar.local_date(parts.now).isoformat(),
        "carriers": CARRIERS,
        "cancel_reasons": CANCEL_REASONS,
        "notices": notices_told(view.timeline),
        "address": order_.ship_address if revealed else None,
    }


def is_hidden(order_: Order | None) -> bool:
    """R3: address, contact and prices are not the seller's before it has left Pending."""
    return order_ is None or order_.ship_window is None


def _unpriced(entry: Entry) -> Entry:
    said = {**entry.said, "amount": show.MASK} if "amount" in entry.said else entry.said
    return entry._replace(said=said)


def people(order_: Order, *, masked: bool) -> dict[str, list[str]]:
    """Buyer and address, masked or not; nothing of them while they are hidden."""
    if is_hidden(order_):
        return {}
    lines = {"Buyer": show.buyer_lines(order_.buyer, masked=masked)}
    if order_.ship_address:
        lines["Ships to"] = show.address_lines(order_.ship_address, masked=masked)
    return lines


def timeline(view: View, partition: int, *, geared: bool = False) -> list[TimelineLine]:
    """All facts, as they came about. In a `geared` clock's time milliseconds on the way are hours:
    how late a fact came says nothing.
    """
    entries = [_unpriced(e) for e in view.timeline] if is_hidden(view.order) else view.timeline
    ordered = in_order(entries)
    place = {entry.id: nth for nth, entry in enumerate(ordered, 1)}
    lines = [_line(nth, entry, place, partition) for nth, entry in enumerate(ordered, 1)]
    return [line._replace(late="") for line in lines] if geared else lines


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """By time, as far as nothing comes before what it came of.

    That is its cause, and what lies before it on its topic, since a publisher counts its facts. A
    deadline is over at its own time, however late it was armed: it follows the last fact of its
    publisher before its effect, or, without one, the first.
    """
    by_id = {entry.id: entry for entry in entries}
    journals: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda each: each.offset):
        journals.setdefault(entry.topic, []).append(entry)
    came_of: CameOf = {_record(entry): set() for entry in entries}
    for entry in entries:
        if cause := by_id.get(entry.cause):
            came_of[_record(entry)].add(_record(cause))
    for journal in journals.values():
        for earlier, later in pairwise(journal):
            came_of[_record(later)].add(_record(earlier))
    for entry in journals.get(DEADLINES_EVENTS.name, ()):
        journal = journals.get(f"{entry.said.get('publisher')}.events", [])
        effect = next((n for n, each in enumerate(journal) if each.cause == entry.id), 1)
        came_of[_record(entry)].update(map(_record, journal[:effect][-1:]))
    return _first_things_first({_record(entry): entry for entry in entries}, came_of)


RecordAt = tuple[str, int]
"""Where an entry's record lies: its topic and offset; an order's are on one partition."""
CameOf = dict[RecordAt, set[RecordAt]]


def _record(entry: Entry) -> RecordAt:
    return entry.topic, entry.offset


def _first_things_first(entries: Mapping[RecordAt, Entry], came_of: CameOf) -> list[Entry]:
    """Each entry once all that it came of is there, of those the earliest; what goes in a circle,
    by time.
    """
    left = {at: set(causes) for at, causes in came_of.items()}
    leads_to: dict[RecordAt, list[RecordAt]] = {}
    for at, causes in came_of.items():
        for cause in causes:
            leads_to.setdefault(cause, []).append(at)
    ready = [place_in_time(entries[at]) for at, causes in left.items() if not causes]
    heapify(ready)
    ordered: list[Entry] = []
    while left:
        _, topic, offset = heappop(ready) if ready else min(place_in_time(entries[a]) for a in left)
        at = topic, offset
        if left.pop(at, None) is None:
            continue
        ordered.append(entries[at])
        for effect in leads_to.get(at, ()):
            if effect in left:
                left[effect].discard(at)
                if not left[effect]:
                    heappush(ready, place_in_time(entries[effect]))
    return ordered


def _line(nth: int, entry: Entry, place: Mapping[str, int], partition: int) -> TimelineLine:
    late = show.lasting(entry.late_ms) if entry.late_ms >= LATE_SHOWN_MS else ""
    cause_nth = place.get(entry.cause, 0)
    nowhere = cause_nth or entry.topic == DEADLINES_EVENTS.name  # its cause is a ledger's line
    return TimelineLine(
        nth=nth,
        time_ms=entry.time_ms,
        words=words_of(entry),
        type=entry.type,
        service=entry.topic.partition(".")[0],
        late=late,
        cause_nth=cause_nth,
        cause="" if nowhere else entry.cause,
        by=entry.cause_source,
        person=person_of(entry.cause_source),
        partition=partition,
        topic=entry.topic,
        offset=entry.offset,
    )


def waiting(view: View) -> list[Waiting]:
    """The deadlines that are open, the next one first."""
    found = [
        Waiting(DEADLINE_NAMES.get(each.kind, reason(each.kind)), to_ms(each.due), by)
        for by, all_ in view.waits.items()
        for each in all_
    ]
    return sorted(found, key=lambda each: each.due_ms)


def payments(entries: Sequence[Entry]) -> list[Amount]:
    """What came of each payment, what went back and what is still to, as its facts say."""
    found: dict[str, Amount] = {}
    for entry in entries:
        amount, payment_id = entry.said.get("amount"), entry.said.get("payment_id")
        if isinstance(amount, dict) and payment_id:
            known = found.get(payment_id) or Amount(payment_id, amount["currency"])
            if column := _column(entry, known):
                sum_ = getattr(known, column) + amount["amount_minor"]
                found[payment_id] = known._replace(**{column: sum_})
    return list(found.values())


def _column(entry: Entry, known: Amount) -> str:
    """Which sum an entry adds to. What was reversed was refunded where it had been captured."""
    how = str(entry.said.get("how", ""))
    reversed_as = "refunded" if known.captured else "voided"
    columns = {
        PaymentApproved.TYPE: "captured" if entry.said.get("captured") else "authorized",
        MoneyArrived.TYPE: how,
        MoneyReturned.TYPE: {"lapsed": "voided", "reversed": reversed_as}.get(how, how),
        CaptureRequested.TYPE: "capture_asked",
        VoidRequested.TYPE: "void_asked",
        RefundRequested.TYPE: "refund_asked",
    }
    return columns.get(entry.type, "")


def notices_told(entries: Sequence[Entry]) -> list[NoticeTold]:
    """Of each kind of notice the last one, the latest first."""
    found: dict[str, NoticeTold] = {}
    for entry in entries:
        if entry.type == NoticeRequested.TYPE:
            told = NoticeTold(*(entry.said[name] for name in NoticeTold._fields))
            found.pop(told.kind, None)
            found[told.kind] = told
    return [*reversed(found.values())]
