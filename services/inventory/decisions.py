"""What becomes of stock: R1, R4, R18, and the stock side of R11, R13, R14, R17 and R19.

The levels of SKUs cross orders, so the store's script changes them, when it is asked about an
event; what it answers is the same however often it is asked. The decision says that answer as
facts. There is one standing of an order per status (`state.py`), and none before it is known:

    event             order           answer      facts, each with the levels that changed
    OrderPlaced       not known       reserved    StockReserved
                                      rejected    StockRejected
                      known           reserved    none, only levels: its cancel came first, after a
                                                  lost worker had reserved
                      another's       reserved    StockHeldByRival, until it is refused (below)
                      any             closed      none: its cancel came first, and says so (below)
                                      taken       none: the order id has had its answer
    OrderCanceled,    not known       released    StockReleased of no units: the cancel came first,
    OpenUnitsCanceled                             and a reservation that comes later takes nothing
                      known           released    StockReleased of what it held, if anything
    PackageConfirmed  known           shipped     StockShipped
    UnitsReturned     known           returned    StockReturned; only the sellable units are on hand
    ReorderAsked      known           lasts       ReorderChecked: nothing is lacking
                                      lacking     ReorderChecked, with what is
    RequestRefused    another seller  released    StockHeldByRival of no units: what was reserved
                                                  under an id that was taken is back
    any of these      any             passed      none: said long ago
    StockSet,         -               counted     none, only the level
    StockRestocked,                   refused     StockRefused
    StockDamaged,
    StockAdjusted
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from services.inventory.state import OrderStock
from shared.events.envelope import Event, Fact
from shared.events.fields import SkuQuantity
from shared.events.fulfillment import (
    OpenUnitsCanceled,
    OrderCanceled,
    PackageConfirmed,
    ReorderAsked,
    RequestRefused,
    UnitsReturned,
)
from shared.events.inventory import (
    LackingSku,
    ReorderChecked,
    SkuChange,
    StockDepleted,
    StockHeldByRival,
    StockLevelChanged,
    StockRefused,
    StockRejected,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
    Units,
)
from shared.events.storefront import OrderPlaced
from shared.events.warehouse import StockAdjusted, StockDamaged, StockRestocked, StockSet
from shared.policy import Policies
from shared.service import Facts, Received

Outcome = Literal[
    "reserved",
    "rejected",
    "closed",
    "taken",
    "released",
    "shipped",
    "returned",
    "lasts",
    "lacking",
    "passed",
    "counted",
    "below_reserved",
    "above_limit",
    "impossible",
]


class Row(NamedTuple):
    """One SKU in an answer: the units that were asked for, its level after the answer, and by how
    much that changed it.

    `depleted` where this change left nothing available of what had been available.
    """

    sku: str
    units: int
    on_hand: int
    reserved: int
    version: int
    depleted: bool
    on_hand_change: int
    reserved_change: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class Answer(NamedTuple):
    """What the store answers about an event; the rows are in the order of their SKUs."""

    outcome: Outcome
    rows: tuple[Row, ...] = ()

    @property
    def units(self) -> Units:
        return tuple(SkuQuantity(sku=row.sku, quantity=row.units) for row in self.rows)

    @property
    def lacking(self) -> tuple[LackingSku, ...]:
        return tuple(
            LackingSku(sku=row.sku, requested=row.units, available=max(row.available, 0))
            for row in self.rows
        )


Rule = Callable[[OrderStock | None, Event[Any], Answer], Facts]


def decide(state: OrderStock | None, received: Received, _policies: Policies) -> Facts:
    """Say what the stock answered as facts.

    Raises ValueError where it could not do what an order's fact demands: the order's entry and its
    facts disagree, and a person has to look.
    """
    event = received.event
    (answer,) = received.answers or (None,)
    if answer is None or answer.outcome == "passed":
        return ()
    if answer.outcome == "impossible":
        (row,) = answer.rows
        raise ValueError(
            f"{event.type} of {event.subject}: {row.units} of SKU {row.sku} can not move, of which"
            f" {row.on_hand} are on hand and {row.reserved} reserved; see what its entry holds"
        )
    return RULES[type(event.data)](state, event, answer)


def _place(state: OrderStock | None, event: Event[OrderPlaced], answer: Answer) -> Facts:
    """R1, R4: all units of a placed order are taken, or none; an order id has one answer."""
    seller_id = event.data.seller_id
    match answer.outcome:
        case "reserved" if state is None:
            reserved = StockReserved(seller_id=seller_id, units=answer.units)
            return [reserved, *_levels(seller_id, answer)]
        case "reserved" if state and state.seller_id != seller_id:
            held = StockHeldByRival(seller_id=seller_id, units=answer.units)
            return [held, *_levels(seller_id, answer)]
        case "reserved":
            return _levels(seller_id, answer)
        case "rejected" if state is None:
            return [StockRejected(seller_id=seller_id, lacking=answer.lacking)]
    return ()


def _release(
    state: OrderStock | None, event: Event[OrderCanceled | OpenUnitsCanceled], answer: Answer
) -> Facts:
    """R13, R14, R18: what a canceled order still holds is available again, or written off.

    Of an order that was not decided before, nothing was held as far as anybody was told, even if a
    worker had reserved for it and was lost before it could say so.
    """
    seller_id, levels = event.data.seller_id, _levels(event.data.seller_id, answer)
    if state is None:
        return [StockReleased(seller_id=seller_id, units=()), *levels]
    if not answer.rows:
        return ()
    written_off = event.data.cancellation.seller_reason_code == "NoInventory"
    released = StockReleased(seller_id=seller_id, units=answer.units, written_off=written_off)
    return [released, *levels]


def _ship(_state: OrderStock | None, event: Event[PackageConfirmed], answer: Answer) -> Facts:
    """R11: the units of a package leave; those that an edit took out of it are held again."""
    seller_id = event.data.seller_id
    changes = tuple(SkuChange(sku=row.sku, change=row.units) for row in answer.rows)
    return [StockShipped(seller_id=seller_id, changes=changes), *_levels(seller_id, answer)]


def _take_back(_state: OrderStock | None, event: Event[UnitsReturned], answer: Answer) -> Facts:
    """R17: sellable units that came back are available again; damaged ones left when they shipped,
    and that they came back is only told.
    """
    data = event.data
    returned = StockReturned(seller_id=data.seller_id, sellable=data.sellable, damaged=data.damaged)
    return [returned, *_levels(data.seller_id, answer)]


def _check_reorder(_state: OrderStock | None, event: Event[ReorderAsked], answer: Answer) -> Facts:
    """R19: whether all of the order could be had again now; nothing is reserved by the question."""
    data = event.data
    return [ReorderChecked(seller_id=data.seller_id, nth=data.nth, lacking=answer.lacking)]


def _withdraw(_state: OrderStock | None, event: Event[RequestRefused], answer: Answer) -> Facts:
    """R25: an order under the id of another seller's order is none: its stock is back, or, where
    the refusal came first, never taken.
    """
    rival = str(event.data.other_seller_id)
    return [StockHeldByRival(seller_id=rival), *_levels(rival, answer)]


def _supply(
    _state: OrderStock | None,
    event: Event[StockSet | StockRestocked | StockDamaged | StockAdjusted],
    answer: Answer,
) -> Facts:
    """P1: nothing the warehouse says may leave fewer units than orders hold; it is refused then."""
    seller_id, (row,) = event.data.seller_id, answer.rows
    match answer.outcome:
        case "below_reserved" | "above_limit" as reason:
            refused = StockRefused(
                seller_id=seller_id,
                sku=row.sku,
                reason=reason,
                reserved=row.reserved,
                on_hand=row.on_hand,
                command_id=event.id,
                level_version=row.version,
            )
            return [refused]
    return _levels(seller_id, answer)


def _levels(seller_id: str, answer: Answer) -> list[StockLevelChanged]:
    """R1: the levels that changed; where nothing is available any more, that is said instead."""
    return [
        (StockDepleted if row.depleted else StockLevelChanged)(
            seller_id=seller_id,
            sku=row.sku,
            on_hand=row.on_hand,
            available=row.available,
            reserved=row.reserved,
            on_hand_change=row.on_hand_change,
            reserved_change=row.reserved_change,
            level_version=row.version,
        )
        for row in answer.rows
    ]


RULES: Mapping[type[Fact], Rule] = {
    OrderPlaced: _place,
    OrderCanceled: _release,
    OpenUnitsCanceled: _release,
    PackageConfirmed: _ship,
    UnitsReturned: _take_back,
    ReorderAsked: _check_reorder,
    RequestRefused: _withdraw,
    StockSet: _supply,
    StockRestocked: _supply,
    StockDamaged: _supply,
    StockAdjusted: _supply,
}
