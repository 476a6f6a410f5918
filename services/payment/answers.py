"""What the provider says of money that goes, and what it does not say: R7, R23."""

from collections.abc import Mapping
from datetime import datetime

from services.payment.case import Case
from services.payment.funds import Payment, Request, Way
from services.payment.money import after, make_up, withdraw
from services.payment.state import Lapsed, Verification
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact
from shared.events.fields import Money
from shared.events.gateway import (
    AuthorizationLapsed,
    PaymentChargedBack,
    PaymentRefunded,
    PaymentReversed,
    PaymentVoided,
    RequestFailed,
)
from shared.events.payment import (
    ApprovalWithdrawn,
    MoneyReturned,
    PaymentLapsed,
    PaymentStuck,
    PaymentTakenBack,
    StuckReason,
)
from shared.service import Facts

UNANSWERED: Mapping[Request, StuckReason] = {
    "capture": "capture_unanswered",
    "void": "void_unanswered",
    "refund": "refund_unanswered",
}
FAILED: Mapping[Request, StuckReason] = {
    "capture": "capture_failed",
    "void": "void_failed",
    "refund": "refund_failed",
}


def record_return(case: Case[PaymentVoided | PaymentRefunded]) -> Facts:
    """R7: what returned is recorded, once, whether it was asked for or not. An order that owes to
    a payment of which all is refunded, is paid no more.
    """
    said = case.said
    way: Way = "voided" if isinstance(said, PaymentVoided) else "refunded"
    payment = case.known.payment(said.payment_id, said.amount.currency)
    returned = _returned(payment, way, said.amount.amount_minor - payment.told.get(way, 0))
    if not returned:
        return ()
    before, known = case.known, case.known.after(returned[0])
    facts = [*returned, *withdraw(before, known, payment)]
    return [*facts, *make_up(before, known, case.time, case.answer_due)]


def lapse(case: Case[AuthorizationLapsed]) -> Facts:
    """R7: what lapsed is held no more, and is made up for where it is owed.

    R25: where the authorisation is not told yet, the lapse is remembered until it is; what was
    taken back before can not lapse any more.
    """
    before, payment_id = case.known, case.said.payment_id
    payments = _payments(before, payment_id)
    if not any(payment.authorized.arrived_minor for payment in payments):
        known_of = payment_id in (*before.lapsed_early, *before.taken_back)
        return () if known_of else (PaymentLapsed(payment_id=payment_id),)
    facts: list[Fact] = []
    for payment in payments:
        facts += _returned(payment, "lapsed", payment.held_minor)
    return [*facts, *make_up(before, after(before, facts), case.time, case.answer_due)]


def reverse(case: Case[PaymentReversed | PaymentChargedBack]) -> Facts:
    """R7: what was taken back is recorded; of the approved payment, it stops an unshipped order.

    Where all is taken back of a payment before money of it is told, that is remembered.
    """
    said = case.said
    payments = _payments(case.known, said.payment_id, said.amount)
    if said.amount is None and not any(payment.has_come for payment in payments):
        known_of = said.payment_id in case.known.taken_back
        return () if known_of else (PaymentTakenBack(payment_id=said.payment_id),)
    facts: list[Fact] = []
    for payment in payments:
        new_minor = payment.reclaimable_minor
        if said.amount is not None:
            new_minor = said.amount.amount_minor - payment.told.get("reversed", 0)
        returned = _returned(payment, "reversed", new_minor)
        facts += returned
        if returned and case.known.has_approved(payment):
            charged_back = isinstance(said, PaymentChargedBack)
            withdrawn = ApprovalWithdrawn(
                payment_id=payment.payment_id,
                amount=returned[0].amount,
                reason="charged_back" if charged_back else "reversed",
                detail=said.reason,
            )
            facts.append(withdrawn)
    return facts


def _payments(known: Verification, payment_id: str, amount: Money | None = None) -> list[Payment]:
    """The payment with that id, in that currency or in all that it has."""
    if amount is not None:
        return [known.payment(payment_id, amount.currency)]
    return [payment for payment in known.payments if payment.payment_id == payment_id]


def _returned(payment: Payment, way: Way, new_minor: int) -> list[MoneyReturned]:
    if new_minor <= 0:
        return []
    amount = Money(amount_minor=new_minor, currency=payment.currency)
    return [MoneyReturned(payment_id=payment.payment_id, amount=amount, how=way)]


def fail(case: Case[RequestFailed]) -> Facts:
    """R23: a request that the provider answered with no is stuck, once, if it was not done
    meanwhile.
    """
    said = case.said
    return [
        _stuck(payment, FAILED[said.request], pending_minor, case.at, said.reason)
        for payment in _payments(case.known, said.payment_id)
        if said.request not in payment.failed
        if (pending_minor := payment.pending_minor(said.request))
    ]


def get_stuck(case: Case[DeadlineReached]) -> Facts:
    """R23: a request without an answer by its deadline is stuck; it is never taken back."""
    due, standing = case.said.due, case.known.standing
    stuck = [
        _stuck(payment, UNANSWERED[request], payment.pending_minor(request), due)
        for payment in case.known.payments
        for request, answer_due in payment.answer_due.items()
        if answer_due <= due
    ]
    if isinstance(standing, Lapsed) and standing.answer_due and standing.answer_due <= due:
        lapsed = PaymentStuck(
            payment_id=standing.payment_id,
            amount=standing.asked,
            reason="authorization_unanswered",
            since=due,
        )
        stuck.append(lapsed)
    return stuck


def _stuck(
    payment: Payment, reason: StuckReason, amount_minor: int, since: datetime, detail: str = ""
) -> PaymentStuck:
    return PaymentStuck(
        payment_id=payment.payment_id,
        amount=Money(amount_minor=amount_minor, currency=payment.currency),
        reason=reason,
        since=since,
        detail=detail,
    )
