"""R7 at the provider: what its ledger says of an order is held against what the order came to."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from pydantic_core import to_json

from services.simulator.accounts import counted, violations
from services.simulator.conducts import Conduct
from services.simulator.fate import Allowed, Fate
from services.simulator.ledger import Move, Purse
from services.simulator.provider import MemoryProvider
from services.simulator.topics import MemoryRecord
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.payment import (
    PAYMENT_EVENTS,
    ApprovalWithdrawn,
    MoneyReturned,
    PaymentStuck,
)

ORDER, PAYMENT, PAID = "250-0000042-0000001", "pay-0c2f", 3_998


def provider(**moved: int) -> MemoryProvider:
    """A provider with one payment of which this moved."""
    found = MemoryProvider(Fate(1, Allowed(kinds=())), lambda: 0, Random(1))
    unasked = moved.pop("unasked", 0)
    found.purses[PAYMENT] = Purse(ORDER, PAYMENT, "EUR", Counter(moved), unasked)
    found.conducts[ORDER] = Conduct()
    return found


def record(topic: str, nth: int, type_: str, **data: Any) -> MemoryRecord:
    time = "2026-02-26T23:47:11.907Z"
    event = {"id": f"fact-{topic}-{nth}", "type": type_, "subject": ORDER, "time": time}
    return MemoryRecord(topic, 0, nth, 0, ORDER.encode(), to_json({**event, "data": data}))


def order(status: str, returned: int = 0) -> MemoryRecord:
    """The order's last snapshot: two units of 19.99."""
    line = {
        "quantity": 2,
        "item_price": {"amount_minor": PAID, "currency": "EUR"},
        "quantity_returned": returned,
    }
    total = {"amount_minor": PAID, "currency": "EUR"}
    snapshot = {"status": status, "order_total": total, "items": [line]}
    return record(FULFILLMENT_EVENTS.name, 1, "order.unshipped.v1", order=snapshot)


def fact(type_: str, **more: str | bool) -> MemoryRecord:
    amount = {"amount_minor": PAID, "currency": "EUR"}
    about = {"payment_id": PAYMENT, "amount": amount, "happened_at": "2026-02-26T23:47:11.900Z"}
    return record(PAYMENT_EVENTS.name, 1, type_, **about, **more)


@pytest.mark.parametrize(
    ("moved", "records", "found"),
    [
        ({"captured": PAID}, [order("Canceled")], "was canceled, and the provider keeps 3998"),
        (
            {"authorized": PAID},
            [order("Canceled")],
            "is Canceled, and the provider still holds 3998",
        ),
        ({}, [order("Shipped")], "was shipped for 3998, and the provider keeps 0"),
        (
            {"captured": 2 * PAID},
            [order("Shipped")],
            "was shipped for 3998, and the provider keeps 7996",
        ),
        (
            {"captured": PAID},
            [order("Shipped", returned=1)],
            "was shipped for 1999, and the provider keeps 3998",
        ),
        (
            {"captured": PAID, "refunded": PAID},
            [order("Shipped", returned=1)],
            "was shipped for 1999, and the provider keeps 0",
        ),
        (
            {"authorized": PAID, "lapsed": PAID},
            [],
            f"payment {PAYMENT} has lapsed, and is not known to have",
        ),
    ],
)
def test_r7_money_that_is_not_where_it_belongs_is_told(
    moved: dict[str, int], records: list[MemoryRecord], found: str
) -> None:
    assert violations(provider(**moved), records) == [f"R7 {ORDER}: {found}"]


@pytest.mark.parametrize(
    ("moved", "records"),
    [
        ({"authorized": PAID, "captured": PAID}, [order("Shipped")]),
        ({"authorized": PAID, "voided": PAID}, [order("Canceled")]),
        ({"captured": PAID, "refunded": PAID}, [order("Canceled")]),
        ({"captured": PAID, "refunded": 1_999}, [order("Shipped", returned=1)]),
        ({"captured": PAID, "refunded": 1, "unasked": 1}, [order("Shipped")]),
        (
            {"authorized": PAID, "lapsed": PAID},
            [order("Canceled"), fact(MoneyReturned.TYPE, how="lapsed", whole=False)],
        ),
        (
            {"captured": PAID, "reversed": PAID},
            [order("Shipped"), fact(ApprovalWithdrawn.TYPE, reason="charged_back")],
        ),
        ({"captured": PAID}, [order("Canceled"), fact(PaymentStuck.TYPE, reason="refund_failed")]),
    ],
)
def test_r7_money_that_is_where_it_belongs_or_visibly_stuck_is_no_violation(
    moved: dict[str, int], records: list[MemoryRecord]
) -> None:
    assert violations(provider(**moved), records) == []


def test_r7_what_is_asked_for_and_is_not_there_is_told_of_a_provider_that_only_does_as_asked() -> (
    None
):
    found = provider()
    found.too_much.append((ORDER, "was asked to refund 3998 of 0"))

    assert violations(found, []) == [f"R7 {ORDER}: the provider was asked to refund 3998 of 0"]
    found.conducts[ORDER] = Conduct(by_itself={"captured": ["refunds"]})
    assert violations(found, []) == []


def test_r23_what_was_given_up_is_unknown_and_nobodys_violation() -> None:
    found = provider(authorized=PAID)
    found.moves = [Move("key-1", ORDER, PAYMENT, "authorized", PAID, "EUR", 0)]
    assert counted(found) == found.moves

    found.given_up["key-1"] = ORDER

    assert counted(found) == []
    assert violations(found, [order("Canceled")]) == []
