"""P5: nothing ends early, and how late it ended is measured."""

from collections.abc import Mapping

from shared.books.result import Draft
from shared.books.story import Entry, Story, ms_of
from shared.clock import Timeline
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.fulfillment import (
    ARCHIVE,
    CANCEL_WARNING,
    FULFILLMENT_EVENTS,
    HOLD,
    SHIP_BY,
    SHIPMENT_UNCONFIRMED,
    CancelWarned,
    ConditionMet,
    OpenUnitsCanceled,
    OrderArchived,
    OrderCanceled,
    OrderHeld,
    OrderStuck,
    OrderUnshipped,
    ShipmentLate,
)
from shared.events.payment import PAYMENT_EVENTS, VERIFICATION, PaymentRefused

Deadline = tuple[str, str, str]
"""Publisher, kind and due, as facts write them."""


class Lateness:
    """How late deadlines were announced, in wall ms, over all partitions."""

    def __init__(self) -> None:
        self._late_ms: list[int] = []

    def add(self, late_ms: int) -> None:
        self._late_ms.append(max(late_ms, 0))

    def summary(self) -> dict[str, int]:
        """The lateness that half, 99 of 100 and all deadlines stayed within."""
        late = sorted(self._late_ms)
        if not late:
            return {}
        return {
            "late ms p50": late[len(late) // 2],
            "late ms p99": late[len(late) * 99 // 100],
            "late ms max": late[-1],
        }


def check_instants(story: Story, timeline: Timeline, lateness: Lateness, page: Draft) -> None:
    """P5: no deadline is announced, no hold ends, and nothing is decided by it, before it is due.

    Kafka's timestamps are the publishers' wall time: where machines' clocks differ from that of
    the clock's Redis, so do the lateness and, by as much, what counts as early.
    """
    reached = {entry.id: entry for entry in story.of(DEADLINES_EVENTS)}
    listed = _listed_at_ms(story)
    for entry in reached.values():
        page.count("deadlines reached")
        data = entry.data
        deadline = (data["publisher"], data["kind"], data["due"])
        _check_not_before(story, entry, data["due"], timeline, page)
        if deadline not in listed:
            page.violate(story.subject, f"{' '.join(deadline)} was reached, but never listed")
            continue
        due_ms = timeline.wall_ms(ms_of(data["due"]))
        if due_ms is not None:
            lateness.add(entry.at_ms - max(due_ms, listed[deadline]))
    _check_hold(story, timeline, page)
    for entry in (*story.of(FULFILLMENT_EVENTS), *story.of(PAYMENT_EVENTS)):
        _check_cause(story, entry, reached, page)


def _listed_at_ms(story: Story) -> dict[Deadline, int]:
    """When each deadline was first listed: what was over by then could not be said before."""
    found: dict[Deadline, int] = {}
    for topic in (FULFILLMENT_EVENTS, PAYMENT_EVENTS):
        for entry in story.of(topic):
            for listed in entry.data.get("deadlines", ()):
                deadline = (str(topic.publisher), listed["kind"], listed["due"])
                found.setdefault(deadline, entry.at_ms)
    return found


def _check_hold(story: Story, timeline: Timeline, page: Draft) -> None:
    """R2, R9: an order is not released before its hold is over."""
    held = story.of(FULFILLMENT_EVENTS, OrderHeld.TYPE)
    for entry in story.of(FULFILLMENT_EVENTS, OrderUnshipped.TYPE) if held else ():
        page.count("holds ended")
        _check_not_before(story, entry, held[0].data["hold_ends"], timeline, page)


def _check_not_before(
    story: Story, entry: Entry, due: str, timeline: Timeline, page: Draft
) -> None:
    early_ms = ms_of(due) - timeline.business_ms(entry.at_ms)
    if early_ms > 0:
        page.violate(story.subject, f"{entry.type} came {early_ms} ms before {due}")


def _check_cause(story: Story, entry: Entry, reached: Mapping[str, Entry], page: Draft) -> None:
    """What only time brings about was brought about by a deadline of that kind."""
    kind = _kind_needed(entry)
    cause = reached.get(entry.cause or "")
    if kind and (cause is None or cause.data["kind"] != kind):
        page.violate(story.subject, f"{entry.type} came without its deadline {kind}")


def _kind_needed(entry: Entry) -> str | None:
    match entry.type:
        case OrderUnshipped.TYPE | ConditionMet.TYPE:
            return HOLD if entry.data["condition"] == HOLD else None
        case ShipmentLate.TYPE:
            return SHIP_BY
        case CancelWarned.TYPE:
            return CANCEL_WARNING
        case OrderStuck.TYPE:
            return str(entry.data["stuck"]["reason"])
        case OrderArchived.TYPE:
            return ARCHIVE
        case OrderCanceled.TYPE | OpenUnitsCanceled.TYPE:
            unconfirmed = entry.data["cancellation"]["reason"] == "shipment_unconfirmed"
            return SHIPMENT_UNCONFIRMED if unconfirmed else None
        case PaymentRefused.TYPE:
            return VERIFICATION if entry.data["reason"] == "payment_timeout" else None
    return None
