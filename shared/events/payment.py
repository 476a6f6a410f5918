"""What payment publishes on `payment.events`. `subject` is the order id; of a block, whom it is
about: `buyer/ID` or `card/REF`.

Requests for money (VoidRequested, RefundRequested, CaptureRequested, AuthorizationRequested) are
for the gateway to carry out; what becomes of them, it says on `payments`. Without an answer by
`answer_due` the request is stuck (R23).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.events.envelope import ServiceFact, Topic
from shared.events.fields import (
    MAX_AMOUNT_MINOR,
    MAX_ITEMS,
    Identifier,
    Instant,
    ItemQuantity,
    Model,
    Money,
    OptionalText,
    Quantity,
)
from shared.events.parking import PARKING

VERIFICATION = "verification"
"""The kind of the deadline at which an order that is still not approved is refused (R5)."""
PROVIDER_ANSWER = "provider_answer"
"""The kind of the deadline at which a request without the provider's answer is stuck (R23)."""

PaymentRefusal = Literal[
    "payment_declined",
    "fraud_suspected",
    "payment_mismatch",
    "payment_timeout",
    "velocity_exceeded",
    "spend_exceeded",
    "buyer_blocked",
    "card_blocked",
]
NotOwed = Literal[
    "order_canceled",
    "payment_refused",
    "payment_mismatch",
    "duplicate_payment",
    "units_canceled",
    "units_returned",
    "authorization_lapsed",
]
"""Why money is given back (R7): one request per (payment, cause), of several returns one each."""
StuckReason = Literal[
    "authorization_unanswered",
    "capture_unanswered",
    "void_unanswered",
    "refund_unanswered",
    "capture_failed",
    "void_failed",
    "refund_failed",
]


class PayableItem(Model):
    """An order item's units, and its part of the order's total: the parts of all add up to it."""

    order_item_id: Identifier
    quantity: Quantity
    amount_minor: Annotated[int, Field(ge=0, le=MAX_AMOUNT_MINOR)]


class VerificationStarted(ServiceFact):
    """The order's payment is awaited: this amount, until `ends`. It counts with its buyer and its
    card from `purchase_date` on, until it is canceled (R8). The provider's answers about it are
    waited for `provider_answer_hours`, whatever the policy says later (R24).
    """

    TYPE: ClassVar[str] = "payment.verification_started.v1"

    amount: Money
    ends: Instant
    marketplace_id: Identifier = "default"
    provider_answer_hours: Annotated[int, Field(ge=1)] | None = None
    buyer_id: Identifier | None = None
    payment_method_ref: Identifier | None = None
    purchase_date: Instant | None = None
    items: Annotated[tuple[PayableItem, ...], Field(max_length=MAX_ITEMS)] = ()


class VerificationUnknown(ServiceFact):
    """The provider could not tell: the order waits on (R5)."""

    TYPE: ClassVar[str] = "payment.verification_unknown.v1"

    payment_id: Identifier
    detail: OptionalText = ""


class PaymentApproved(ServiceFact):
    """The payment is good. `captured_at` is when it was captured, by the gateway's word; one that
    was not, is authorised.
    """

    TYPE: ClassVar[str] = "payment.approved.v1"

    payment_id: Identifier
    amount: Money
    captured: bool
    captured_at: Instant | None = None


class ClosingFact(ServiceFact):
    """A fact after which the order counts no more with its buyer and its card (R8)."""

    buyer_id: Identifier | None = None
    payment_method_ref: Identifier | None = None


class PaymentRefused(ClosingFact):
    """The payment is not good, and will not be: the order is canceled silently (R6)."""

    TYPE: ClassVar[str] = "payment.refused.v1"

    reason: PaymentRefusal
    payment_id: Identifier | None = None
    detail: OptionalText = ""


class VerificationClosed(ClosingFact):
    """The order was canceled: no payment is awaited any more, and what comes is not owed (R7)."""

    TYPE: ClassVar[str] = "payment.verification_closed.v1"


class MoneyArrived(ServiceFact):
    """The gateway says that an amount was authorised or captured, beside what PaymentApproved says.

    `amount` is what came on top of what the gateway had said of the payment before, `happened_at`
    when, by the gateway's word.
    """

    TYPE: ClassVar[str] = "payment.money_arrived.v1"

    payment_id: Identifier
    amount: Money
    how: Literal["authorized", "captured"]
    happened_at: Instant


class VoidRequested(ServiceFact):
    """An authorisation that is not owed is to be released (R7)."""

    TYPE: ClassVar[str] = "payment.void_requested.v1"

    payment_id: Identifier
    amount: Money
    cause: NotOwed
    return_id: Identifier | None = None
    answer_due: Instant | None = None


class RefundRequested(ServiceFact):
    """Captured money that is not owed is to go back (R7); `return_id` says for which return."""

    TYPE: ClassVar[str] = "payment.refund_requested.v1"

    payment_id: Identifier
    amount: Money
    cause: NotOwed
    return_id: Identifier | None = None
    answer_due: Instant | None = None


class CaptureRequested(ServiceFact):
    """The first package is confirmed: what is authorised and owed is to be taken (R7)."""

    TYPE: ClassVar[str] = "payment.capture_requested.v1"

    payment_id: Identifier
    amount: Money
    answer_due: Instant


class CaptureAwaited(ServiceFact):
    """The first package is confirmed while nothing is authorised: to be captured once it is."""

    TYPE: ClassVar[str] = "payment.capture_awaited.v1"


class AuthorizationRequested(ServiceFact):
    """The approved payment lapsed before it was captured: its amount is asked for again (R7).

    `lapsed_payment_id` is that payment; what is authorised now comes under an id of its own.
    """

    TYPE: ClassVar[str] = "payment.authorization_requested.v1"

    lapsed_payment_id: Identifier
    amount: Money
    payment_method_ref: Identifier | None = None
    asked_at: Instant
    answer_due: Instant


class PaymentRenewed(ServiceFact):
    """What was asked for again came: the order owes to this payment now."""

    TYPE: ClassVar[str] = "payment.renewed.v1"

    payment_id: Identifier


class ApprovalWithdrawn(ServiceFact):
    """The approved payment is good no more: it was taken back, or is not authorised again (R7).

    It stops an unshipped order and is recorded on a shipped one.
    """

    TYPE: ClassVar[str] = "payment.approval_withdrawn.v1"

    payment_id: Identifier
    amount: Money
    reason: Literal["reversed", "charged_back", "not_renewed"]
    detail: OptionalText = ""


class UnitsNotOwed(ServiceFact):
    """Units of a shipped order were canceled or came back: they are not owed any more (R7)."""

    TYPE: ClassVar[str] = "payment.units_not_owed.v1"

    cause: Literal["units_canceled", "units_returned"]
    return_id: Identifier | None = None
    items: Annotated[tuple[ItemQuantity, ...], Field(max_length=MAX_ITEMS)]


class PaymentStuck(ServiceFact):
    """A request has no answer by its deadline, was answered with no, or can not be made, as for the
    rest of a capture in part that lapsed: a person has to look (R23).

    It is over when the gateway says that it was done after all.
    """

    TYPE: ClassVar[str] = "payment.stuck.v1"

    payment_id: Identifier
    amount: Money
    reason: StuckReason
    since: Instant
    detail: OptionalText = ""


class PaymentArchived(ServiceFact):
    """The order was archived: nothing more is awaited of its payment, and its buyer is named no
    more (R23). Money that comes all the same is settled as ever.
    """

    TYPE: ClassVar[str] = "payment.archived.v1"


class PayerBlocked(ServiceFact):
    """The orders of this buyer or with this card are refused from now on (R5)."""

    TYPE: ClassVar[str] = "payment.payer_blocked.v1"

    reason: OptionalText = ""


class PayerUnblocked(ServiceFact):
    """They are not any more."""

    TYPE: ClassVar[str] = "payment.payer_unblocked.v1"

    reason: OptionalText = ""


class MoneyReturned(ServiceFact):
    """The gateway says that an authorisation was voided or lapsed, an amount refunded, or all of it
    reversed.

    `amount` is what returned on top of what the gateway had said of the payment before,
    `happened_at` when, by the gateway's word; `whole` says that it was taken back by a word that
    names no amount, and so is all that there was.
    """

    TYPE: ClassVar[str] = "payment.money_returned.v1"

    payment_id: Identifier
    amount: Money
    how: Literal["voided", "lapsed", "refunded", "reversed"]
    happened_at: Instant
    whole: bool = False


class PaymentTakenBack(ServiceFact):
    """The gateway says that all of a payment was taken back of which nothing is there that is known
    of: what comes of it, but for what is authorised later, has returned already, as reversed (R7).
    """

    TYPE: ClassVar[str] = "payment.taken_back.v1"

    payment_id: Identifier
    happened_at: Instant


class PaymentLapsed(ServiceFact):
    """The gateway says that a payment lapsed of which nothing is held that is known of: what comes
    as its first authorisation, or was authorised before that time, is held no more already (R7).
    """

    TYPE: ClassVar[str] = "payment.lapsed.v1"

    payment_id: Identifier
    happened_at: Instant


PAYMENT_EVENTS = Topic(
    name="payment.events",
    facts=(
        VerificationStarted,
        VerificationUnknown,
        PaymentApproved,
        PaymentRefused,
        VerificationClosed,
        MoneyArrived,
        VoidRequested,
        RefundRequested,
        CaptureRequested,
        CaptureAwaited,
        AuthorizationRequested,
        PaymentRenewed,
        ApprovalWithdrawn,
        UnitsNotOwed,
        MoneyReturned,
        PaymentTakenBack,
        PaymentLapsed,
        PaymentStuck,
        PaymentArchived,
        PayerBlocked,
        PayerUnblocked,
        *PARKING,
    ),
    publisher="payment",
)
