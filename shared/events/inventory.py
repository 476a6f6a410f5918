"""What inventory publishes: what orders hold, and what SKUs have."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.events.envelope import About, Fact, ServiceFact, Topic
from shared.events.fields import (
    MAX_ITEMS,
    MAX_LEVEL,
    MAX_UNITS,
    EventId,
    Model,
    SellerId,
    Sku,
    SkuQuantity,
    Version,
)
from shared.events.parking import TASK
from shared.events.warehouse import stock_subject

Units = Annotated[tuple[SkuQuantity, ...], Field(max_length=MAX_ITEMS)]
Level = Annotated[int, Field(ge=0, le=MAX_LEVEL)]
LevelOrOwed = Annotated[int, Field(ge=-MAX_LEVEL, le=MAX_LEVEL)]
"""Below zero only while Redis has lost units that came and are not counted again yet: orders hold
them already, and nothing is sold (docs/adr/0012-redis-is-disposable.md)."""
LevelChange = Annotated[int, Field(ge=-2 * MAX_LEVEL, le=2 * MAX_LEVEL)]


class SkuChange(Model):
    """A change of one SKU's units: positive or negative."""

    sku: Sku
    change: Annotated[int, Field(ge=-MAX_UNITS, le=MAX_UNITS)]


class LackingSku(Model):
    """A SKU of which an order wanted more than was available."""

    sku: Sku
    requested: Annotated[int, Field(ge=1, le=MAX_UNITS)]
    available: Level


class StockReserved(ServiceFact):
    """All units of the order were taken from what is available (R1)."""

    TYPE: ClassVar[str] = "stock.reserved.v1"

    seller_id: SellerId
    units: Units


class StockRejected(ServiceFact):
    """Nothing was reserved, because some SKU is unknown or has too few units (R4)."""

    TYPE: ClassVar[str] = "stock.rejected.v1"

    seller_id: SellerId
    lacking: Annotated[tuple[LackingSku, ...], Field(max_length=MAX_ITEMS)]


class StockReleased(ServiceFact):
    """What the order still held is available again, or, written off, gone (R18: NoInventory)."""

    TYPE: ClassVar[str] = "stock.released.v1"

    seller_id: SellerId
    units: Units
    written_off: bool = False


class StockShipped(ServiceFact):
    """Held units left the warehouse; an edited package may bring some back (negative)."""

    TYPE: ClassVar[str] = "stock.shipped.v1"

    seller_id: SellerId
    changes: Annotated[tuple[SkuChange, ...], Field(max_length=MAX_ITEMS)]


class StockReturned(ServiceFact):
    """Units of the order came back: the sellable ones are available again, the damaged ones were
    gone from what is on hand when they shipped (R17).
    """

    TYPE: ClassVar[str] = "stock.returned.v1"

    seller_id: SellerId
    sellable: Units = ()
    damaged: Units = ()


class StockHeldByRival(ServiceFact):
    """What another seller's order under this order's id holds of that seller's stock, until it is
    refused: nothing then. The order itself has no part in it (R25).
    """

    TYPE: ClassVar[str] = "stock.held_by_rival.v1"

    seller_id: SellerId
    units: Units = ()


class ReorderChecked(ServiceFact):
    """Whether the stock lasts to order the same again: nothing is lacking then (R19)."""

    TYPE: ClassVar[str] = "stock.reorder_checked.v1"

    seller_id: SellerId
    nth: Annotated[int, Field(ge=1)]
    lacking: Annotated[tuple[LackingSku, ...], Field(max_length=MAX_ITEMS)] = ()


class StockLevelChanged(Fact):
    """The units of one SKU now: absolute, so the highest version wins; and by how much its event
    changed them (P1).
    """

    TYPE: ClassVar[str] = "stock.level_changed.v1"

    seller_id: SellerId
    sku: Sku
    on_hand: LevelOrOwed
    available: LevelOrOwed
    reserved: Level
    on_hand_change: LevelChange
    reserved_change: LevelChange
    level_version: Version

    def about(self) -> About:
        return About(stock_subject(self.seller_id, self.sku), self.level_version)


class StockDepleted(StockLevelChanged):
    """The level changed, and nothing is available any more (R1)."""

    TYPE: ClassVar[str] = "stock.depleted.v1"


class StockRefused(Fact):
    """A count or an adjustment would leave fewer units on hand than orders hold, or more than a SKU
    may have; nothing changed.
    """

    TYPE: ClassVar[str] = "stock.refused.v1"

    seller_id: SellerId
    sku: Sku
    reason: Literal["below_reserved", "above_limit"]
    reserved: Level
    on_hand: LevelOrOwed
    command_id: EventId
    level_version: Annotated[int, Field(ge=0)]

    def about(self) -> About:
        return About(stock_subject(self.seller_id, self.sku), max(1, self.level_version))


INVENTORY_EVENTS = Topic(
    name="inventory.events",
    facts=(
        StockReserved,
        StockRejected,
        StockReleased,
        StockShipped,
        StockReturned,
        StockHeldByRival,
        ReorderChecked,
        *TASK,
    ),
    publisher="inventory",
)
STOCK_LEVELS = Topic(
    name="stock.levels",
    facts=(StockLevelChanged, StockDepleted, StockRefused),
    publisher="inventory",
)
