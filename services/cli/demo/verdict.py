"""Whether a story came out as it should: what was expected beside what lies on the topics, and in
the payment provider's ledger.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, permutations

from services.cli.demo.seen import Seen, Told
from services.cli.demo.story import Canceled, Outcome, Story, Types
from services.cli.demo.words import moved
from shared.events.envelope import Topic
from shared.events.fields import NoticeKind
from shared.events.fulfillment import FULFILLMENT_EVENTS, Order
from shared.events.inventory import INVENTORY_EVENTS
from shared.events.notices import NOTICES
from shared.events.parking import PARKING
from shared.events.payment import PAYMENT_EVENTS, VerificationStarted

NOTHING = "nothing"
"""Happened, or was expected."""

BY_THE_WAY = (*PARKING, VerificationStarted)
"""Facts whose place is no part of a story: a service that lags a little on one topic parks what
precedes its order (R25), or learns of a cancel before it learns of the order (R7)."""


_CAPITAL = re.compile("[A-Z]")


def differences(story: Story, seen: Seen) -> list[str]:
    """What is otherwise than the story says, as sentences; none where all is well.

    Where orders race, outcomes and orders are matched as well as they can be.
    """
    matchings = (
        [
            f"{script.order_id}: {difference}"
            for script, outcome in zip(story.orders, outcomes, strict=True)
            for difference in _compare(outcome, script.order_id, seen)
        ]
        for outcomes in permutations(story.outcomes)
    )
    return [*min(matchings, key=len), *_stock(story, seen)]


def _stock(story: Story, seen: Seen) -> Iterator[str]:
    level = seen.levels.get(f"{story.seller_id}/{story.sku}")
    if level is None:
        yield f"{story.sku}: no fact of inventory about it"
    elif (level.available, level.reserved) != (story.left, 0):
        found = f"{level.available} and {level.reserved} held"
        yield f"{story.sku}: left are {found}, expected {story.left} and none"


def _compare(outcome: Outcome, order_id: str, seen: Seen) -> Iterator[str]:
    order, told = seen.orders.get(order_id), seen.of(order_id)
    if order is None:
        yield "no fact of fulfillment about it"
        return
    expected = {
        "status": (outcome.status, order.status),
        "canceled": (_why(outcome.canceled), _why(_canceled(order))),
        "notices": (_sent(outcome.notices), _sent(_notices(told))),
        "life": (_names(outcome.life), _names(_types(told, FULFILLMENT_EVENTS))),
        "stock": (_names(outcome.stock), _names(_types(told, INVENTORY_EVENTS))),
        "money": (_names(outcome.money), _names(_types(told, PAYMENT_EVENTS))),
        "at the provider": (
            _listed(map(moved, outcome.moves)),
            _listed(moved(move.how) for move in seen.moves(order_id)),
        ),
    }
    for name, (wanted, found) in expected.items():
        if wanted != found:
            yield f"{name}: {found}; expected: {wanted}"


def _canceled(order: Order) -> Canceled | None:
    why = order.cancellation
    if why is None:
        return None
    return Canceled(why.reason, why.canceled_at - order.purchase_date, why.executed_by)


def _notices(told: list[Told]) -> Mapping[NoticeKind, int]:
    return dict(Counter(each.event.data.kind for each in told if each.topic == NOTICES.name))


def _types(told: list[Told], topic: Topic) -> Types:
    """The types of an order's facts on a journal, in its order, repeats named once."""
    facts = sorted((each for each in told if each.topic == topic.name), key=lambda t: t.offset)
    types = (type(each.event.data) for each in facts)
    return tuple(type_ for type_, _ in groupby(t for t in types if t not in BY_THE_WAY))


def _why(canceled: Canceled | None) -> str:
    if canceled is None:
        return NOTHING
    why = canceled.reason.replace("_", " ")
    return f"{why}, {canceled.after} after the purchase, by the {canceled.executed_by.lower()}"


def _sent(notices: Mapping[NoticeKind, int]) -> str:
    return _listed(f"{n} × {kind.replace('_', ' ')}" for kind, n in sorted(notices.items()))


def _names(types: Types) -> str:
    """The facts in words: PaymentStuck is `payment stuck`."""
    return _listed(_CAPITAL.sub(r" \g<0>", type_.__name__).strip().lower() for type_ in types)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or NOTHING
