"""What a story is: given orders, when this happens to them, expect that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from services.cli.demo.script import Script
from shared.events.envelope import Fact
from shared.events.fields import NoticeKind
from shared.events.fulfillment import CancelReason, OrderStatus, Party

Types = tuple[type[Fact], ...]


class Canceled(NamedTuple):
    """Why, how long after the purchase to the millisecond, and who did it."""

    reason: CancelReason
    after: timedelta
    executed_by: Party = "MARKETPLACE"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an order is to come to.

    `life`, `stock` and `money` are the facts of fulfillment, inventory and payment about it, in
    their order, a repeated one named once. `notices` is how many of each kind were sent, all told.
    `moves` is how money moved at the payment provider, by its own ledger.
    """

    status: OrderStatus
    canceled: Canceled | None = None
    life: Types
    stock: Types
    money: Types
    notices: Mapping[NoticeKind, int] = field(default_factory=dict)
    moves: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Story:
    """Given `on_hand` units of one SKU and these orders, expect these outcomes, and `left` units
    for the next buyers.

    Where several orders race, each outcome is one's, whosever.
    """

    title: str
    rules: str
    on_hand: int
    left: int
    orders: tuple[Script, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def seller_id(self) -> str:
        return self.orders[0].seller_id

    @property
    def sku(self) -> str:
        return self.orders[0].lines[0].sku
