"""What the payment gateway publishes on `payments`. `subject` is the order id, of a block whom it
is about.

An `amount` is the payment's total of its kind so far: said again, it counts once. The event's
`time` is when that was so: it tells what a lapse or a reversal was of, in whatever order they come.
"""

from typing import ClassVar, Literal

from shared.events.envelope import About, Fact, Topic
from shared.events.fields import Identifier, Money, OptionalText


class PaymentFact(Fact):
    """A fact about one payment of an order."""

    payment_id: Identifier


class PaymentAuthorized(PaymentFact):
    """The amount is held on the buyer's account."""

    TYPE: ClassVar[str] = "payment.authorized.v1"

    amount: Money


class PaymentCaptured(PaymentFact):
    """The amount was taken; some providers capture at once, without an authorisation before."""

    TYPE: ClassVar[str] = "payment.captured.v1"

    amount: Money


class PaymentDeclined(PaymentFact):
    """The provider refused the payment."""

    TYPE: ClassVar[str] = "payment.declined.v1"

    reason: OptionalText = ""


class FraudSuspected(PaymentFact):
    """The provider's risk check says that the order is fraud."""

    TYPE: ClassVar[str] = "payment.fraud_suspected.v1"

    reason: OptionalText = ""


class VerificationUnavailable(PaymentFact):
    """The provider can not tell: *unknown* is not *refused* (R5)."""

    TYPE: ClassVar[str] = "payment.verification_unavailable.v1"

    reason: OptionalText = ""


class AnswerPending(PaymentFact):
    """The provider took a request for money, and says later what came of it."""

    TYPE: ClassVar[str] = "payment.answer_pending.v1"


class PaymentVoided(PaymentFact):
    """An authorisation was released."""

    TYPE: ClassVar[str] = "payment.voided.v1"

    amount: Money


class PaymentRefunded(PaymentFact):
    """Captured money went back to the buyer."""

    TYPE: ClassVar[str] = "payment.refunded.v1"

    amount: Money


class AuthorizationLapsed(PaymentFact):
    """What is authorised and was not captured is held no more: the provider's time for it is over.

    The payment is asked for again; what then comes is a payment of its own, or more of this one.
    """

    TYPE: ClassVar[str] = "payment.authorization_lapsed.v1"

    reason: OptionalText = ""


class PaymentReversed(PaymentFact):
    """The payment was taken back: what had been captured of it, else what had been authorised.

    `amount` is all that was taken back of it so far, also by chargebacks; without it, all is.
    """

    TYPE: ClassVar[str] = "payment.reversed.v1"

    amount: Money | None = None
    reason: OptionalText = ""


class PaymentChargedBack(PaymentReversed):
    """The buyer's bank took the payment back, because the buyer disputes it."""

    TYPE: ClassVar[str] = "payment.charged_back.v1"


class RequestFailed(PaymentFact):
    """The provider answered a request for money with no, for good."""

    TYPE: ClassVar[str] = "payment.request_failed.v1"

    request: Literal["capture", "void", "refund"]
    reason: OptionalText = ""


class BuyerFact(Fact):
    """A fact about a buyer; `subject` is `buyer/ID`."""

    buyer_id: Identifier
    reason: OptionalText = ""

    def about(self) -> About:
        return About(f"buyer/{self.buyer_id}")


class BuyerBlocked(BuyerFact):
    """Orders that the buyer places from now on are refused (R5)."""

    TYPE: ClassVar[str] = "buyer.blocked.v1"


class BuyerUnblocked(BuyerFact):
    """They are not any more."""

    TYPE: ClassVar[str] = "buyer.unblocked.v1"


class CardFact(Fact):
    """A fact about a card or another means of payment; `subject` is `card/REF`."""

    payment_method_ref: Identifier
    reason: OptionalText = ""

    def about(self) -> About:
        return About(f"card/{self.payment_method_ref}")


class CardBlocked(CardFact):
    """Orders that are to be paid with it from now on are refused (R5)."""

    TYPE: ClassVar[str] = "card.blocked.v1"


class CardUnblocked(CardFact):
    """They are not any more."""

    TYPE: ClassVar[str] = "card.unblocked.v1"


PAYMENTS = Topic(
    name="payments",
    facts=(
        PaymentAuthorized,
        PaymentCaptured,
        PaymentDeclined,
        FraudSuspected,
        VerificationUnavailable,
        AnswerPending,
        PaymentVoided,
        PaymentRefunded,
        AuthorizationLapsed,
        PaymentReversed,
        PaymentChargedBack,
        RequestFailed,
        BuyerBlocked,
        BuyerUnblocked,
        CardBlocked,
        CardUnblocked,
    ),
    owner="payment",
)
