"""Who corrects an address and has a notice sent again, by lot; and what of it is refused."""

from collections.abc import Sequence
from datetime import datetime

from services.simulator.lots import CANCELED, CONFIRMED, OPENED, UNSHIPPED, Habit, Lot, Make
from shared.events.envelope import Fact
from shared.events.fields import Address, NoticeKind
from shared.events.fulfillment import CANCEL_WARNING, HOLD, SHIP_BY, AddressChanged
from shared.events.seller import ResendRequested
from shared.events.storefront import AddressCorrected

CHANGED = AddressChanged.TYPE
STREETS = ("Kaigatan 3", "Kaigatan 30", "Norra Kaigatan 3")
"""The first is where it goes already."""


def _corrected(lot: Lot, **changes: str) -> AddressCorrected:
    street = lot.random.choice(STREETS)
    where = Address(name="R. Ek", address_line_1=street, city="Kiruna", country_code="SE")
    return AddressCorrected(buyer_id=lot.buyer_id, ship_address=where.model_copy(update=changes))


def _corrects(lot: Lot, _at: datetime) -> Fact:
    return _corrected(lot)


def _corrects_for_the_buyer(lot: Lot, _at: datetime) -> Fact:
    changes = {"requested_by": "MARKETPLACE", "reason": "the buyer called"}
    return _corrected(lot).model_copy(update=changes)


def _corrects_as_a_stranger(lot: Lot, _at: datetime) -> Fact:
    return _corrected(lot).model_copy(update={"buyer_id": "stranger"})


def _moves_abroad(lot: Lot, _at: datetime) -> Fact:
    return _corrected(lot, city="Narvik", country_code="NO")


def _asks_again(kind: NoticeKind) -> Make:
    """For the first of its kind, or for one that may never have been."""

    def asks(lot: Lot, _at: datetime) -> Fact:
        occurrence = lot.random.choice((1, 1, 2))
        return ResendRequested(seller_id=lot.seller_id, kind=kind, occurrence=occurrence)

    return asks


def _asks_as_a_stranger(_lot: Lot, _at: datetime) -> Fact:
    return ResendRequested(seller_id="S9", kind="estimated_delivery")


CORRECTIONS: Sequence[Habit] = (
    *[{}] * 4,
    *[{"": [_corrects]}] * 2,
    {"": [_corrects, _moves_abroad]},
    {"": [_moves_abroad, _corrects_for_the_buyer], CHANGED: [_asks_again("address_changed")]},
    {"": [_corrects_as_a_stranger, _asks_as_a_stranger], UNSHIPPED: [_asks_as_a_stranger]},
    {HOLD: [_corrects, _moves_abroad]},
    {
        UNSHIPPED: [_corrects_for_the_buyer, _moves_abroad],
        CHANGED: [_asks_again("address_changed")],
    },
    {UNSHIPPED: [_corrects, _asks_again("estimated_delivery")], CONFIRMED: [_corrects]},
    {SHIP_BY: [_asks_again("late_shipment"), _asks_again("new_delivery_date")]},
    {CANCEL_WARNING: [_asks_again("cancel_warning"), _corrects]},
    {CONFIRMED: [_asks_again("package_shipped"), _asks_again("cancel_refused")]},
    {CANCELED: [_asks_again("order_canceled"), _asks_again("do_not_ship"), _corrects]},
    {OPENED: [_asks_again("return_opened"), _asks_again("return_received")]},
)
"""What is put right of an order, beside everybody's habits: of one in four nothing."""
