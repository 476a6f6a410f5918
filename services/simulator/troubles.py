"""What goes wrong with an order's money after it was approved, and who is blocked, by lot."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from services.simulator.lots import CONFIRMED, Habit, Lot
from shared.events.envelope import Fact
from shared.events.fields import Money
from shared.events.fulfillment import HOLD
from shared.events.gateway import (
    AuthorizationLapsed,
    BuyerBlocked,
    BuyerFact,
    BuyerUnblocked,
    CardBlocked,
    CardFact,
    CardUnblocked,
    PaymentAuthorized,
    PaymentChargedBack,
    PaymentDeclined,
    PaymentReversed,
)
from shared.events.payment import AuthorizationRequested, CaptureRequested, PaymentApproved
from shared.retention import DAY_MS

APPROVED, CAPTURE = PaymentApproved.TYPE, CaptureRequested.TYPE
ASKED_AGAIN = AuthorizationRequested.TYPE


def _lapses(lot: Lot, _at: datetime) -> Fact:
    return AuthorizationLapsed(payment_id=f"P-{lot.order_id}")


def _authorizes_anew(lot: Lot, _at: datetime) -> Fact:
    amount = Money.model_validate(lot.heard[ASKED_AGAIN]["amount"])
    return PaymentAuthorized(payment_id=f"P-{lot.order_id}-anew", amount=amount)


def _authorizes_more(lot: Lot, _at: datetime) -> Fact:
    """More of the payment that lapsed: the total of both."""
    asked = Money.model_validate(lot.heard[ASKED_AGAIN]["amount"])
    both = Money(amount_minor=lot.total.amount_minor + asked.amount_minor, currency=asked.currency)
    return PaymentAuthorized(payment_id=f"P-{lot.order_id}", amount=both)


def _declines_anew(lot: Lot, _at: datetime) -> Fact:
    return PaymentDeclined(payment_id=f"P-{lot.order_id}-anew")


def _charges_back(lot: Lot, _at: datetime) -> Fact:
    return PaymentChargedBack(payment_id=f"P-{lot.order_id}", amount=lot.total)


def _charges_all_back(lot: Lot, _at: datetime) -> Fact:
    return PaymentChargedBack(payment_id=f"P-{lot.order_id}")


def _reverses_a_part(lot: Lot, _at: datetime) -> Fact:
    part = Money(amount_minor=1, currency=lot.total.currency)
    return PaymentReversed(payment_id=f"P-{lot.order_id}", amount=part)


TROUBLES: Sequence[Habit] = (
    *[{}] * 20,
    {"": [_lapses]},
    {"": [_lapses], ASKED_AGAIN: [_authorizes_anew]},
    {APPROVED: [_lapses]},
    {APPROVED: [_lapses], ASKED_AGAIN: [_authorizes_anew]},
    {APPROVED: [_lapses], ASKED_AGAIN: [_authorizes_more]},
    {APPROVED: [_lapses], ASKED_AGAIN: [_declines_anew]},
    {HOLD: [_lapses], ASKED_AGAIN: [_authorizes_anew]},
    {CONFIRMED: [_lapses], ASKED_AGAIN: [_authorizes_anew]},
    {CAPTURE: [_charges_back]},
    {APPROVED: [_charges_back]},
    {"": [_charges_all_back]},
    {CONFIRMED: [_charges_all_back]},
    {APPROVED: [_reverses_a_part]},
)
"""How a gateway, beside its habits, takes back what it said; in two of three orders it does not."""

Block: TypeAlias = tuple[tuple[int, int], BuyerFact | CardFact]
"""Between which instants of a run, in ms, it is said."""
_SOON_MS, _LATER_MS = (0, 60_000), (60_000, DAY_MS)
_BUYER, _CARD = "B1", "card-0c2f"

BLOCKS: Sequence[Sequence[Block]] = (
    *[()] * 12,
    ((_SOON_MS, BuyerBlocked(buyer_id=_BUYER)),),
    (
        (_SOON_MS, BuyerBlocked(buyer_id=_BUYER)),
        (_SOON_MS, BuyerUnblocked(buyer_id=_BUYER)),
        (_LATER_MS, BuyerBlocked(buyer_id=_BUYER)),
    ),
    ((_SOON_MS, CardBlocked(payment_method_ref=_CARD)),),
    (
        (_SOON_MS, CardBlocked(payment_method_ref=_CARD)),
        (_LATER_MS, CardUnblocked(payment_method_ref=_CARD)),
    ),
)
"""Who is blocked in a run, and unblocked: in three of four nobody."""
