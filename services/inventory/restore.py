"""Inventory's stock brought up to what was told, where its Redis has gone back (ADR 12).

What orders hold and what commands were answered comes from the journal, fact by fact. The levels
cross orders and partitions, and come from what was told of them, change by change: a told level
holds what others had asked before it and never told, and that is asked once more.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from services.inventory.store import (
    REMEMBER_COMMAND_MS,
    REMEMBER_ORDER_MS,
    command_key,
    flat,
    levels_key,
    order_key,
)
from shared.errors import RefusedStart, TransientError
from shared.events.envelope import Event
from shared.events.inventory import (
    STOCK_LEVELS,
    StockHeldByRival,
    StockLevelChanged,
    StockRejected,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from shared.events.parking import EventDecided
from shared.redis import Script
from shared.service import AskAll, Question, Told

MAX_AHEAD = 10_000
"""Changes of a SKU that are told before an earlier one, which is then taken for lost: far more than
are on their way to Kafka at a time."""
LEVELS_AT_ONCE = 500
"""Levels written in a trip: Redis answers other clients within some ms meanwhile."""

_RESTORE = Script(Path(__file__).with_name("stock_restore.lua"))

_Sku: TypeAlias = tuple[str, str]
"""The seller's id, and the SKU."""


def reapply(event: Event[Any]) -> Sequence[Question]:
    """Bring what orders hold, and the answers to stock commands, up to a fact of the journal."""
    fact, source, version = event.data, event.causationsource, event.causationversion
    cause = f"{source} {event.causationid}"
    match fact:
        case StockReserved():
            units = [(line.sku, line.quantity) for line in fact.units]
            return [_restore_order("placed", event, "reserved", cause, *flat(units))]
        case StockRejected():
            return [_restore_order("placed", event, "rejected", cause)]
        case StockHeldByRival(units=units) if version is None:
            held = [(line.sku, line.quantity) for line in units]
            return [_restore_order("placed", event, "reserved", cause, *flat(held))]
        case StockReleased() | StockHeldByRival() if version is not None:
            return [_restore_order("moved", event, "released", version)]
        case StockShipped() if version is not None:
            left = [part for c in fact.changes for part in (c.sku, -c.change, c.change)]
            return [_restore_order("moved", event, "shipped", version, *left)]
        case StockReturned() if version is not None:
            back = [*fact.sellable, *fact.damaged]
            came = [part for line in back for part in (line.sku, 0, -line.quantity)]
            return [_restore_order("moved", event, "returned", version, *came)]
        case EventDecided() if source is not None and version is None:
            seller_id, of_a_sku, sku = event.subject.partition("/")
            if of_a_sku:
                return [_restore("command", command_key(seller_id, cause, sku))]
    return ()


async def restore(told: AsyncIterator[Sequence[Told]], ask: AskAll) -> None:
    """Bring the levels up to the changes that were told beyond them (P1).

    Raises TransientError where somebody else changes one meanwhile: what is missing then is
    another sum. Raises RefusedStart where the changes come to what no stock can be.
    """
    missing: dict[_Sku, _Missing] = {}
    async for some in told:
        changes = [one for one in some if isinstance(one.event.data, StockLevelChanged)]
        new = list(dict.fromkeys(sku for one in changes if (sku := _sku(one)) not in missing))
        stored = await ask([_restore("stored", levels_key(seller), sku) for seller, sku in new])
        missing |= {sku: _Missing(level) for sku, level in zip(new, stored, strict=True)}
        for one in changes:
            missing[_sku(one)].take(one)
    behind = [(sku, level) for sku, level in missing.items() if level.is_behind]
    for of, level in behind:
        if level.restored()[1] < 0:
            raise RefusedStart(
                f"What {STOCK_LEVELS.name} tells of SKU {of[1]} of seller {of[0]} comes to"
                f" {level.restored()[1]} reserved units",
                "Let nobody but inventory write to it, and restore the topic",
            )
    for at in range(0, len(behind), LEVELS_AT_ONCE):
        written = [_write(sku, level) for sku, level in behind[at : at + LEVELS_AT_ONCE]]
        if not all(await ask(written)):
            raise TransientError("a stock level has changed while it was restored")


@dataclass(slots=True)
class _Missing:
    """What was told of a SKU beyond its `stored` level, "ON_HAND RESERVED VERSION".

    `on_hand` and `reserved` are sums of changes; `first` is the level with the lowest version, of
    those that were told after others which retention has deleted. `last` is the highest version, of
    what does not count, too: none is given twice. All up to `until` are taken, and some `ahead`.
    """

    stored: bytes
    on_hand: int = 0
    reserved: int = 0
    first: StockLevelChanged | None = None
    last: int = 0
    until: int = 0
    ahead: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.until = self.last = self._level[2]

    @property
    def is_behind(self) -> bool:
        return self.last > self._level[2]

    def take(self, told: Told) -> None:
        """Once per version, in any order: tasks publish side by side, and again after a crash."""
        level: StockLevelChanged = told.event.data
        version = level.level_version
        if version <= self.until or version in self.ahead:
            return
        self.last = max(self.last, version)
        if not told.counts:
            return  # it may be told again, under the same version
        self._pass(version)
        self.on_hand += level.on_hand_change
        self.reserved += level.reserved_change
        if told.trimmed and (self.first is None or version < self.first.level_version):
            self.first = level

    def restored(self) -> tuple[int, int, int]:
        """On hand, reserved, version."""
        on_hand, reserved, version = self._level
        first = self.first
        if not version and first is not None:
            on_hand = first.on_hand - first.on_hand_change
            reserved = first.reserved - first.reserved_change
        return on_hand + self.on_hand, reserved + self.reserved, self.last

    @property
    def _level(self) -> tuple[int, int, int]:
        on_hand, reserved, version = map(int, self.stored.split())
        return on_hand, reserved, version

    def _pass(self, version: int) -> None:
        self.ahead.add(version)
        if len(self.ahead) > MAX_AHEAD:
            self.until = min(self.ahead) - 1
        while self.until + 1 in self.ahead:
            self.until += 1
            self.ahead.remove(self.until)


def _sku(told: Told) -> _Sku:
    return told.event.data.seller_id, told.event.data.sku


def _write(sku: _Sku, missing: _Missing) -> Question:
    key, stored = levels_key(sku[0]), missing.stored.decode()
    return _restore("level", key, sku[1], stored, *missing.restored())


def _restore_order(operation: str, event: Event[Any], *args: str | int) -> Question:
    return _restore(operation, order_key(event.data.seller_id, event.subject), *args)


def _restore(operation: str, key: str, *args: str | int) -> Question:
    remember_ms = REMEMBER_COMMAND_MS if operation == "command" else REMEMBER_ORDER_MS
    return Question(_RESTORE, [key], [operation, remember_ms, *args], _as_it_is)


def _as_it_is(reply: Any) -> Any:
    return reply
