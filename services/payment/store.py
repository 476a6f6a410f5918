"""Payment's state in Redis: an order's document per partition, and the tallies of buyers and cards.

    {payment:PARTITION}:doc:ORDER_ID  an order's document, or that a buyer or a card is blocked
    {tally:WHO}:orders                the orders that count: a sorted set, by purchase date
    {tally:WHO}:order:ORDER_ID        an order's entry: what it was answered first
    {tally:WHO}:blocked               there while it is blocked
    {tally:WHO}:command:ID            a block or its end was done (an id holds no blank)

WHO is `buyer:ID` or `card:REF`. Two orders of a buyer meet in a script only, which runs before the
partition's commit, and again after a crash, by a zombie, or for a duplicate. An order counts from
its purchase on; no clock is asked. Entries outlive all that can ask about them.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from services.payment.state import Payer, Verification
from shared.clock import to_ms
from shared.documents import Documents
from shared.events.envelope import Event
from shared.events.fields import Money
from shared.events.fulfillment import OrderCanceled, RequestRefused
from shared.events.gateway import BuyerFact, BuyerUnblocked, CardFact, CardUnblocked
from shared.events.payment import (
    ClosingFact,
    PayerBlocked,
    PayerUnblocked,
    VerificationStarted,
)
from shared.events.storefront import OrderPlaced
from shared.policy import Policies
from shared.policy_fields import MAX_HOURS, FraudLimits
from shared.redis import Script
from shared.retention import DAY_MS, INPUT_READABLE_MS, JOURNAL_READABLE_MS
from shared.service import Question

REMEMBER_ORDER_MS = JOURNAL_READABLE_MS
"""An order's entry is kept for as long as its cancel can be read again."""
REMEMBER_COMMAND_MS = INPUT_READABLE_MS
"""That a block was done is kept for as long as its event can be read again."""
HOUR_MS = DAY_MS // 24
KEEP_ORDERS_MS = 2 * MAX_HOURS * HOUR_MS
"""What counts is kept for twice the longest window: an order may be told as late as it is long."""

documents = Documents("payment", Verification)

Whose = Literal["buyer", "card"]
WHOSES: tuple[Whose, ...] = ("buyer", "card")

TALLY_KEYS = "{tally:*}:*"
"""All keys of what crosses orders."""

_TALLY = Script(Path(__file__).with_name("tally.lua"))


def ask(whose: Whose, event: Event[Any], policies: Policies) -> Question | None:
    """What an event demands of the tally of its buyer, or of its card: a run of the script, whose
    reply is a `Tally`.
    """
    match event.data:
        case OrderPlaced() as placed:
            limits = policies.of(placed.marketplace_id).fraud
            payer, total = Payer.of(placed), placed.order_total
            return _count("count", whose, event.subject, payer, total, limits)
        case OrderCanceled() as canceled:
            return _forget(whose, event.subject, canceled)
        case RequestRefused(other_buyer_id=buyer, other_payment_method_ref=card):
            who = buyer if whose == "buyer" else card
            return _of_order("forget", whose, who, event.subject) if who else None
        case BuyerFact(buyer_id=who) | CardFact(payment_method_ref=who) as said:
            if isinstance(said, BuyerFact) is not (whose == "buyer"):
                return None
            ends = isinstance(said, BuyerUnblocked | CardUnblocked)
            return _of_command(whose, who, event.unique_id, ends=ends)
    return None


ask_buyer = partial(ask, "buyer")
ask_card = partial(ask, "card")


def reapply(event: Event[Any]) -> Sequence[Question]:
    """Bring the tallies up to one fact of payment's journal.

    An order counts again whatever the limits are now, unless a later fact says that it counts no
    more: one that is refused is about to be canceled.
    """
    match event.data:
        case VerificationStarted(amount=total) as started if payer := Payer.named_in(started):
            order_id = event.subject
            return [_count("recount", w, order_id, payer, total, FraudLimits()) for w in WHOSES]
        case ClosingFact() as closing:
            forgets = (_forget(whose, event.subject, closing) for whose in WHOSES)
            return [question for question in forgets if question is not None]
        case PayerBlocked() | PayerUnblocked() as said:
            whose, _, who = event.subject.partition("/")
            command = f"{event.causationsource} {event.causationid}"
            return [_of_command(whose, who, command, ends=isinstance(said, PayerUnblocked))]
    return ()


def _count(
    operation: str, whose: Whose, order_id: str, payer: Payer, total: Money, limits: FraudLimits
) -> Question:
    who, most_orders, most_spend = (
        payer.buyer_id,
        limits.orders_per_buyer,
        limits.spend_per_buyer_minor,
    )
    if whose == "card":
        who = payer.payment_method_ref
        most_orders, most_spend = limits.orders_per_card, limits.spend_per_card_minor
    at_ms, window_ms = to_ms(payer.purchase_date), limits.window_hours * HOUR_MS
    return _of_order(
        operation,
        whose,
        who,
        order_id,
        order_id,
        at_ms,
        at_ms - window_ms,
        at_ms - KEEP_ORDERS_MS,
        KEEP_ORDERS_MS,
        most_orders,
        total.currency,
        total.amount_minor,
        most_spend.get(total.currency, ""),
    )


def _of_order(operation: str, whose: Whose, who: str, order_id: str, *args: str | int) -> Question:
    tag = f"{{tally:{whose}:{who}}}"
    keys = [f"{tag}:blocked", f"{tag}:order:{order_id}", f"{tag}:orders"]
    return Question(_TALLY, keys, [operation, REMEMBER_ORDER_MS, *args], _read)


def _forget(whose: Whose, order_id: str, said: OrderCanceled | ClosingFact) -> Question | None:
    who = said.buyer_id if whose == "buyer" else said.payment_method_ref
    return _of_order("forget", whose, who, order_id) if who else None


def _of_command(whose: str, who: str, command_id: str, *, ends: bool) -> Question:
    tag = f"{{tally:{whose}:{who}}}"
    keys = [f"{tag}:blocked", f"{tag}:command:{command_id}", f"{tag}:orders"]
    args = ["unblock" if ends else "block", REMEMBER_COMMAND_MS]
    return Question(_TALLY, keys, args, _read)


def _read(reply: bytes) -> str:
    return reply.decode()
