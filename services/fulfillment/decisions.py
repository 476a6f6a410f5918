"""What becomes of an order: a table of what an event is to each status, and a table of rules.

The rules lie beside it, a module each: `holding.py` (R2, R9), `shipping.py` (R11), `lateness.py`
(R12), `canceling.py` (R4, R6, R7, R13–R16, R18), `returning.py` (R17), `reordering.py` (R19),
`correcting.py` (the address, notices sent again), and `archiving.py` (R23). All are pure.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, NamedTuple, get_args

from services.fulfillment.answers import Others, refuse
from services.fulfillment.archiving import archive, get_stuck
from services.fulfillment.canceling import (
    answer_cancel,
    cancel_for_buyer,
    cancel_for_seller,
    cancel_out_of_stock,
    cancel_unconfirmed,
    cancel_unpaid,
    show_way_back,
    warn_of_cancel,
    withdraw_payment,
)
from services.fulfillment.correcting import correct_address, resend_notice
from services.fulfillment.holding import hold, meet
from services.fulfillment.lateness import announce_delay, tell_late
from services.fulfillment.reordering import answer_reorder, ask_for_stock
from services.fulfillment.returning import bring_back, open_return, receive_return
from services.fulfillment.shipping import confirm_package, note_delivery
from services.fulfillment.waiting import STUCK_REASONS
from shared.events.carrier import PackageDelivered, PackageReturned
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact
from shared.events.fulfillment import (
    ARCHIVE,
    CANCEL_WARNING,
    HOLD,
    SHIP_BY,
    SHIPMENT_UNCONFIRMED,
    Order,
    OrderStatus,
    RefusalReason,
)
from shared.events.inventory import ReorderChecked, StockRejected, StockReserved
from shared.events.payment import ApprovalWithdrawn, PaymentApproved, PaymentRefused
from shared.events.seller import (
    CancelAnswered,
    DelayAnnounced,
    ResendRequested,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import (
    AddressCorrected,
    CancelRequested,
    OrderPlaced,
    ReorderRequested,
    ReturnRequested,
)
from shared.policy import Policies, Policy
from shared.service import Facts, Park, Received


class Refuse(NamedTuple):
    """The answer is no; `way_back` adds how the buyer gets rid of the goods all the same (R16)."""

    reason: RefusalReason
    way_back: bool = False


Handling = Literal["apply", "park", "ignore"] | Refuse
APPLY: Final = "apply"
PARK: Final = "park"
IGNORE: Final = "ignore"
UNKNOWN = Refuse("unknown_order")
EXISTS = Refuse("order_exists")
PENDING = Refuse("order_pending")
UNSENT = Refuse("not_shipped")
SHIPPED = Refuse("order_shipped")
TOO_LATE = Refuse("order_shipped", way_back=True)
CANCELED = Refuse("order_canceled")
ENDED = Refuse("order_archived")
ALIVE = Refuse("not_canceled")

Standing = OrderStatus | Literal["archived"] | None
"""None of an order that was never placed; of an archived one the status counts no more."""
Row = Mapping[Standing, Handling]


def _row(*handling: Handling) -> Row:
    """One event's handling: of an unknown order, then by status, then of an archived order."""
    standings: tuple[Standing, ...]
    standings = (None, *get_args(OrderStatus), "archived")
    return dict(zip(standings, handling, strict=True))


# fmt: off
ARRIVAL: Mapping[type[Fact], Row] = {
    #                       unknown  Pending  Unshipped partly    Shipped   Canceled  archived
    OrderPlaced:       _row(APPLY,   EXISTS,  EXISTS,   EXISTS,   EXISTS,   EXISTS,   EXISTS),
    StockReserved:     _row(PARK,    APPLY,   IGNORE,   IGNORE,   IGNORE,   IGNORE,   IGNORE),
    StockRejected:     _row(PARK,    APPLY,   IGNORE,   IGNORE,   IGNORE,   IGNORE,   IGNORE),
    PaymentApproved:   _row(PARK,    APPLY,   IGNORE,   IGNORE,   IGNORE,   IGNORE,   IGNORE),
    PaymentRefused:    _row(PARK,    APPLY,   IGNORE,   IGNORE,   IGNORE,   IGNORE,   IGNORE),
    ApprovalWithdrawn: _row(PARK,    APPLY,   APPLY,    APPLY,    APPLY,    IGNORE,   APPLY),
    ShipmentConfirmed: _row(UNKNOWN, PENDING, APPLY,    APPLY,    APPLY,    CANCELED, ENDED),
    DelayAnnounced:    _row(PARK,    PENDING, APPLY,    APPLY,    SHIPPED,  CANCELED, ENDED),
    PackageDelivered:  _row(PARK,    APPLY,   APPLY,    APPLY,    APPLY,    APPLY,    ENDED),
    CancelRequested:   _row(PARK,    APPLY,   APPLY,    TOO_LATE, TOO_LATE, CANCELED, ENDED),
    CancelAnswered:    _row(PARK,    PENDING, APPLY,    SHIPPED,  SHIPPED,  CANCELED, ENDED),
    SellerCanceled:    _row(PARK,    PENDING, APPLY,    SHIPPED,  SHIPPED,  CANCELED, ENDED),
    AddressCorrected:  _row(PARK,    APPLY,   APPLY,    SHIPPED,  SHIPPED,  CANCELED, ENDED),
    ResendRequested:   _row(PARK,    PENDING, APPLY,    APPLY,    APPLY,    APPLY,    ENDED),
    ReturnRequested:   _row(PARK,    UNSENT,  UNSENT,   APPLY,    APPLY,    CANCELED, ENDED),
    ReturnReceived:    _row(PARK,    PARK,    PARK,     APPLY,    APPLY,    CANCELED, ENDED),
    PackageReturned:   _row(PARK,    PARK,    PARK,     APPLY,    APPLY,    CANCELED, ENDED),
    ReorderRequested:  _row(PARK,    ALIVE,   ALIVE,    ALIVE,    ALIVE,    APPLY,    ENDED),
    ReorderChecked:    _row(PARK,    IGNORE,  IGNORE,   IGNORE,   IGNORE,   APPLY,    IGNORE),
    DeadlineReached:   _row(IGNORE,  APPLY,   APPLY,    APPLY,    APPLY,    APPLY,    IGNORE),
}
# fmt: on
"""R25 and R3: what an event is to an order of each status (`partly` is PartiallyShipped), and to
one that is archived.

What precedes its order is parked, but for a shipment confirmation; so is what precedes its package
or its return. What comes after a cancel from stock or payment needs nothing here: they see the
cancel themselves (R7).
"""


def decide(order: Order | None, received: Received, policies: Policies) -> Facts | Park:
    """What an event comes to for its order: facts, none where it is no news, or that it is early.

    A stranger is refused before anything else is said about the order.
    """
    event = received.event
    handling = ARRIVAL[type(event.data)][_standing(order)]
    if handling == IGNORE:
        return ()
    if order and (stranger := _stranger(order, event.data)):
        return (refuse(event, stranger),)
    if handling == PARK:
        policy = policies.of(order.marketplace_id) if order else policies.default
        return Park(until=policy.parked_until(received.at))
    if isinstance(handling, Refuse):
        refusal = refuse(event, handling.reason, others=_others(order, event.data))
        if order and handling.way_back:
            return (refusal, show_way_back(order, _policy(order, policies)))
        return (refusal,)
    if order is None:
        return hold(event.data, policies)
    return _rule(event.data)(order, received, _policy(order, policies))


def _standing(order: Order | None) -> Standing:
    if order is None:
        return None
    return "archived" if order.archived_at else order.status


Rule = Callable[[Order, Received, Policy], Facts | Park]

RULES: Mapping[type[Fact], Rule] = {
    StockReserved: partial(meet, "stock"),
    StockRejected: cancel_out_of_stock,
    PaymentApproved: partial(meet, "payment"),
    PaymentRefused: cancel_unpaid,
    ApprovalWithdrawn: withdraw_payment,
    ShipmentConfirmed: confirm_package,
    DelayAnnounced: announce_delay,
    PackageDelivered: note_delivery,
    CancelRequested: cancel_for_buyer,
    CancelAnswered: answer_cancel,
    SellerCanceled: cancel_for_seller,
    AddressCorrected: correct_address,
    ResendRequested: resend_notice,
    ReturnRequested: open_return,
    ReturnReceived: receive_return,
    PackageReturned: bring_back,
    ReorderRequested: ask_for_stock,
    ReorderChecked: answer_reorder,
}
WHEN_DUE: Mapping[str, Rule] = {
    HOLD: partial(meet, "hold"),
    SHIP_BY: tell_late,
    CANCEL_WARNING: warn_of_cancel,
    SHIPMENT_UNCONFIRMED: cancel_unconfirmed,
    ARCHIVE: archive,
    **{reason: partial(get_stuck, reason) for reason in STUCK_REASONS},
}


OF_BUYER = (CancelRequested, AddressCorrected, ReturnRequested, ReorderRequested)
OF_SELLER = (
    ShipmentConfirmed,
    DelayAnnounced,
    SellerCanceled,
    CancelAnswered,
    ReturnReceived,
    ResendRequested,
)
"""What only the order's buyer, only its seller may say."""


def _policy(order: Order, policies: Policies) -> Policy:
    return policies.under(order.marketplace_id, order.terms)


def _rule(data: Fact) -> Rule:
    return WHEN_DUE[data.kind] if isinstance(data, DeadlineReached) else RULES[type(data)]


def _others(order: Order | None, data: Fact) -> Others:
    """Who else an order under the id of this one names: inventory has reserved for its seller, and
    it counts with its buyer and its card (R8).
    """
    others = Others()
    if order and isinstance(data, OrderPlaced):
        if data.seller_id != order.seller_id:
            others["other_seller_id"] = data.seller_id
        if data.buyer.buyer_id != order.buyer.buyer_id:
            others["other_buyer_id"] = data.buyer.buyer_id
        if data.payment_method_ref != order.payment_method_ref:
            others["other_payment_method_ref"] = data.payment_method_ref
    return others


def _stranger(order: Order, data: Fact) -> RefusalReason | None:
    """Whose the order is not, if somebody else's event is about it."""
    if isinstance(data, OF_BUYER) and data.buyer_id != order.buyer.buyer_id:
        return "not_the_buyer"
    if isinstance(data, OF_SELLER) and data.seller_id != order.seller_id:
        return "not_the_seller"
    return None
