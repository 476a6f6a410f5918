"""R7: the payment provider's own ledger, where it has one to show, beside what payment counted."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from shared.books.account import LAPSED, REVERSED, Purse, account_of
from shared.books.money import answered_money
from shared.books.result import Draft
from shared.books.story import Story
from shared.events.payment import PAYMENT_EVENTS


class Moved(Protocol):
    """Money that the provider moved for a key: `how` is authorized, captured, voided, refunded."""

    @property
    def key(self) -> str: ...
    @property
    def order_id(self) -> str: ...
    @property
    def payment_id(self) -> str: ...
    @property
    def how(self) -> str: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...


def check_provider(story: Story, moves: Iterable[Moved], page: Draft) -> None:
    """R7: the provider did each request once, and payment counted all that moved, and no more.

    What lapsed or was taken back moved by no request, and may be counted together with an answer.
    """
    keys: Counter[str] = Counter()
    ledger: Counter[tuple[Purse, str]] = Counter()
    for move in moves:
        keys[move.key] += 1
        ledger[Purse(move.payment_id, move.currency), move.how] += move.amount_minor
    page.count("movements by the provider", keys.total())
    for key, n in keys.items():
        if n > 1:
            page.violate(story.subject, f"the provider did {key} {n} times")
    counted = account_of(story.of(PAYMENT_EVENTS)).moved
    for at in ledger.keys() | answered_money(story).keys():
        purse, how = at
        if how not in (LAPSED, REVERSED) and ledger[at] != counted[at]:
            what = f"the provider has {ledger[at]} {how}, {counted[at]} counted"
            page.violate(story.subject, f"{purse}: {what}")
