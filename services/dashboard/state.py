"""What is shown of one subject: an order with its timeline, a SKU's level, a dead letter."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from shared.clock import from_ms
from shared.documents import State
from shared.events.envelope import Fact, OpenDeadline
from shared.events.fields import Instant, Model, SellerId, Sku
from shared.events.fulfillment import Order

MAX_TIMELINE = 400
"""Facts of one order: one that is late for its whole month has some 300. Of more, the first ones
and the last ones are kept, and how many lie between."""
KEPT_FIRST = 50
MAX_CHANGES = 100
"""Changes of one SKU's level that are shown, the last ones."""
MAX_HANDLED = 20
"""What people did with one dead letter, the last of it: it is replayed once, or a few times."""

MAX_GAPS = 100
"""Runs of versions of one SKU that are waited for: of more, records are missing for good, and the
first ones are given up."""

Kind = Literal["order", "stock", "letter"]


class Entry(NamedTuple):
    """One fact of a timeline; stored as an array, since an order has some thirty.

    `late_ms` is how long after its time it reached the log, in business time; `id` and `cause` are
    an event's id, of ours its first 8 characters; `cause_source` is the cause's, of one from
    outside; `said` are those of its members that say what happened, and name nobody.
    """

    type: str
    time_ms: int
    late_ms: int
    topic: str
    offset: int
    id: str
    cause: str
    cause_source: str
    said: dict[str, Any]


class Change(NamedTuple):
    """One change of a SKU's level, and the level after it."""

    version: int
    time_ms: int
    on_hand_change: int
    reserved_change: int
    on_hand: int
    reserved: int
    cause: str
    cause_source: str


class Gap(NamedTuple):
    """Versions of a level that were not seen, the first and the last of them."""

    first: int
    last: int


class Level(Model):
    """A SKU's units now, at its highest `version`.

    Several partitions change the stock of a SKU, each tells it when it comes to it, and so a change
    may overtake others: `gaps` are the versions between that are still to come. `opening_*` are the
    units before the `first` version that was seen, `changed_*` what all that were seen add up to;
    `missed` versions are waited for no more.
    """

    seller_id: SellerId
    sku: Sku
    version: int
    on_hand: int
    available: int
    reserved: int
    changed_at: Instant
    first: int
    opening_on_hand: int
    opening_reserved: int
    changed_on_hand: int
    changed_reserved: int
    gaps: Annotated[tuple[Gap, ...], Field(max_length=MAX_GAPS)] = ()
    missed: int = 0
    changes: Annotated[tuple[Change, ...], Field(max_length=MAX_CHANGES)] = ()

    @property
    def unseen(self) -> int:
        """How many changes since the first one were not seen."""
        return self.missed + sum(gap.last - gap.first + 1 for gap in self.gaps)

    @property
    def adds_up(self) -> bool | None:
        """P1: units are available or reserved, none of both below zero, and the changes make them;
        None where changes were not seen.
        """
        units = self.on_hand == self.available + self.reserved
        if not units or min(self.on_hand, self.available, self.reserved) < 0:
            return False
        if self.unseen:
            return None
        return (self.on_hand, self.reserved) == (
            self.opening_on_hand + self.changed_on_hand,
            self.opening_reserved + self.changed_reserved,
        )

    def has_seen(self, version: int) -> bool:
        """Whether a version is in it, or waited for no more."""
        between = self.first <= version <= self.version
        return between and not any(gap.first <= version <= gap.last for gap in self.gaps)


class Letter(Model):
    """A dead letter; its record lies in the topic of dead letters, at `offset`."""

    origin: str
    service: str
    reason: str
    field: str = ""
    detail: str = ""
    subject: str = ""
    offset: int
    size_bytes: int
    kept_at: Instant


class Handled(NamedTuple):
    """What somebody did with a dead letter, told by a record of `dashboard.events`.

    `source` is where he did it and his name; `copy_at` is where the copy lies that was sent.
    """

    what: Literal["replayed", "edited", "discarded"]
    source: str
    time_ms: int
    offset: int
    copy_at: str = ""
    reason: str = ""
    record_key: str = ""


class View(State):
    """What is shown of one subject, of the kind that it is.

    `waits` are an order's open deadlines by who waits; `told` counts its facts, of which `timeline`
    has the first and the last ones. A letter's record lies on its origin's partition, what was done
    with it on its subject's: there are two views of it where these differ.
    """

    kind: Kind
    order: Order | None = None
    waits: Mapping[str, tuple[OpenDeadline, ...]] = {}
    timeline: Annotated[tuple[Entry, ...], Field(max_length=MAX_TIMELINE)] = ()
    told: int = 0
    level: Level | None = None
    letter: Letter | None = None
    handled: Annotated[tuple[Handled, ...], Field(max_length=MAX_HANDLED)] = ()

    @property
    def lingers(self) -> bool:
        """Of an archived order, an unknown one and a dead letter nothing has to stay for ever."""
        if self.kind == "stock":
            return False
        return self.order is None or self.order.archived_at is not None


class FactShown(Fact):
    """A fact about an order. Like the others here, it changes the view and goes nowhere."""

    TYPE: ClassVar[str] = "dashboard.fact_shown.v1"

    publisher: str
    entry: Entry
    order: Order | None = None
    waits: tuple[OpenDeadline, ...] | None = None


class LevelShown(Fact):
    """A SKU's level after a change."""

    TYPE: ClassVar[str] = "dashboard.level_shown.v1"

    seller_id: SellerId
    sku: Sku
    available: int
    change: Change


class LetterShown(Fact):
    """A dead letter was kept."""

    TYPE: ClassVar[str] = "dashboard.letter_shown.v1"

    letter: Letter


class HandledShown(Fact):
    """Somebody has done something with a dead letter."""

    TYPE: ClassVar[str] = "dashboard.handled_shown.v1"

    handled: Handled


def evolve(state: View | None, fact: Fact, _time: datetime) -> View:
    """The view after a fact."""
    match fact:
        case FactShown():
            return _with_entry(state or View(kind="order"), fact)
        case LevelShown():
            level = _level(state.level if state else None, fact)
            return View(kind="stock", level=level)
        case LetterShown():
            known = state or View(kind="letter")
            return known.model_copy(update={"letter": fact.letter})
        case HandledShown():
            known = state or View(kind="letter")
            handled = sorted((*known.handled, fact.handled), key=lambda e: (e.time_ms, e.offset))
            return known.model_copy(update={"handled": tuple(handled[-MAX_HANDLED:])})
    raise TypeError(f"{fact.TYPE} is no fact of dashboard")


def place_in_time(entry: Entry) -> tuple[int, str, int]:
    """Sorts facts by their time; which topic was read first makes no difference."""
    return entry.time_ms, entry.topic, entry.offset


def _with_entry(view: View, fact: FactShown) -> View:
    timeline = tuple(sorted((*view.timeline, fact.entry), key=place_in_time))
    if len(timeline) > MAX_TIMELINE:
        timeline = timeline[:KEPT_FIRST] + timeline[KEPT_FIRST + 1 :]
    changes: dict[str, Any] = {"timeline": timeline, "told": view.told + 1}
    if fact.order is not None:
        changes["order"] = fact.order
    if fact.waits is not None:
        waits = {**view.waits, fact.publisher: fact.waits}
        changes["waits"] = {name: open_ for name, open_ in waits.items() if open_}
    return view.model_copy(update=changes)


def _level(known: Level | None, fact: LevelShown) -> Level:
    """The level with one change more; the same whichever of some changes comes first."""
    change = fact.change
    level = known or _before(fact)
    update: dict[str, Any] = {
        "changed_on_hand": level.changed_on_hand + change.on_hand_change,
        "changed_reserved": level.changed_reserved + change.reserved_change,
        "changes": tuple(sorted((*level.changes, change)))[-MAX_CHANGES:],
        **_without(level, change.version),
    }
    if change.version > level.version:
        update |= {
            "version": change.version,
            "on_hand": change.on_hand,
            "available": fact.available,
            "reserved": change.reserved,
            "changed_at": from_ms(change.time_ms),
        }
    if change.version <= level.first:
        update |= {
            "first": change.version,
            "opening_on_hand": change.on_hand - change.on_hand_change,
            "opening_reserved": change.reserved - change.reserved_change,
        }
    return level.model_copy(update=update)


def _without(level: Level, version: int) -> dict[str, Any]:
    """What is still to come, once a version came: within a gap, or beyond an end."""
    gaps = [*level.gaps, Gap(level.version + 1, version - 1), Gap(version + 1, level.first - 1)]
    split = [
        part
        for gap in gaps
        for part in (
            [Gap(gap.first, version - 1), Gap(version + 1, gap.last)]
            if gap.first <= version <= gap.last
            else [gap]
        )
    ]
    left = sorted(gap for gap in split if gap.first <= gap.last)
    given_up = left[: max(len(left) - MAX_GAPS, 0)]
    missed = sum(gap.last - gap.first + 1 for gap in given_up)
    return {"gaps": tuple(left[len(given_up) :]), "missed": level.missed + missed}


def _before(fact: LevelShown) -> Level:
    """The level before the first change that is seen: of its version, and with none of it."""
    change = fact.change
    return Level(
        seller_id=fact.seller_id,
        sku=fact.sku,
        version=change.version - 1,
        first=change.version,
        on_hand=0,
        available=0,
        reserved=0,
        changed_at=from_ms(change.time_ms),
        opening_on_hand=0,
        opening_reserved=0,
        changed_on_hand=0,
        changed_reserved=0,
    )
