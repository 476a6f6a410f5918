"""The state of an order's payment: what its verification came to, and the money of its payments."""

from collections.abc import Callable, Iterator, Mapping, Sized
from datetime import datetime
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field

from services.payment.funds import Kind, Payment, Request
from shared.documents import State
from shared.errors import PermanentError
from shared.events.envelope import Fact, OpenDeadline
from shared.events.fields import Identifier, Instant, Model, Money
from shared.events.payment import (
    PROVIDER_ANSWER,
    VERIFICATION,
    ApprovalWithdrawn,
    AuthorizationRequested,
    CaptureAwaited,
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    PayableItem,
    PayerBlocked,
    PayerUnblocked,
    PaymentApproved,
    PaymentArchived,
    PaymentLapsed,
    PaymentRefusal,
    PaymentRefused,
    PaymentRenewed,
    PaymentStuck,
    PaymentTakenBack,
    RefundRequested,
    StuckReason,
    UnitsNotOwed,
    VerificationClosed,
    VerificationStarted,
    VerificationUnknown,
    VoidRequested,
)
from shared.events.storefront import OrderPlaced
from shared.policy_files import DEFAULT

MAX_PAYMENTS = 100
"""Payments of one order, and of one payment its steps (authorisations on top of the first, and what
was reversed before it was captured): far more than a buyer's tries, so a flood for one order stays
small. What comes of the next is a dead letter, for a person to look at."""


class NotPlaced(Model):
    """Nothing is known of the order yet."""

    status: Literal["not_placed"] = "not_placed"


class Awaiting(Model):
    """A payment of `total` is awaited until `ends`; an *unknown* changes nothing about it (R5)."""

    status: Literal["awaiting"] = "awaiting"
    total: Money
    ends: Instant


class Approved(Model):
    """The order owes what is owed of its total to the one payment that was approved."""

    status: Literal["approved"] = "approved"
    payment_id: Identifier
    total: Money


class Lapsed(Model):
    """That payment lapsed before it was captured: `asked` was asked for again (R7).

    `answer_due` is gone once the provider was silent for too long, `withdrawn` that it said no.
    """

    status: Literal["lapsed"] = "lapsed"
    payment_id: Identifier
    total: Money
    asked: Money
    asked_at: Instant
    answer_due: Instant | None = None
    withdrawn: bool = False


class Refused(Model):
    """The payment is not good, for good: the order is canceled and owes nothing (R6)."""

    status: Literal["refused"] = "refused"
    reason: PaymentRefusal
    payment_id: Identifier | None = None


class Closed(Model):
    """The order was canceled and owes nothing, whether it had been approved or not (R7)."""

    status: Literal["closed"] = "closed"


Standing = Annotated[
    NotPlaced | Awaiting | Approved | Lapsed | Refused | Closed, Field(discriminator="status")
]


class Line(PayableItem):
    """An order item, and how many of its units were canceled or came back."""

    gone: Annotated[int, Field(ge=0)] = 0


class LetGo(Model):
    """Why units of the order are not owed any more."""

    cause: Literal["units_canceled", "units_returned"]
    return_id: Identifier | None = None


class Payer(Model):
    """With whom and with what the order counts, from its purchase on (R8)."""

    buyer_id: Identifier
    payment_method_ref: Identifier
    purchase_date: Instant

    @classmethod
    def of(cls, placed: OrderPlaced) -> Self:
        """Of a placed order."""
        return cls(
            buyer_id=placed.buyer.buyer_id,
            payment_method_ref=placed.payment_method_ref,
            purchase_date=placed.purchase_date,
        )

    @classmethod
    def named_in(cls, started: VerificationStarted) -> Self | None:
        """Of what was started; none where it names nobody."""
        if not (started.buyer_id and started.payment_method_ref and started.purchase_date):
            return None
        return cls(
            buyer_id=started.buyer_id,
            payment_method_ref=started.payment_method_ref,
            purchase_date=started.purchase_date,
        )


MoneyFact = (
    PaymentApproved
    | MoneyArrived
    | VoidRequested
    | RefundRequested
    | CaptureRequested
    | MoneyReturned
    | PaymentStuck
)


class Verification(State):
    """An order's payment; its deadlines are the end of the verification, while that is open, and of
    the wait for the provider's answers.

    `payments` are in the order of their ids, so that it does not show which of them came first.
    `let_go` is why the last units were that are not owed any more; `shipped` says that what is
    authorised is to be captured; `archived`, that only latecomers ask for it once its money is at
    rest; `lapsed` says when a payment lapsed last, `taken_back` when all of it was taken back while
    nothing was there that could be; `blocked` is of a buyer or a card, which has nothing else.
    """

    standing: Standing = NotPlaced()
    payments: tuple[Payment, ...] = ()
    marketplace_id: Identifier = DEFAULT
    provider_answer_hours: int | None = None
    payer: Payer | None = None
    lines: tuple[Line, ...] = ()
    let_go: LetGo | None = None
    shipped: bool = False
    archived: bool = False
    lapsed: Mapping[Identifier, Instant] = Field(default_factory=dict)
    taken_back: Mapping[Identifier, Instant] = Field(default_factory=dict)
    blocked: bool = False

    @property
    def lingers(self) -> bool:
        if isinstance(self.standing, NotPlaced):
            return not self.blocked
        return self.archived and not any(payment.is_pending for payment in self.payments)

    def payment(self, payment_id: str, currency: str) -> Payment:
        """A payment by its id and currency; one without money where nothing was heard of it."""
        for payment in self.payments:
            if (payment.payment_id, payment.currency) == (payment_id, currency):
                return payment
        return Payment(payment_id=payment_id, currency=currency)

    def owes_to(self, payment: Payment) -> bool:
        """Whether the order owes to that payment: one that lapsed, it owes to no more."""
        return isinstance(self.standing, Approved) and self.has_approved(payment)

    def has_approved(self, payment: Payment) -> bool:
        """Whether it is the approved payment, lapsed or not."""
        standing = self.standing
        if not isinstance(standing, Approved | Lapsed):
            return False
        approved = (standing.payment_id, standing.total.currency)
        return approved == (payment.payment_id, payment.currency)

    def after(self, fact: Fact) -> Self:
        """The state after one of the service's own facts; TypeError for any other."""
        changed = self.model_copy(update=self._changes(fact))
        deadlines = tuple(changed.waits_for())
        if deadlines == self.deadlines:
            return changed
        return changed.model_copy(update={"deadlines": deadlines})

    def _changes(self, fact: Fact) -> dict[str, Any]:
        match fact:
            case VerificationStarted():
                return self._started(fact)
            case VerificationUnknown():
                return {}
            case PaymentApproved():
                approved = Approved(payment_id=fact.payment_id, total=fact.amount)
                return {"standing": approved, **self._of_money(fact)}
            case PaymentRefused() | VerificationClosed():
                return self._ended(fact)
            case UnitsNotOwed():
                return self._let_go(fact)
            case CaptureAwaited():
                return {"shipped": True}
            case AuthorizationRequested() | PaymentRenewed() | ApprovalWithdrawn():
                return {"standing": self._stands(fact)}
            case PaymentArchived():
                return {"archived": True, "payer": None}
            case PayerBlocked() | PayerUnblocked():
                return {"blocked": isinstance(fact, PayerBlocked)}
        return self._of_money(fact)

    def _of_money(self, fact: Fact) -> dict[str, Any]:
        match fact:
            case PaymentApproved() | MoneyArrived():
                return self._arrived(fact)
            case MoneyReturned():
                return self._returned(fact)
            case CaptureRequested():
                return {"shipped": True, **self._count(fact, _request("capture", fact.answer_due))}
            case VoidRequested():
                return self._count(fact, _request("void", fact.answer_due))
            case RefundRequested():
                return self._count(fact, _request("refund", fact.answer_due))
            case PaymentTakenBack():
                return {"taken_back": _with(self.taken_back, fact)}
            case PaymentLapsed():
                return {"lapsed": _with(self.lapsed, fact)}
            case PaymentStuck(reason="authorization_unanswered"):
                return {"standing": self._stands(fact)}
            case PaymentStuck():
                return self._count(fact, _stuck(fact.reason))
        raise TypeError(f"{fact.TYPE} is no fact of payment")

    def _started(self, fact: VerificationStarted) -> dict[str, Any]:
        return {
            "standing": Awaiting(total=fact.amount, ends=fact.ends),
            "marketplace_id": fact.marketplace_id,
            "provider_answer_hours": fact.provider_answer_hours,
            "payer": Payer.named_in(fact),
            "lines": tuple(Line(**dict(item)) for item in fact.items),
        }

    def _ended(self, fact: PaymentRefused | VerificationClosed) -> dict[str, Any]:
        if isinstance(fact, PaymentRefused):
            return {"standing": Refused(reason=fact.reason, payment_id=fact.payment_id)}
        return {**_FORGOTTEN, "standing": Closed()}

    def _stands(self, fact: Fact) -> Standing:
        """How an approved order stands after its payment lapsed, was renewed or withdrawn."""
        before = self.standing
        assert isinstance(before, Approved | Lapsed), f"{fact.TYPE} of an order {before.status}"
        match fact:
            case AuthorizationRequested():
                return Lapsed(
                    payment_id=fact.lapsed_payment_id,
                    total=before.total,
                    asked=fact.amount,
                    asked_at=fact.asked_at,
                    answer_due=fact.answer_due,
                )
            case PaymentRenewed():
                return Approved(payment_id=fact.payment_id, total=before.total)
        if isinstance(before, Approved):
            return before
        withdrawn = before.withdrawn or isinstance(fact, ApprovalWithdrawn)
        return before.model_copy(update={"answer_due": None, "withdrawn": withdrawn})

    def _let_go(self, fact: UnitsNotOwed) -> dict[str, Any]:
        units = {item.order_item_id: item.quantity for item in fact.items}
        lines = (
            line.model_copy(update={"gone": line.gone + units.get(line.order_item_id, 0)})
            for line in self.lines
        )
        return {"lines": tuple(lines), "let_go": LetGo(cause=fact.cause, return_id=fact.return_id)}

    def _arrived(self, fact: PaymentApproved | MoneyArrived) -> dict[str, Any]:
        kind: Kind
        at: datetime | None
        if isinstance(fact, MoneyArrived):
            kind, at = fact.how, fact.happened_at
        else:
            kind, at = "captured" if fact.captured else "authorized", fact.captured_at
        lapsed_at = self.lapsed.get(fact.payment_id)
        return self._count(fact, lambda p, minor: p.arrive(kind, minor, at, lapsed_at))

    def _returned(self, fact: MoneyReturned) -> dict[str, Any]:
        how, at, whole = fact.how, fact.happened_at, fact.whole
        lapsed_at = self.lapsed.get(fact.payment_id)
        changes = self._count(
            fact, lambda p, minor: p.come_back(how, minor, at, lapsed_at, whole=whole)
        )
        if how == "lapsed":
            changes["lapsed"] = _with(self.lapsed, fact)
        return changes

    def _count(self, fact: MoneyFact, change: "Change") -> dict[str, Any]:
        before = self.payment(fact.payment_id, fact.amount.currency)
        others = [payment for payment in self.payments if payment is not before]
        _check_room(others)
        _check_room((*before.later, *before.reversed_first))
        others.append(change(before, fact.amount.amount_minor))
        return {"payments": tuple(sorted(others, key=lambda p: (p.payment_id, p.currency)))}

    def waits_for(self) -> Iterator[OpenDeadline]:
        """What the order waits for: one deadline of a kind, the earliest."""
        dues = [due for payment in self.payments for due in payment.answer_due.values()]
        match self.standing:
            case Awaiting(ends=ends):
                yield OpenDeadline(kind=VERIFICATION, due=ends)
            case Lapsed(answer_due=datetime() as due):
                dues.append(due)
        if dues:
            yield OpenDeadline(kind=PROVIDER_ANSWER, due=min(dues))


def _check_room(known: Sized) -> None:
    if len(known) == MAX_PAYMENTS:
        most = f"an order has at most {MAX_PAYMENTS} payments, and a payment as many steps"
        detail = f"{most}: settle this one by hand"
        raise PermanentError("too_many_payments", detail)


def _with(
    times: Mapping[str, datetime], fact: MoneyReturned | PaymentLapsed | PaymentTakenBack
) -> Mapping[str, datetime]:
    if fact.payment_id not in times:
        _check_room(times)
    return {**times, fact.payment_id: fact.happened_at}


_FORGOTTEN = {
    name: Verification.model_fields[name].get_default()
    for name in ("marketplace_id", "payer", "lines", "let_go", "shipped")
}
"""What is of no use once the order is closed, and not known where its cancel comes first."""

Change = Callable[[Payment, int], Payment]


def _stuck(reason: StuckReason) -> Change:
    request, _, why = reason.partition("_")
    return lambda payment, _: payment.get_stuck(cast(Request, request), failed=why == "failed")


def _request(request: Request, due: datetime | None) -> Change:
    return lambda payment, minor: payment.ask(request, minor, due)


def evolve(state: Verification | None, fact: Fact, _time: datetime) -> Verification:
    """Record what was decided."""
    return (state or Verification()).after(fact)
