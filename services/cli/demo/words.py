"""Facts in words, and the rule that each of them follows."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from services.cli.demo.script import OPENING
from services.cli.demo.seen import Told
from shared.currencies import in_units
from shared.events import carrier, fulfillment
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact
from shared.events.fields import ItemQuantity, Money, NoticeKind, SkuQuantity
from shared.events.fulfillment import (
    HOLD,
    SHIPMENT_UNCONFIRMED,
    Cancellation,
    CancelReason,
    OpenUnitsCanceled,
    Order,
    OrderCanceled,
    OrderHeld,
    OrderUnshipped,
    PackageConfirmed,
    Party,
    RequestRefused,
    ReturnOpened,
    UnitsReturned,
)
from shared.events.gateway import (
    FraudSuspected,
    PaymentDeclined,
)
from shared.events.inventory import StockRejected, StockReleased, StockReserved, StockReturned
from shared.events.notices import NoticeRequested
from shared.events.payment import (
    VERIFICATION,
    ApprovalWithdrawn,
    AuthorizationRequested,
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    PaymentApproved,
    PaymentLapsed,
    PaymentRefused,
    PaymentStuck,
    PaymentTakenBack,
    RefundRequested,
    VerificationUnknown,
    VoidRequested,
)
from shared.events.seller import (
    CancelAnswered,
    DelayAnnounced,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import CancelRequested, OrderPlaced, ReturnRequested

DAY = timedelta(days=1)


class Line(NamedTuple):
    """One thing that happened; `rule` is the one it follows, none where somebody just acts."""

    words: str
    rule: str = ""


def words_of(told: Told, order: Order) -> Line | None:
    """A fact about an order in words, `order` being what became of it; None for what shows in
    another fact, too.
    """
    say = _WORDS.get(type(told.event.data))
    return say(told, order) if say else None


def since(instant: datetime) -> str:
    """How long after the opening, of whatever order: `day 2 07:50`."""
    passed = instant - OPENING
    minutes = passed % DAY // timedelta(minutes=1)
    return f"day {passed // DAY} {minutes // 60:02}:{minutes % 60:02}"


def money(amount: Money) -> str:
    """An amount as people write it."""
    return f"{in_units(amount):f} {amount.currency}"


def moved(how: str) -> str:
    """How money moved, in a sentence; facts spell it otherwise."""
    return how.replace("authorized", "authorised")


def cancel_rule(cancellation: Cancellation) -> str:
    """The rule by which an order is canceled."""
    if cancellation.reason == "buyer":
        return "R14" if cancellation.within_hold else "R15"
    return _CANCEL_RULES[cancellation.reason]


_CANCEL_RULES: Mapping[CancelReason, str] = {
    "out_of_stock": "R4",
    "payment_declined": "R6",
    "fraud_suspected": "R6",
    "payment_mismatch": "R6",
    "payment_timeout": "R6",
    "velocity_exceeded": "R6",
    "spend_exceeded": "R6",
    "buyer_blocked": "R6",
    "card_blocked": "R6",
    "seller": "R18",
    "shipment_unconfirmed": "R13",
    "payment_reversed": "R7",
}
_SILENT = "R6"
_EXECUTED_BY: Mapping[Party, str] = {
    "BUYER": "by the buyer",
    "MERCHANT": "by the seller, for the buyer",
    "MARKETPLACE": "for the buyer",
}
_REASONS: Mapping[CancelReason, str] = {
    "out_of_stock": "out of stock",
    "payment_declined": "payment declined",
    "fraud_suspected": "fraud suspected",
    "payment_mismatch": "payment mismatch",
    "payment_timeout": "never paid",
    "velocity_exceeded": "too many orders",
    "spend_exceeded": "too much spent",
    "buyer_blocked": "buyer blocked",
    "card_blocked": "card blocked",
    "buyer": "as asked",
    "seller": "by the seller",
    "shipment_unconfirmed": "never confirmed",
    "payment_reversed": "payment taken back",
}


def _units(units: Iterable[SkuQuantity]) -> str:
    return ", ".join(f"{each.quantity} × {each.sku}" for each in units)


def _items(items: Iterable[ItemQuantity], order: Order) -> str:
    skus = {line.order_item_id: line.sku for line in order.items}
    return ", ".join(f"{item.quantity} × {skus[item.order_item_id]}" for item in items)


def _ordered(order: Order) -> int:
    return sum(line.quantity for line in order.items)


def _placed(told: Told, _order: Order) -> Line:
    data: OrderPlaced = told.event.data
    return Line(f"buyer orders {_units(data.units_by_sku())}, {money(data.order_total)}")


def _held(told: Told, _order: Order) -> Line:
    data: OrderHeld = told.event.data
    return Line(f"Pending: held until {since(data.hold_ends)}", "R2")


def _rejected(told: Told, _order: Order) -> Line:
    data: StockRejected = told.event.data
    lacking = ", ".join(f"{each.sku}: {each.available} left" for each in data.lacking)
    return Line(f"not enough in stock ({lacking})", "R4")


def _released(told: Told, order: Order) -> Line | None:
    data: StockReleased = told.event.data
    if not data.units or order.cancellation is None:
        return None
    where = "written off" if data.written_off else "back in stock"
    return Line(f"{_units(data.units)} {where}", cancel_rule(order.cancellation))


def _unshipped(told: Told, _order: Order) -> Line:
    data: OrderUnshipped = told.event.data
    ship_by = since(data.ship_window.latest)
    return Line(f"Unshipped: to ship by {ship_by}", "R9")


def _canceled(told: Told, _order: Order) -> Line:
    cancellation: Cancellation = told.event.data.cancellation
    rule = cancel_rule(cancellation)
    if cancellation.reason == "buyer":
        return Line(f"Canceled {_EXECUTED_BY[cancellation.executed_by]}", rule)
    silence = ", nobody is told" if rule == _SILENT else ""
    return Line(f"Canceled, {_REASONS[cancellation.reason]}{silence}", rule)


def _confirms(told: Told, order: Order) -> Line:
    data: ShipmentConfirmed = told.event.data
    packed = _items(data.order_items, order)
    return Line(f"seller confirms package {data.package_reference_id}: {packed}")


def _asks_back(told: Told, order: Order) -> Line:
    data: ReturnRequested = told.event.data
    return Line(f"buyer asks to return {_items(data.items, order)}")


def _opened(told: Told, order: Order) -> Line:
    data: ReturnOpened = told.event.data
    due = since(data.overdue_at).rpartition(" ")[0]
    return Line(f"return of {_items(data.items, order)}, due by {due}", "R17")


def _received(told: Told, _order: Order) -> Line:
    data: ReturnReceived = told.event.data
    came = ", ".join(f"{item.quantity} {item.condition.lower()}" for item in data.items)
    return Line(f"seller receives {came}")


def _returned(told: Told, order: Order) -> Line:
    data: UnitsReturned = told.event.data
    units = sum(item.quantity for item in data.items)
    return Line(f"{units} of {_ordered(order)} units are back", "R17")


def _restocked(told: Told, _order: Order) -> Line:
    data: StockReturned = told.event.data
    said = [f"{_units(data.sellable)} back in stock"] if data.sellable else []
    said += [f"{sum(each.quantity for each in data.damaged)} damaged"] if data.damaged else []
    return Line(", ".join(said), "R17")


def _answers(told: Told, _order: Order) -> Line:
    data: CancelAnswered = told.event.data
    return Line("seller agrees" if data.approved else f"seller does not agree: {data.reason}")


def _confirmed(told: Told, _order: Order) -> Line | None:
    return Line(told.order.status, "R11") if told.order else None


def _delivered(told: Told, _order: Order) -> Line | None:
    data: fulfillment.PackageDelivered = told.event.data
    if data.package_reference_id or told.order is None:
        return None
    return Line(f"but never confirmed: stays {told.order.status}", "R13")


def _refused(told: Told, _order: Order) -> Line:
    data: RequestRefused = told.event.data
    rule = "R16" if data.request_type == CancelRequested.TYPE else "R11"
    return Line(f"refused: {data.reason}", rule)


def _reached(told: Told, _order: Order) -> Line | None:
    data: DeadlineReached = told.event.data
    passed = since(data.due)
    meaning = {
        HOLD: Line("the hold is over", "R2"),
        VERIFICATION: Line("never paid in time", "R6"),
        SHIPMENT_UNCONFIRMED: Line(f"never confirmed by {passed}", "R13"),
    }
    return meaning.get(data.kind)


_NOTICES: Mapping[NoticeKind, str] = {
    "estimated_delivery": "R9",
    "package_shipped": "R11",
    "new_delivery_date": "R12",
    "late_shipment": "R12",
    "cancel_asked": "R15",
    "cancel_denied": "R15",
    "cancel_refused": "R16",
    "cancel_warning": "R13",
    "do_not_ship": "R15",
    "return_requested": "R17",
    "return_opened": "R17",
    "return_received": "R17",
    "reorder_suggestion": "R19",
    "reorder_unavailable": "R19",
    "address_changed": "R25",
    "new_ship_address": "R25",
}
"""The rule of each kind of notice; that of a cancel is the cancel's."""


def notice(data: NoticeRequested) -> str:
    """What a notice says, in a few words."""
    window = data.delivery_window
    arrives = since(window.latest).rpartition(" ")[0] if window else ""
    deadline = since(data.deadline).rpartition(" ")[0] if data.deadline else ""
    says = {
        "estimated_delivery": f"arrives by {arrives}",
        "package_shipped": f"{data.tracking_number} is on its way",
        "new_delivery_date": f"late, now arrives by {arrives}",
        "late_shipment": f"late, was to ship by {deadline}",
        "order_canceled": f"canceled, {_REASONS[data.reason]}" if data.reason else "canceled",
        "cancel_asked": f"asks to cancel, answer by {deadline}",
        "cancel_denied": f"not canceled: return by {deadline}",
        "cancel_refused": f"shipped already: return it by {deadline}, refund on receipt",
        "cancel_warning": f"confirm by {deadline} at the latest",
        "do_not_ship": "do not ship, the order was canceled",
        "return_requested": f"goods come back, by {deadline}",
        "return_opened": f"send it back by {deadline}",
        "return_received": "goods are back, refund follows",
        "reorder_suggestion": "the same can be had again",
        "reorder_unavailable": "the same can not be had again",
        "address_changed": "goes to another address",
        "new_ship_address": "goes to another address",
    }
    return f"✉ {data.recipient.lower()}: {says[data.kind]}"


def _notified(told: Told, order: Order) -> Line:
    data: NoticeRequested = told.event.data
    rule = _NOTICES.get(data.kind)
    if rule is None and order.cancellation is not None:
        rule = cancel_rule(order.cancellation)
    return Line(notice(data), rule or "")


def _amount(text: str, rule: str = "") -> Callable[[Told, Order], Line]:
    """Words around the amount of a fact about money."""

    def say(told: Told, _order: Order) -> Line:
        data: Any = told.event.data
        return Line(text.format(amount=money(data.amount), data=data), rule)

    return say


def _arrived(told: Told, _order: Order) -> Line:
    data: MoneyArrived = told.event.data
    return Line(f"{money(data.amount)} {moved(data.how)}", "R7")


def _plain(words: str, rule: str = "") -> Callable[[Told, Order], Line]:
    return lambda told, _order: Line(words.format(data=told.event.data), rule)


_WORDS: Mapping[type[Fact], Callable[[Told, Order], Line | None]] = {
    OrderPlaced: _placed,
    CancelRequested: _plain("buyer asks to cancel"),
    ReturnRequested: _asks_back,
    PaymentDeclined: _plain("bank declines the card"),
    FraudSuspected: _plain("provider suspects fraud"),
    ShipmentConfirmed: _confirms,
    SellerCanceled: _plain("seller cancels: {data.reason_code}"),
    DelayAnnounced: _plain("seller announces a delay: {data.reason}"),
    CancelAnswered: _answers,
    ReturnReceived: _received,
    carrier.PackageDelivered: _plain("carrier delivers {data.tracking_number}"),
    StockReserved: lambda told, _order: Line(f"{_units(told.event.data.units)} reserved", "R1"),
    StockRejected: _rejected,
    StockReleased: _released,
    StockReturned: _restocked,
    PaymentApproved: _amount("{amount} authorised, payment approved", "R5"),
    VerificationUnknown: _plain("not known yet: {data.detail}", "R5"),
    PaymentRefused: _plain("payment refused: {data.reason}", "R5"),
    MoneyArrived: _arrived,
    CaptureRequested: _amount("capture of {amount} requested", "R7"),
    AuthorizationRequested: _amount("{amount} lapsed, authorisation requested again", "R7"),
    ApprovalWithdrawn: _amount("{amount} taken back: {data.reason}", "R7"),
    PaymentLapsed: _plain("{data.payment_id} lapsed, of which nothing is held", "R7"),
    PaymentTakenBack: _plain("{data.payment_id} taken back, of which nothing was told", "R7"),
    PaymentStuck: _amount("stuck with {amount}: {data.reason}", "R23"),
    VoidRequested: _amount("void of {amount} requested", "R7"),
    RefundRequested: _amount("refund of {amount} requested", "R7"),
    MoneyReturned: _amount("{amount} are back with the buyer", "R7"),
    DeadlineReached: _reached,
    OrderHeld: _held,
    OrderUnshipped: _unshipped,
    PackageConfirmed: _confirmed,
    ReturnOpened: _opened,
    UnitsReturned: _returned,
    fulfillment.PackageDelivered: _delivered,
    OrderCanceled: _canceled,
    OpenUnitsCanceled: _canceled,
    RequestRefused: _refused,
    NoticeRequested: _notified,
}
