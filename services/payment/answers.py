"""What the provider says of money that goes, and what it does not say: R7, R23."""

from collections.abc import Mapping
from datetime import datetime

from services.payment.case import Case
from services.payment.funds import Payment, Request, Way
from services.payment.money import after, give_back, make_up, went_back, withdraw
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
    new_minor = said.amount.amount_minor - payment.told.get(way, 0)
    returned = went_back(payment, way, new_minor, case.time)
    if not returned:
        return ()
    before, known = case.known, case.known.after(returned[0])
    facts = [*returned, *withdraw(before, known, payment)]
    return [*facts, *make_up(before, known, case.time, case.answer_due)]


def lapse(case: Case[AuthorizationLapsed]) -> Facts:
    """R7: what was authorised before that is held no more, and is made up for where it is owed.

    R25: it is remembered, as what lapsed may be told later; said again, it says nothing of what was
    authorised since.
    """
    before, payment_id, at = case.known, case.said.payment_id, case.time
    known_of = (before.lapsed.get(payment_id), before.taken_back.get(payment_id))
    if any(known_at and at <= known_at for known_at in known_of):
        return ()
    facts: list[Fact] = []
    for payment in _payments(before, payment_id):
        since_minor = payment.authorized_since_minor(at)
        if payment.captured_at and payment.captured_at >= at:
            since_minor -= payment.captured.arrived_minor
        lapsed_minor = payment.held_minor - max(0, since_minor)
        facts += went_back(payment, "lapsed", lapsed_minor, at)
    if not facts:
        return [PaymentLapsed(payment_id=payment_id, happened_at=at)]
    return [*facts, *make_up(before, after(before, facts), at, case.answer_due)]


def reverse(case: Case[PaymentReversed | PaymentChargedBack]) -> Facts:
    """R7: what was taken back is recorded; of the approved payment, it stops an unshipped order.

    Where all is taken back of a payment and nothing is there to take, what it was is told later:
    that is remembered.
    """
    said, known = case.said, case.known
    payments = _payments(known, said.payment_id, said.amount)
    facts: list[Fact] = []
    for payment in payments:
        new_minor = payment.reclaimable_minor - payment.authorized_since_minor(case.time)
        if said.amount is not None:
            new_minor = said.amount.amount_minor - payment.told.get("reversed", 0)
        whole = said.amount is None
        returned = went_back(payment, "reversed", new_minor, case.time, whole=whole)
        facts += returned
        if returned and known.has_approved(payment):
            charged_back = isinstance(said, PaymentChargedBack)
            withdrawn = ApprovalWithdrawn(
                payment_id=payment.payment_id,
                amount=returned[0].amount,
                reason="charged_back" if charged_back else "reversed",
                detail=said.reason,
            )
            facts.append(withdrawn)
    if facts or said.amount is not None or said.payment_id in known.taken_back:
        return facts
    return [PaymentTakenBack(payment_id=said.payment_id, happened_at=case.time)]


def _payments(known: Verification, payment_id: str, amount: Money | None = None) -> list[Payment]:
    """The payment with that id, in that currency or in all that it has."""
    if amount is not None:
        return [known.payment(payment_id, amount.currency)]
    return [payment for payment in known.payments if payment.payment_id == payment_id]


def fail(case: Case[RequestFailed]) -> Facts:
    """R23: a request that the provider answered with no is stuck, once, if it was not done
    meanwhile. R7: what it does not capture and is not owed any more is voided.
    """
    said, facts = case.said, list[Fact]()
    for payment in _payments(case.known, said.payment_id):
        pending_minor = payment.pending_minor(said.request)
        if pending_minor and said.request not in payment.failed:
            stuck = _stuck(payment, FAILED[said.request], pending_minor, case.at, said.reason)
            known = case.known.after(stuck)
            refused = known.payment(payment.payment_id, payment.currency)
            facts += [stuck, *give_back(known, refused, case.answer_due)]
    return facts


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
