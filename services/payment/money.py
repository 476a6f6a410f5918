"""R7: which money is owed, and what is asked of the gateway about the rest.

An order owes the part of its total that falls on the units that are neither canceled nor returned,
to the one payment that was approved. What a payment then brings, on top of what the gateway had
said of it before:

    money            of                               goes back because
    authorised or    the approved payment             nothing, up to what is owed; more, or another
    captured                                          currency: payment_mismatch, or the reason for
                                                      which units are not owed any more
                     another payment than that        duplicate_payment
                     a payment that lapsed            authorization_lapsed
                     a refused order                  payment_refused (payment_mismatch, of the
                                                      payment that it was refused for)
                     a canceled order                 order_canceled
    authorised, then captured by the provider         the capture takes the place of the
                                                      authorisation: refunded if it is not owed,
                                                      whether a void was asked for or not
    taken back before it is told that it came         what comes is back already; where it is
                                                      approved, it is withdrawn at once
    lapsed before its authorisation is told           what comes is held no more; where it is
                                                      approved, it is asked for again at once
    voided, refunded, lapsed or reversed              recorded; what returned unasked is not asked
                                                      back. A void does not count against a capture:
                                                      a provider refuses the refund of what it
                                                      voided, but nobody refunds what nobody asks

Every request says until when its answer is due (R23).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.payment.funds import Kind, Payment
from services.payment.state import Approved, Closed, Lapsed, Refused, Verification
from shared.events.envelope import Fact
from shared.events.fields import Money
from shared.events.gateway import PaymentAuthorized, PaymentCaptured
from shared.events.payment import (
    ApprovalWithdrawn,
    AuthorizationRequested,
    CaptureAwaited,
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    NotOwed,
    PayableItem,
    PaymentRenewed,
    RefundRequested,
    VoidRequested,
)
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


def settle(
    known: Verification,
    said: PaymentAuthorized | PaymentCaptured,
    time: datetime,
    due: datetime,
) -> list[Fact]:
    """R7: money that comes once the payment is decided is never kept unless it is owed; what was
    asked for again renews the approval.
    """
    how: Kind = "captured" if isinstance(said, PaymentCaptured) else "authorized"
    currency = said.amount.currency
    before = known.payment(said.payment_id, currency)
    new_minor = said.amount.amount_minor - getattr(before, how).arrived_minor
    if new_minor <= 0:
        return []
    amount = Money(amount_minor=new_minor, currency=currency)
    facts: list[Fact] = [MoneyArrived(payment_id=said.payment_id, amount=amount, how=how)]
    if isinstance(known.standing, Lapsed) and known.standing.asked == amount:
        facts.append(PaymentRenewed(payment_id=said.payment_id))
    facts += follow_up(known, facts, said)
    facts += ask_again(after(known, facts), time, due)
    settled = after(known, facts)
    facts += give_back(settled, settled.payment(said.payment_id, currency), due)
    return [*facts, *capture(after(known, facts), due)]


def follow_up(
    known: Verification, facts: Sequence[Fact], said: PaymentAuthorized | PaymentCaptured
) -> list[Fact]:
    """R7: of money that comes, what had lapsed or been taken back before; see `facts` for what
    came. What had lapsed first could not be taken back any more.
    """
    payment_id, currency = said.payment_id, said.amount.currency
    came = after(known, facts)
    returned: list[Fact] = []
    held_minor = came.payment(payment_id, currency).held_minor
    if isinstance(said, PaymentAuthorized) and payment_id in known.lapsed_early and held_minor:
        amount = Money(amount_minor=held_minor, currency=currency)
        returned.append(MoneyReturned(payment_id=payment_id, amount=amount, how="lapsed"))
    there_minor = after(came, returned).payment(payment_id, currency).there_minor
    if payment_id in known.taken_back and there_minor:
        amount = Money(amount_minor=there_minor, currency=currency)
        returned.append(MoneyReturned(payment_id=payment_id, amount=amount, how="reversed"))
    before = known.payment(payment_id, currency)
    return [*returned, *withdraw(known, after(came, returned), before)]


def withdraw(known: Verification, now: Verification, payment: Payment) -> list[Fact]:
    """R7: a payment that the order owes to, and that is taken back now, is approved no more."""
    taken_back_minor = now.payment(payment.payment_id, payment.currency).taken_back_minor
    was_withdrawn = known.owes_to(payment) and payment.taken_back_minor > 0
    if was_withdrawn or not (taken_back_minor and now.owes_to(payment) and owed_minor(now)):
        return []
    amount = Money(amount_minor=taken_back_minor, currency=payment.currency)
    return [ApprovalWithdrawn(payment_id=payment.payment_id, amount=amount, reason="reversed")]


def give_back(known: Verification, payment: Payment, due: datetime) -> list[Fact]:
    """R7: what is authorised and not owed is voided, what is captured and not owed refunded.

    What was captured, or is about to be, is held no more. What was asked for, or returned unasked,
    is not asked again.
    """
    authorized, captured = payment.authorized, payment.captured
    owes_minor = owed_minor(known) if known.owes_to(payment) else 0
    taken_minor = captured.arrived_minor + payment.pending_minor("capture")
    held_minor = authorized.arrived_minor - max(taken_minor, owes_minor)
    amounts = (
        (VoidRequested, held_minor - authorized.leaving_minor),
        (RefundRequested, captured.arrived_minor - owes_minor - captured.leaving_minor),
    )
    return [
        request(
            payment_id=payment.payment_id,
            amount=Money(amount_minor=amount_minor, currency=payment.currency),
            cause=cause.name,
            return_id=cause.return_id,
            answer_due=due,
        )
        for request, amount_minor in amounts
        if amount_minor > 0
        for cause in [_why_not_owed(known, payment)]
    ]


def give_all_back(known: Verification, due: datetime) -> list[Fact]:
    """R7: the same of every payment."""
    return [fact for payment in known.payments for fact in give_back(known, payment, due)]


def capture(known: Verification, due: datetime) -> list[Fact]:
    """R7: once a package is confirmed, what is owed and not captured is, as far as it is held."""
    if not (known.shipped and (payment := approved_payment(known))):
        return []
    pending_minor = payment.pending_minor("capture")
    missing_minor = owed_minor(known) - payment.captured.arrived_minor
    amount_minor = min(missing_minor, payment.held_minor) - pending_minor
    if amount_minor <= 0:
        return []
    amount = Money(amount_minor=amount_minor, currency=payment.currency)
    return [CaptureRequested(payment_id=payment.payment_id, amount=amount, answer_due=due)]


def capture_first(known: Verification, due: datetime) -> list[Fact]:
    """R7: the first confirmed package asks for the capture, unless the provider captured at once.

    Where nothing is held, it is asked for as soon as something is.
    """
    awaited = CaptureAwaited()
    if requests := capture(known.after(awaited), due):
        return requests
    payment = approved_payment(known)
    if payment is not None and payment.captured.arrived_minor >= owed_minor(known):
        return []
    return [awaited]


def ask_again(known: Verification, time: datetime, due: datetime) -> list[Fact]:
    """R7: where an authorisation lapsed before its capture, what is owed is asked for again; what
    may be left of it is not owed then. What was taken back is asked for no more.
    """
    payment, owes_minor = approved_payment(known), owed_minor(known)
    if payment is None or payment.taken_back_minor:
        return []
    if payment.captured.arrived_minor or payment.held_minor >= owes_minor:
        return []
    asked = AuthorizationRequested(
        lapsed_payment_id=payment.payment_id,
        amount=Money(amount_minor=owes_minor, currency=payment.currency),
        payment_method_ref=known.payer.payment_method_ref if known.payer else None,
        asked_at=time,
        answer_due=due,
    )
    return [asked, *give_back(known.after(asked), payment, due)]


def approved_payment(known: Verification) -> Payment | None:
    """The payment that an approved order owes to."""
    match known.standing:
        case Approved(payment_id=payment_id, total=total):
            return known.payment(payment_id, total.currency)
    return None


def _why_not_owed(known: Verification, payment: Payment) -> Cause:
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


def after(known: Verification, facts: Sequence[Fact]) -> Verification:
    """What is known after several of the service's own facts."""
    for fact in facts:
        known = known.after(fact)
    return known
