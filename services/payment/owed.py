"""R7: what an order owes, to which payment, and why to no other.

An order owes the part of its total that falls on the units that are neither canceled nor returned,
to the one payment that was approved.
"""

from typing import NamedTuple

from services.payment.funds import Payment
from services.payment.state import Approved, Closed, Lapsed, Refused, Verification
from shared.events.payment import NotOwed, PayableItem
from shared.events.storefront import OrderItem, OrderPlaced


class Cause(NamedTuple):
    """Why money is not owed, and for which return."""

    name: NotOwed
    return_id: str | None = None


def parts_of(placed: OrderPlaced) -> tuple[PayableItem, ...]:
    """What falls on each order item of the order's total, by what its line costs.

    Each takes what is due up to its end less what was due before it, so the parts add up to the
    total to the cent. Where all lines are free, they share by their units.
    """
    free = not any(_price_minor(item) for item in placed.items)
    shares = [item.quantity if free else _price_minor(item) for item in placed.items]
    total_minor, sum_, before, parts = placed.order_total.amount_minor, sum(shares), 0, []
    for item, share in zip(placed.items, shares, strict=True):
        until = before + share
        parts.append(
            PayableItem(
                order_item_id=item.order_item_id,
                quantity=item.quantity,
                amount_minor=total_minor * until // sum_ - total_minor * before // sum_,
            )
        )
        before = until
    return tuple(parts)


def _price_minor(item: OrderItem) -> int:
    prices = (item.item_price, item.item_tax, item.shipping_price, item.shipping_tax)
    return sum(price.amount_minor for price in prices if price is not None)


def owed_minor(known: Verification) -> int:
    """What the order owes while it is approved: nothing for units that are gone.

    It depends on how many units are left of each item, not on the order in which others went.
    """
    standing = known.standing
    if not isinstance(standing, Approved | Lapsed):
        return 0
    gone_minor = sum(
        line.amount_minor - line.amount_minor * max(0, line.quantity - line.gone) // line.quantity
        for line in known.lines
    )
    return standing.total.amount_minor - gone_minor


def approved_payment(known: Verification) -> Payment | None:
    """The payment that an approved order owes to."""
    match known.standing:
        case Approved(payment_id=payment_id, total=total):
            return known.payment(payment_id, total.currency)
    return None


def shortfall_minor(known: Verification, payment: Payment) -> int:
    """What is owed to a payment that was captured in part and can not be captured any more, with
    what is held and the provider refused to capture, whether it is owed or not.
    """
    short_minor = 0
    if known.owes_to(payment) and payment.captured.arrived_minor:
        short_minor = max(0, owed_minor(known) - payment.kept_minor - payment.capturable_minor)
    refused = "capture" in payment.failed
    return short_minor + (payment.pending_minor("capture") if refused else 0)


def why_not_owed(known: Verification, payment: Payment) -> Cause:
    """R7: the cause of a request, the order's end before the payment's own fault.

    A refused order stays refused when its cancel comes, so the same money has the same cause
    before and after.
    """
    standing = known.standing
    match standing:
        case Closed():
            return Cause("order_canceled")
        case Refused(reason="payment_mismatch", payment_id=payment.payment_id):
            return Cause("payment_mismatch")
        case Refused():
            return Cause("payment_refused")
        case Approved(payment_id=payment.payment_id):
            if known.let_go is not None and known.owes_to(payment):
                return Cause(known.let_go.cause, known.let_go.return_id)
            return Cause("payment_mismatch")
        case Lapsed(payment_id=payment.payment_id):
            return Cause("authorization_lapsed")
        case Approved() | Lapsed():
            return Cause("duplicate_payment")
    raise AssertionError(f"{payment.payment_id} has money while the order is {standing.status}")
