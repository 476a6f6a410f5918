"""R7: what becomes of money: captured, given back, or asked for again.

`owed.py` has what is owed. What a payment brings, on top of what the gateway had said of it before:

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
    lapsed before its authorisation is told           what was authorised by then is held no more;
                                                      where it is approved, it is asked for again
    held no more, of the approved payment             asked for again; where a part is captured, it
                                                      is stuck, as one order has one payment
    voided, refunded, lapsed or reversed              recorded; what returned unasked is not asked
                                                      back. A void does not count against a capture:
                                                      a provider refuses the refund of what it
                                                      voided, but nobody refunds what nobody asks

Every request says until when its answer is due (R23).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.payment.funds import Kind, Payment, Way
from services.payment.owed import approved_payment, owed_minor, shortfall_minor, why_not_owed
from services.payment.state import Lapsed, Verification
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
    PaymentRenewed,
    PaymentStuck,
    RefundRequested,
    VoidRequested,
)


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
    told = getattr(known.payment(said.payment_id, currency), how)
    new_minor = said.amount.amount_minor - told.arrived_minor
    if new_minor <= 0:
        return []
    amount = Money(amount_minor=new_minor, currency=currency)
    arrived = MoneyArrived(payment_id=said.payment_id, amount=amount, how=how, happened_at=time)
    facts: list[Fact] = [arrived]
    if _renews(known, after(known, facts).payment(said.payment_id, currency), amount):
        facts.append(PaymentRenewed(payment_id=said.payment_id))
    facts += follow_up(known, facts, said, time)
    facts += make_up(known, after(known, facts), time, due)
    settled = after(known, facts)
    facts += give_back(settled, settled.payment(said.payment_id, currency), due)
    return [*facts, *capture(after(known, facts), due)]


def _renews(known: Verification, payment: Payment, came: Money) -> bool:
    """What was asked for again came, and is not what goes back already, told in another order."""
    if not isinstance(known.standing, Lapsed) or known.standing.asked != came:
        return False
    return payment.kept_minor + payment.capturable_minor >= owed_minor(known)


def follow_up(
    known: Verification,
    facts: Sequence[Fact],
    said: PaymentAuthorized | PaymentCaptured,
    time: datetime,
) -> list[Fact]:
    """R7: of money that comes, what had lapsed or been taken back before; see `facts` for what
    came. What had lapsed first could not be taken back any more. What is authorised later is new,
    and so is what is captured later, but for the first capture.
    """
    payment_id, currency = said.payment_id, said.amount.currency
    payment, came = known.payment(payment_id, currency), after(known, facts)
    returned: list[Fact] = []
    gone: tuple[tuple[Mapping[str, datetime], Way], ...] = (
        (known.lapsed, "lapsed"),
        (known.taken_back, "reversed"),
    )
    for at, way in sorted((at, way) for times, way in gone if (at := times.get(payment_id))):
        if isinstance(said, PaymentCaptured) and payment.captured.arrived_minor and time > at:
            continue
        there = after(came, returned).payment(payment_id, currency)
        there_minor = there.held_minor if way == "lapsed" else there.reclaimable_minor
        new_minor = there_minor - there.authorized_since_minor(at)
        returned += went_back(there, way, new_minor, at, whole=way == "reversed")
    return [*returned, *withdraw(known, after(came, returned), payment)]


def went_back(
    payment: Payment, how: Way, new_minor: int, at: datetime, *, whole: bool = False
) -> list[MoneyReturned]:
    """What returned of a payment on top of what was told before; nothing where that is no more."""
    if new_minor <= 0:
        return []
    returned = MoneyReturned(
        payment_id=payment.payment_id,
        amount=Money(amount_minor=new_minor, currency=payment.currency),
        how=how,
        happened_at=at,
        whole=whole,
    )
    return [returned]


def withdraw(before: Verification, known: Verification, payment: Payment) -> list[Fact]:
    """R7: a payment that the order owes to, and that was not taken back `before` and is now, is
    approved no more. `payment` is as it was before.
    """
    taken_back_minor = known.payment(payment.payment_id, payment.currency).taken_back_minor
    was_withdrawn = before.owes_to(payment) and payment.taken_back_minor > 0
    if was_withdrawn or not (taken_back_minor and known.owes_to(payment) and owed_minor(known)):
        return []
    amount = Money(amount_minor=taken_back_minor, currency=payment.currency)
    return [ApprovalWithdrawn(payment_id=payment.payment_id, amount=amount, reason="reversed")]


def give_back(known: Verification, payment: Payment, due: datetime) -> list[Fact]:
    """R7: what is authorised and not owed is voided, what is captured and not owed refunded.

    What was captured, or is about to be, is held no more; what the provider refused to capture is.
    What was asked for, or returned unasked, is not asked again.
    """
    authorized, captured = payment.authorized, payment.captured
    owes_minor = owed_minor(known) if known.owes_to(payment) else 0
    refused = "capture" in payment.failed
    taken_minor = captured.arrived_minor + (0 if refused else payment.pending_minor("capture"))
    needed_minor = payment.refund_asked_minor + owes_minor
    held_minor = authorized.arrived_minor - max(taken_minor, needed_minor)
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
        for cause in [why_not_owed(known, payment)]
    ]


def give_all_back(known: Verification, due: datetime) -> list[Fact]:
    """R7: the same of every payment."""
    return [fact for payment in known.payments for fact in give_back(known, payment, due)]


def capture(known: Verification, due: datetime) -> list[Fact]:
    """R7: once a package is confirmed, what is owed and not captured is, as far as it is held and
    not to be voided.
    """
    if not (known.shipped and (payment := approved_payment(known))):
        return []
    pending_minor = payment.pending_minor("capture")
    missing_minor = owed_minor(known) - payment.kept_minor
    amount_minor = min(missing_minor, payment.capturable_minor) - pending_minor
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


def make_up(before: Verification, known: Verification, time: datetime, due: datetime) -> list[Fact]:
    """R7, R23: what is held no more of the approved payment and is owed, is asked for again; of one
    that was captured in part, a person has to look, as nobody can capture the rest any more.

    That is said when it is told, as what is asked for again is: before the goods leave there may be
    time to have it authorised. It is said once, whether a package was confirmed before or not.
    """
    return [*_ask_again(known, time, due), *_fall_short(before, known, time)]


def _fall_short(before: Verification, known: Verification, time: datetime) -> list[Fact]:
    """R23: what can not be captured any more since `before`. A request that waits for more than is
    held can not be done as it was asked: all of it is stuck. One that was refused counted before,
    as far as it is held, and waits for nothing where more is lost.
    """
    payment = approved_payment(known)
    if payment is None or payment.taken_back_minor:
        return []
    earlier = before.payment(payment.payment_id, payment.currency)
    lost_minor = shortfall_minor(known, payment) - shortfall_minor(before, earlier)
    if lost_minor <= 0:
        return []
    waits_minor = payment.pending_minor("capture")
    stuck = PaymentStuck(
        payment_id=payment.payment_id,
        amount=Money(amount_minor=lost_minor + waits_minor, currency=payment.currency),
        reason="capture_failed",
        since=time,
        detail="captured in part, and the rest is held no more",
    )
    return [stuck]


def _ask_again(known: Verification, time: datetime, due: datetime) -> list[Fact]:
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


def after(known: Verification, facts: Sequence[Fact]) -> Verification:
    """What is known after several of the service's own facts."""
    for fact in facts:
        known = known.after(fact)
    return known
