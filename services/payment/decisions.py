"""Whether an order's payment is good, what is captured of it, and what goes back: R5, R6, R7, R23.

`TABLE` says for every event and every standing of the order whether its rule applies (R25). Here
are the verification and what becomes of the order; `owed.py` has what is owed, `money.py` what
becomes of money, `answers.py` what else the provider says of money, or does not.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from services.payment.answers import fail, get_stuck, lapse, record_return, reverse
from services.payment.case import Case
from services.payment.money import (
    after,
    capture_first,
    follow_up,
    give_all_back,
    give_back,
    make_up,
    settle,
)
from services.payment.owed import approved_payment, parts_of
from services.payment.state import Awaiting, Lapsed, Payer, Standing, Verification
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact
from shared.events.fields import ItemQuantity, Money
from shared.events.fulfillment import (
    OpenUnitsCanceled,
    OrderArchived,
    OrderCanceled,
    PackageConfirmed,
    RequestRefused,
    UnitsReturned,
)
from shared.events.gateway import (
    AnswerPending,
    AuthorizationLapsed,
    BuyerBlocked,
    BuyerUnblocked,
    CardBlocked,
    CardUnblocked,
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentChargedBack,
    PaymentDeclined,
    PaymentRefunded,
    PaymentReversed,
    PaymentVoided,
    RequestFailed,
    VerificationUnavailable,
)
from shared.events.payment import (
    PROVIDER_ANSWER,
    VERIFICATION,
    ApprovalWithdrawn,
    PayerBlocked,
    PayerUnblocked,
    PaymentApproved,
    PaymentArchived,
    PaymentRefusal,
    PaymentRefused,
    UnitsNotOwed,
    VerificationClosed,
    VerificationStarted,
    VerificationUnknown,
)
from shared.events.storefront import OrderPlaced
from shared.policy import Policies
from shared.service import Facts, Park, Received

LIMITS: Final = ("velocity_exceeded", "spend_exceeded")
"""What a tally may say is reached, and the reason of the refusal (R8)."""


def decide(state: Verification | None, received: Received, policies: Policies) -> Facts | Park:
    """Look up the event in R25's table, and apply its rule where the table says so."""
    known, said = state or Verification(), received.event.data
    row = TABLE[said.kind if isinstance(said, DeadlineReached) else type(said)]
    match row.verdict(known.standing):
        case "park":
            return Park(until=policies.default.parked_until(received.at))
        case "ignore":
            return ()
    assert row.rule is not None, f"{said.TYPE} says nothing of an order, and is ignored always"
    return row.rule(Case(known, said, received.event.time, received.at, received.answers, policies))


# -- verification ---------------------------------------------------------------------------------


def _start(case: Case[OrderPlaced]) -> Facts:
    """R5: a placed order's payment is awaited until its verification window ends, unless its buyer
    or its card is blocked or reaches a limit.
    """
    placed = case.said
    if refused := _unwelcome(case):
        return [refused]
    policy = case.policies.of(placed.marketplace_id)
    started = VerificationStarted(
        amount=placed.order_total,
        ends=policy.verification_end(placed.purchase_date),
        marketplace_id=placed.marketplace_id,
        provider_answer_hours=policy.provider_answer_hours,
        buyer_id=placed.buyer.buyer_id,
        payment_method_ref=placed.payment_method_ref,
        purchase_date=placed.purchase_date,
        items=parts_of(placed),
    )
    return [started]


def _unwelcome(case: Case[OrderPlaced]) -> PaymentRefused | None:
    """R5, R8: blocked, too many orders or too much spent, in this order, by its buyer or card."""
    (buyer, card), placed = case.tallies, case.said
    payer = Payer.of(placed)
    if "blocked" in (buyer, card):
        return _refused(payer, "buyer_blocked" if buyer == "blocked" else "card_blocked")
    hours = case.policies.of(placed.marketplace_id).fraud.window_hours
    for reason in LIMITS:
        if reason in (buyer, card):
            whose = "buyer" if buyer == reason else "card"
            return _refused(payer, reason, detail=f"by its {whose} within {hours} hours")
    return None


def _refused(
    payer: Payer | None, reason: PaymentRefusal, payment_id: str | None = None, detail: str = ""
) -> PaymentRefused:
    return PaymentRefused(
        reason=reason,
        payment_id=payment_id,
        detail=detail,
        buyer_id=payer.buyer_id if payer else None,
        payment_method_ref=payer.payment_method_ref if payer else None,
    )


def _take(case: Case[PaymentAuthorized | PaymentCaptured]) -> Facts:
    """R5, R7: awaited money answers the verification; of all other, what is not owed goes back."""
    if isinstance(case.known.standing, Awaiting):
        return _verify(case, case.known.standing.total)
    return settle(case.known, case.said, case.time, case.answer_due)


def _verify(case: Case[PaymentAuthorized | PaymentCaptured], total: Money) -> Facts:
    """R5: approved where amount and currency are the order's total, else refused; both for good.
    R7: what was taken back, or lapsed, before it is told is as if it were now.
    """
    said = case.said
    if said.amount == total:
        captured = isinstance(said, PaymentCaptured)
        approved = PaymentApproved(
            payment_id=said.payment_id,
            amount=total,
            captured=captured,
            captured_at=case.time if captured else None,
        )
        before = case.known
        facts = [approved, *follow_up(before, [approved], said, case.time)]
        return [*facts, *make_up(before, after(before, facts), case.time, case.answer_due)]
    detail = f"{_shown(said.amount)} instead of {_shown(total)}"
    refused = _refused(case.known.payer, "payment_mismatch", said.payment_id, detail)
    return [refused, *settle(case.known.after(refused), said, case.time, case.answer_due)]


def _decline(case: Case[PaymentDeclined | FraudSuspected]) -> Facts:
    """R5: declined by the provider, or fraud, is refused. R7: what lapsed and is not authorised
    again is good no more; what was said before it was asked for is no answer to that.
    """
    said, standing = case.said, case.known.standing
    if isinstance(standing, Lapsed):
        if standing.withdrawn or case.time < standing.asked_at:
            return ()
        withdrawn = ApprovalWithdrawn(
            payment_id=standing.payment_id,
            amount=standing.asked,
            reason="not_renewed",
            detail=said.reason,
        )
        return [withdrawn]
    fraud = isinstance(said, FraudSuspected)
    reason: PaymentRefusal = "fraud_suspected" if fraud else "payment_declined"
    return [_refused(case.known.payer, reason, said.payment_id, said.reason)]


def _wait_on(case: Case[VerificationUnavailable]) -> Facts:
    """R5: unknown is never treated as refused; it is recorded and the order waits on."""
    return [VerificationUnknown(payment_id=case.said.payment_id, detail=case.said.reason)]


def _time_out(case: Case[DeadlineReached]) -> Facts:
    """R6: never approved in its window is refused."""
    return [_refused(case.known.payer, "payment_timeout")]


def _block(case: Case[BuyerBlocked | CardBlocked]) -> Facts:
    """R5: the tally refuses what is placed from now on."""
    return [PayerBlocked(reason=case.said.reason)]


def _unblock(case: Case[BuyerUnblocked | CardUnblocked]) -> Facts:
    """R5: and does not any more."""
    return [PayerUnblocked(reason=case.said.reason)]


# -- what becomes of the order --------------------------------------------------------------------


def _close(case: Case[OrderCanceled]) -> Facts:
    """R7: of a canceled order all that is authorised is voided, all that is captured refunded.

    The cancel may come before the order (they lie on different topics): it says all that matters.
    """
    said = case.said
    closed = VerificationClosed(buyer_id=said.buyer_id, payment_method_ref=said.payment_method_ref)
    return [closed, *give_all_back(case.known.after(closed), case.answer_due)]


def _ship(case: Case[PackageConfirmed]) -> Facts:
    """R7: the first confirmed package asks for the capture."""
    return () if case.known.shipped else capture_first(case.known, case.answer_due)


def _cancel_units(case: Case[OpenUnitsCanceled]) -> Facts:
    """R7: what is canceled of a partly shipped order is not owed."""
    return _let_go(case, UnitsNotOwed(cause="units_canceled", items=case.said.units_canceled))


def _return_units(case: Case[UnitsReturned]) -> Facts:
    """R17, R7: what came back is not owed, in whatever condition it is."""
    units: Counter[str] = Counter()
    for item in case.said.items:
        units[item.order_item_id] += item.quantity
    items = tuple(ItemQuantity(order_item_id=id_, quantity=n) for id_, n in units.items())
    return_id = case.said.return_id
    return _let_go(case, UnitsNotOwed(cause="units_returned", return_id=return_id, items=items))


def _archive(_case: Case[OrderArchived]) -> Facts:
    """R23: of an archived order payment keeps the money only, for who comes late."""
    return [PaymentArchived()]


def _let_go(case: Case[Any], not_owed: UnitsNotOwed) -> Facts:
    known = case.known.after(not_owed)
    payment = approved_payment(known)
    return [not_owed, *(give_back(known, payment, case.answer_due) if payment else ())]


def _shown(money: Money) -> str:
    return f"{money.amount_minor} {money.currency}"


Verdict = Literal["apply", "park", "ignore"]
APPLY: Final = "apply"
PARK: Final = "park"
IGNORE: Final = "ignore"


class Row(NamedTuple):
    """The rule for an event, none where it says nothing of any order, and per standing of the order
    what becomes of the event.
    """

    rule: Callable[[Case[Any]], Facts] | None
    not_placed: Verdict
    awaiting: Verdict
    approved: Verdict
    lapsed: Verdict
    refused: Verdict
    closed: Verdict

    def verdict(self, standing: Standing) -> Verdict:
        verdict: Verdict = getattr(self, standing.status)
        return verdict


# fmt: off
TABLE: Mapping[type[Fact] | str, Row] = {
    #                        rule               not     awaiting        lapsed          closed
    #                                           placed          approved        refused
    OrderPlaced:             Row(_start,        APPLY,  IGNORE, IGNORE, IGNORE, IGNORE, IGNORE),
    PaymentAuthorized:       Row(_take,         PARK,   APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    PaymentCaptured:         Row(_take,         PARK,   APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    PaymentDeclined:         Row(_decline,      PARK,   APPLY,  IGNORE, APPLY,  IGNORE, IGNORE),
    FraudSuspected:          Row(_decline,      PARK,   APPLY,  IGNORE, APPLY,  IGNORE, IGNORE),
    VerificationUnavailable: Row(_wait_on,      PARK,   APPLY,  IGNORE, IGNORE, IGNORE, IGNORE),
    AnswerPending:           Row(None,          IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE),
    PaymentVoided:           Row(record_return, PARK,   APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    PaymentRefunded:         Row(record_return, PARK,   APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    AuthorizationLapsed:     Row(lapse,         PARK,   APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    PaymentReversed:         Row(reverse,       PARK,   APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    PaymentChargedBack:      Row(reverse,       PARK,   APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    RequestFailed:           Row(fail,          PARK,   APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    PackageConfirmed:        Row(_ship,         PARK,   PARK,   APPLY,  APPLY,  IGNORE, IGNORE),
    OpenUnitsCanceled:       Row(_cancel_units, PARK,   PARK,   APPLY,  APPLY,  IGNORE, IGNORE),
    UnitsReturned:           Row(_return_units, PARK,   PARK,   APPLY,  APPLY,  IGNORE, IGNORE),
    OrderCanceled:           Row(_close,        APPLY,  APPLY,  APPLY,  APPLY,  IGNORE, IGNORE),
    OrderArchived:           Row(_archive,      PARK,   PARK,   APPLY,  APPLY,  APPLY,  APPLY),
    RequestRefused:          Row(None,          IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE),
    VERIFICATION:            Row(_time_out,     IGNORE, APPLY,  IGNORE, IGNORE, IGNORE, IGNORE),
    PROVIDER_ANSWER:         Row(get_stuck,     IGNORE, APPLY,  APPLY,  APPLY,  APPLY,  APPLY),
    BuyerBlocked:            Row(_block,        APPLY,  IGNORE, IGNORE, IGNORE, IGNORE, IGNORE),
    BuyerUnblocked:          Row(_unblock,      APPLY,  IGNORE, IGNORE, IGNORE, IGNORE, IGNORE),
    CardBlocked:             Row(_block,        APPLY,  IGNORE, IGNORE, IGNORE, IGNORE, IGNORE),
    CardUnblocked:           Row(_unblock,      APPLY,  IGNORE, IGNORE, IGNORE, IGNORE, IGNORE),
}
"""R25, by event or, of a deadline, by its kind. The first answer is final: what asks a decided
payment again is ignored, money is not. A refused order is closed already, its cancel only follows.
A cancel precedes its order where the topics lag apart, and needs nothing of it; what is shipped was
approved, so that its approval is on the way. Buyers and cards are subjects of their own; that an id
was used before is about the tallies only (`store.py`)."""
# fmt: on
