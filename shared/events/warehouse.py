"""What warehouses publish on `stock`. `subject` is `SELLER/SKU` (see `stock_subject`)."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.events.envelope import About, Fact, Topic
from shared.events.fields import MAX_STOCK, OptionalText, SellerId, Sku, Text


def stock_subject(seller_id: str, sku: str) -> str:
    """The subject and record key of everything about one seller's SKU."""
    return f"{seller_id}/{sku}"


class StockFact(Fact):
    """A fact about one seller's SKU."""

    seller_id: SellerId
    sku: Sku

    def about(self) -> About:
        return About(stock_subject(self.seller_id, self.sku))


StockUnits = Annotated[int, Field(ge=1, le=MAX_STOCK)]


class StockSet(StockFact):
    """The units on hand were counted: this many, those held for orders included."""

    TYPE: ClassVar[str] = "stock.set.v1"

    on_hand: Annotated[int, Field(ge=0, le=MAX_STOCK)]


class StockAdjusted(StockFact):
    """Units came in (positive) or went out (negative) by another way than an order."""

    TYPE: ClassVar[str] = "stock.adjusted.v1"

    change: Annotated[int, Field(ge=-MAX_STOCK, le=MAX_STOCK)]
    reason: OptionalText = ""


class StockRestocked(StockFact):
    """Units came in from a supplier."""

    TYPE: ClassVar[str] = "stock.restocked.v1"

    units: StockUnits


class StockDamaged(StockFact):
    """Units that no order holds can not be sold any more, and are gone."""

    TYPE: ClassVar[str] = "stock.damaged.v1"

    units: StockUnits
    reason: Text


STOCK = Topic(
    name="stock", facts=(StockSet, StockAdjusted, StockRestocked, StockDamaged), owner="inventory"
)
