"""R7 at the payment provider: its own account of each order beside what the order came to.

The books compare what the provider moved with what payment counted of it (`shared/books`). Here the
provider's ledger is held against the order alone: nothing is kept of a canceled one, what was
shipped and stayed is captured, once, and nothing was asked for that was not there.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from services.simulator.ledger import Move, Purse
from services.simulator.provider import MemoryProvider
from services.simulator.topics import MemoryRecord
from shared.books import account as books
from shared.books.account import Account, account_of
from shared.books.money import worth_minor
from shared.books.story import Story, entry_of, parsed
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.payment import PAYMENT_EVENTS, PaymentStuck


def counted(provider: MemoryProvider) -> list[Move]:
    """The ledger for the books, without what was done for a request that was given up: its answer
    was never heard.
    """
    return [move for move in provider.moves if move.key not in provider.given_up]


def violations(provider: MemoryProvider, records: Iterable[MemoryRecord]) -> list[str]:
    """What is wrong with the provider's account once all is at rest, as sentences."""
    stories = _stories(records)
    purses: defaultdict[str, list[Purse]] = defaultdict(list)
    for purse in provider.purses.values():
        purses[purse.order_id].append(purse)
    found = []
    for order_id in sorted(stories.keys() | purses.keys()):
        story = stories.get(order_id, Story(order_id))
        problems = [*_asked_too_much(provider, order_id)]
        if order_id not in provider.given_up.values():
            problems += _unsettled(story, purses[order_id])
        found += [f"R7 {order_id}: {problem}" for problem in problems]
    return found


def _asked_too_much(provider: MemoryProvider, order_id: str) -> Iterator[str]:
    """Where the provider does only what it is asked for, there always is what it is asked for."""
    conduct = provider.conducts.get(order_id)
    if conduct is not None and conduct.honest:
        yield from (f"the provider {what}" for of, what in provider.too_much if of == order_id)


def _unsettled(story: Story, purses: Collection[Purse]) -> Iterator[str]:
    """What has to be so at rest, unless a request was refused and is visible as stuck (R23)."""
    account, order = account_of(story.of(PAYMENT_EVENTS)), story.order()
    for purse in purses:
        at = books.Purse(purse.payment_id, purse.currency)
        if purse.moved["lapsed"] and not account.moved[at, "lapsed"]:
            yield f"payment {purse.payment_id} has lapsed, and is not known to have"
    stuck = story.of(PAYMENT_EVENTS, PaymentStuck.TYPE)
    if order is None or any(entry.data["reason"].endswith("_failed") for entry in stuck):
        return
    if held := sum(purse.held_minor for purse in purses):
        yield f"is {order['status']}, and the provider still holds {held}"
    kept = sum(purse.kept_minor for purse in purses)
    if order["status"] == "Canceled" and kept:
        yield f"was canceled, and the provider keeps {kept}"
    if order["status"] == "Shipped" and not _does_not_come(account):
        owed, unasked = worth_minor(order), sum(purse.unasked_minor for purse in purses)
        if not kept <= owed <= kept + unasked:
            yield f"was shipped for {owed}, and the provider keeps {kept}"


def _does_not_come(account: Account) -> bool:
    """A fact says why what was shipped is not paid for: taken back, or not authorised again."""
    return account.withdrawn or (bool(account.lapsed) and account.owes is None)


def _stories(records: Iterable[MemoryRecord]) -> dict[str, Story]:
    """What payment and fulfillment said of each order, repeats removed."""
    stories: dict[str, Story] = {}
    known: set[str] = set()
    for record in records:
        if record.topic not in (PAYMENT_EVENTS.name, FULFILLMENT_EVENTS.name):
            continue
        event = parsed(record.value)
        assert event is not None, "our own topics have nothing but events"
        if event["id"] in known:
            continue
        known.add(event["id"])
        story = stories.setdefault(event["subject"], Story(event["subject"]))
        story.entries.setdefault(record.topic, []).append(entry_of(record, event))
        if record.topic == FULFILLMENT_EVENTS.name and "order" in event["data"]:
            story.snapshot = record.value
    return stories
