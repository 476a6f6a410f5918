"""P1: of every SKU, what came in is what went out, what is held and what is there.

What an order returned comes in again where it is sellable (R17).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from shared.books.result import Draft
from shared.books.story import Entry, Json, Story
from shared.events.fulfillment import FULFILLMENT_EVENTS, UnitsReturned
from shared.events.inventory import (
    INVENTORY_EVENTS,
    STOCK_LEVELS,
    StockDepleted,
    StockLevelChanged,
    StockRefused,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from shared.events.warehouse import (
    STOCK,
    StockDamaged,
    StockRestocked,
    StockSet,
    stock_subject,
)


class StoredLevel(Protocol):
    """The units of one SKU, as inventory's Redis holds them."""

    @property
    def seller_id(self) -> str: ...
    @property
    def sku(self) -> str: ...
    @property
    def on_hand(self) -> int: ...
    @property
    def reserved(self) -> int: ...
    @property
    def version(self) -> int: ...


class StoredHolding(Protocol):
    """The units per SKU that an order holds, as inventory's Redis holds them."""

    @property
    def seller_id(self) -> str: ...
    @property
    def order_id(self) -> str: ...
    @property
    def units(self) -> Mapping[str, int]: ...


class Level(NamedTuple):
    """A SKU's units after so many changes."""

    on_hand: int = 0
    reserved: int = 0
    version: int = 0

    def __str__(self) -> str:
        return f"on hand {self.on_hand}, reserved {self.reserved}, version {self.version}"


class StockBook:
    """Every SKU's levels, and what orders did to them; levels and orders meet over partitions.

    `levels` and `holdings` are what Redis holds.
    """

    def __init__(
        self, levels: Iterable[StoredLevel], holdings: Iterable[StoredHolding], page: Draft
    ) -> None:
        self._page = page
        self._stored = {
            stock_subject(level.seller_id, level.sku): Level(
                level.on_hand, level.reserved, level.version
            )
            for level in levels
        }
        self._holdings: dict[str, Counter[str]] = {}
        for holding in holdings:
            units = self._holdings.setdefault(holding.order_id, Counter())
            units.update({stock_subject(holding.seller_id, s): n for s, n in holding.units.items()})
        self._levels: dict[str, Level] = {}
        self._supplied: Counter[str] = Counter()
        self._shipped: Counter[str] = Counter()
        self._restocked: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        self._written_off: Counter[str] = Counter()

    def take_sku(self, story: Story) -> None:
        """Replay a SKU's levels; count what the warehouse supplied."""
        changes = story.of(STOCK_LEVELS, StockLevelChanged.TYPE, StockDepleted.TYPE)
        refused = len(story.of(STOCK_LEVELS, StockRefused.TYPE))
        self._page.count("stock commands refused", refused)
        if not changes:
            return
        changes = sorted(changes, key=lambda entry: entry.data["level_version"])
        levels = [self._checked_level(story, entry) for entry in changes]
        self._page.count("levels", len(levels))
        versions = {level.version for level in levels}
        if len(versions) < len(levels):
            self._violate(story.subject, "one of its versions is told of two events")
        # A version may be missing, where Redis lost a change before it was told, and an event may
        # be told twice, where Redis lost what was told in part: its last change counts.
        counted = {(entry.cause_source, entry.cause): entry for entry in changes}
        missing = levels[-1].version - len(versions)
        self._page.count("levels that were never told", missing)
        if not missing and len(counted) == len(changes):
            self._check_steps(story, changes)
        on_hand, reserved = (
            sum(entry.data[change] for entry in counted.values())
            for change in ("on_hand_change", "reserved_change")
        )
        last = levels[-1]
        if (on_hand, reserved) != (last.on_hand, last.reserved):
            found = f"its changes come to on hand {on_hand}, reserved {reserved}"
            self._violate(story.subject, f"{found}, and it is told to be {last}")
        for command in story.of(STOCK):
            if change := counted.get((command.source, command.id)):
                self._supply(story, command, change)
        self._levels[story.subject] = last

    def _check_steps(self, story: Story, changes: Sequence[Entry]) -> None:
        """Where Redis has lost nothing, each level is the one before it and its own change."""
        before = Level()
        for entry in changes:
            level, data = _level(entry), entry.data
            step = (
                before.on_hand + data["on_hand_change"],
                before.reserved + data["reserved_change"],
            )
            if step != (level.on_hand, level.reserved):
                change = f"by {data['on_hand_change']} and {data['reserved_change']}"
                self._violate(story.subject, f"was {before}, changed {change}, is {level}")
            before = level

    def take_order(self, story: Story) -> None:
        """Count what an order holds and has shipped, by fulfillment, inventory and its Redis."""
        held = self._held(story)
        open_: Counter[str] = Counter()
        order = story.order()
        seller_id = order["seller_id"] if order is not None else ""
        for line in order["items"] if order is not None else ():
            subject = stock_subject(seller_id, line["sku"])
            self._shipped[subject] += line["quantity_shipped"]
            if _holds(order):
                canceled, shipped = line["quantity_canceled"], line["quantity_shipped"]
                open_[subject] += line["quantity"] - shipped - canceled
        self._take_returns(story, order)
        self._open += open_
        if +open_ != +held:
            found = f"{dict(+open_)} are open, inventory holds {dict(+held)}"
            self._violate(story.subject, f"of what it ordered {found}")
        stored = self._holdings.pop(story.subject, Counter())
        if stored != +held:
            found = f"Redis holds {dict(stored)} for it, inventory's facts {dict(+held)}"
            self._violate(story.subject, found)

    def _take_returns(self, story: Story, order: Json | None) -> None:
        """R17: each unit came back of those that had shipped, and inventory counted it alike."""
        returned, shipped = Counter[str](), Counter[str]()
        for line in order["items"] if order is not None else ():
            returned[line["order_item_id"]] = line["quantity_returned"]
            shipped[line["order_item_id"]] = line["quantity_shipped"]
        told, back = Counter[str](), Counter[tuple[str, str]]()
        for entry in story.of(FULFILLMENT_EVENTS, UnitsReturned.TYPE):
            for item in entry.data["items"]:
                told[item["order_item_id"]] += item["quantity"]
            back.update(_came_back(entry.data))
        counted = Counter[tuple[str, str]]()
        for entry in story.of(INVENTORY_EVENTS, StockReturned.TYPE):
            counted.update(_came_back(entry.data))
        if told != +returned or returned - shipped:
            found = f"{dict(told)} came back by its facts, {dict(+returned)} of {dict(shipped)}"
            self._violate(story.subject, f"{found} shipped by its lines")
        if back != counted:
            found = f"{dict(back)} came back, inventory counted {dict(counted)}"
            self._violate(story.subject, found)
        for (condition, subject), units in back.items():
            self._page.count(f"units returned {condition}", units)
            self._restocked[subject] += units * (condition == "sellable")

    def balance(self) -> None:
        """P1, SKU by SKU: on hand = available + reserved, and what came in less what went out."""
        for order_id, units in self._holdings.items():
            self._violate(order_id, f"Redis holds {dict(units)} for an order that nobody knows")
        known = self._levels.keys() | self._stored.keys() | self._open.keys()
        for subject in sorted(known):
            self._balance(subject)

    def _balance(self, subject: str) -> None:
        level, stored = self._levels.get(subject, Level()), self._stored.get(subject, Level())
        supplied, shipped = self._supplied[subject], self._shipped[subject]
        written_off, open_ = self._written_off[subject], self._open[subject]
        back = self._restocked[subject]
        if level != stored:
            self._violate(subject, f"is {stored} in Redis; {level} by its facts")
        if supplied - shipped + back - written_off != level.on_hand:
            sums = f"{supplied} supplied, {shipped} shipped, {back} back, {written_off} written off"
            self._violate(subject, f"{sums}, but on hand {level.on_hand}")
        if open_ != level.reserved:
            self._violate(subject, f"orders hold {open_} units, reserved are {level.reserved}")
        if shipped + open_ > supplied + back:
            sold = f"{shipped + open_} units sold of {supplied} supplied"
            self._violate(subject, f"{sold} and {back} that came back")
        self._page.count("SKUs")
        self._page.count("units supplied", supplied)
        self._page.count("units sold", shipped + open_)
        self._page.count("units shipped", shipped)
        self._page.count("units written off", written_off)
        self._page.count("units reserved", level.reserved)
        self._page.count("units available", level.on_hand - level.reserved)

    def _checked_level(self, story: Story, entry: Entry) -> Level:
        data = entry.data
        on_hand, available, reserved = data["on_hand"], data["available"], data["reserved"]
        level = _level(entry)
        if on_hand != available + reserved or min(on_hand, available, reserved) < 0:
            self._violate(story.subject, f"available is {available}, with {level}")
        if entry.type == StockDepleted.TYPE and available:
            self._violate(story.subject, f"was told to be depleted with {available} available")
        return level

    def _supply(self, story: Story, command: Entry, told: Entry) -> None:
        """A count sets what is on hand, the rest changes it, by exactly as much as it said."""
        change, level = told.data["on_hand_change"], _level(told)
        self._supplied[story.subject] += change
        wanted = _wanted(command, level.on_hand - change)
        if change != wanted or told.data["reserved_change"]:
            found = f"changed on hand by {change} to {level}"
            self._violate(story.subject, f"{command.type} {command.id} {found}")

    def _held(self, story: Story) -> Counter[str]:
        """What inventory's facts say that the order holds."""
        held: Counter[str] = Counter()
        for entry in story.of(INVENTORY_EVENTS):
            data = entry.data
            match entry.type:
                case StockReserved.TYPE:
                    held.update(_units(data))
                case StockReleased.TYPE:
                    held.subtract(_units(data))
                    self._written_off.update(_units(data) if data["written_off"] else {})
                case StockShipped.TYPE:
                    for change in data["changes"]:
                        held[stock_subject(data["seller_id"], change["sku"])] -= change["change"]
        return held

    def _violate(self, subject: str, sentence: str) -> None:
        self._page.violate(subject, sentence)


def _level(entry: Entry) -> Level:
    data = entry.data
    return Level(data["on_hand"], data["reserved"], data["level_version"])


def _units(data: Json) -> Counter[str]:
    seller_id = data["seller_id"]
    return Counter({stock_subject(seller_id, u["sku"]): u["quantity"] for u in data["units"]})


def _wanted(command: Entry, before: int) -> int:
    """The change of what is on hand that a stock command asks for."""
    data = command.data
    match command.type:
        case StockSet.TYPE:
            change = data["on_hand"] - before
        case StockRestocked.TYPE:
            change = data["units"]
        case StockDamaged.TYPE:
            change = -data["units"]
        case _:
            change = data["change"]
    return int(change)


def _came_back(data: Json) -> Counter[tuple[str, str]]:
    """Units by condition and SKU."""
    return Counter(
        {
            (condition, stock_subject(data["seller_id"], units["sku"])): units["quantity"]
            for condition in ("sellable", "damaged")
            for units in data[condition]
        }
    )


def _holds(order: Json | None) -> bool:
    """An order holds its open units from its reservation until it is canceled."""
    return order is not None and "stock" not in order["waits_for"]
