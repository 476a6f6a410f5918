"""R7: money that is owed is captured; what is not goes back, once, and never more than came."""

from collections import Counter
from collections.abc import Iterator

from shared.books.account import (
    AUTHORIZED,
    CAPTURED,
    LAPSED,
    REFUNDED,
    REVERSED,
    VOIDED,
    Account,
    Purse,
    account_of,
    minor_of,
    purse_of,
)
from shared.books.result import Draft
from shared.books.story import Json, Story
from shared.calls import answer_id
from shared.events.fulfillment import FULFILLMENT_EVENTS, OrderCanceled
from shared.events.gateway import (
    PAYMENTS,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentChargedBack,
    PaymentRefunded,
    PaymentReversed,
    PaymentVoided,
)
from shared.events.parking import EventParked, EventUnparked
from shared.events.payment import (
    PAYMENT_EVENTS,
    MoneyArrived,
    MoneyReturned,
    PaymentApproved,
    RefundRequested,
    VoidRequested,
)

SAID = {
    PaymentAuthorized.TYPE: AUTHORIZED,
    PaymentCaptured.TYPE: CAPTURED,
    PaymentVoided.TYPE: VOIDED,
    PaymentRefunded.TYPE: REFUNDED,
    PaymentReversed.TYPE: REVERSED,
    PaymentChargedBack.TYPE: REVERSED,
}
"""What each event of the gateway says; its amount is the total of its kind so far."""


def worth_minor(order: Json) -> int:
    """What falls on the units of an order that are neither canceled nor returned: lines by what
    they cost, up to each less what was up to it before, so that all add up to the order's total.
    """
    total: int = order["order_total"]["amount_minor"]
    costs = [_cost_minor(line) for line in order["items"]]
    weights = costs if any(costs) else [line["quantity"] for line in order["items"]]
    worth = before = 0
    for line, weight in zip(order["items"], weights, strict=True):
        until = before + weight
        part = total * until // sum(weights) - total * before // sum(weights)
        gone = line.get("quantity_canceled", 0) + line.get("quantity_returned", 0)
        worth += part * (line["quantity"] - gone) // line["quantity"]
        before = until
    return worth


def _cost_minor(line: Json) -> int:
    prices = ("item_price", "item_tax", "shipping_price", "shipping_tax")
    return sum(line[price]["amount_minor"] for price in prices if line.get(price))


def check_money(story: Story, page: Draft) -> None:
    """R7: all that is not owed is asked back or was returned, and no more than that; of a shipped
    order, what is owed for units that were not returned is captured.
    """
    account, order = account_of(story.of(PAYMENT_EVENTS)), story.order()
    if story.of(FULFILLMENT_EVENTS, OrderCanceled.TYPE) and not (account.closed or story.failed):
        page.violate(story.subject, "was canceled, and its payment is not closed")
    _check_counted(story, account, page)
    _check_not_taken_back(story, account, page)
    _check_requests_once(story, page)
    owed = account.total_minor if order is None else worth_minor(order)
    for purse in account.purses:
        page.count("payments")
        for problem in _unsettled(account, purse, owed if purse == account.owes else 0):
            page.violate(story.subject, f"{purse}: {problem}")
    if order is not None and any(line.get("quantity_shipped") for line in order["items"]):
        _check_captured(story, account, owed, page)
    for (purse, how), minor in account.moved.items():
        page.add(how, purse.currency, minor)


def _check_captured(story: Story, account: Account, owed: int, page: Draft) -> None:
    """What is captured and kept is what is owed, unless a fact says why it can not be.

    What is too much of a capture that was asked for goes back once it is answered.
    """
    kept = sum(account.kept_minor(purse) for purse in account.purses)
    pending = sum(account.to_capture_minor(purse) for purse in account.purses)
    unasked = sum(
        max(0, account.gone[purse, REFUNDED] - account.asked[purse, REFUNDED])
        for purse in account.purses
    )
    page.count("orders shipped and paid for")
    if account.withdrawn or account.failed or (account.lapsed and account.owes is None):
        page.count("shipped, and their money does not come")
    elif not kept - pending <= owed <= kept + unasked and not story.failed:
        page.violate(story.subject, f"{owed} is owed for what was shipped, and {kept} is kept")


def _check_counted(story: Story, account: Account, page: Draft) -> None:
    """Money that the gateway told of is counted, all of it, and no more."""
    said: dict[tuple[Purse, str], int] = {}
    waiting = (EventParked.TYPE, EventUnparked.TYPE)
    # A dead letter that came again and was decided then counts by what it led to.
    decided = {e.cause for e in story.of(PAYMENT_EVENTS) if e.type not in waiting}
    undecided = (story.kept | {id_ for _, id_ in story.parked(PAYMENT_EVENTS)}) - decided
    uncounted = {LAPSED}
    for entry in story.of(PAYMENTS, *SAID):
        if "amount" not in entry.data:
            uncounted.add(SAID[entry.type])
        elif entry.id not in undecided:
            at = (purse_of(entry.data), SAID[entry.type])
            said[at] = max(said.get(at, 0), minor_of(entry.data))
    answered = answered_money(story)
    for purse, how in said.keys() | account.moved.keys():
        told, counted = said.get((purse, how), 0), account.moved[purse, how]
        right = max(told, answered[purse, how]) <= counted <= told + answered[purse, how]
        if not right and how not in uncounted:
            page.violate(story.subject, f"{purse}: {told} {how}, {counted} counted")


def answered_money(story: Story) -> Counter[tuple[Purse, str]]:
    """Money that the provider told of in answers to calls (`shared/calls.py`): no topic has them,
    only what was counted of them. What an event told before is counted by that.
    """
    answers = {answer_id(entry.id, final=True) for entry in story.of(PAYMENT_EVENTS)}
    told = story.of(PAYMENT_EVENTS, PaymentApproved.TYPE, MoneyArrived.TYPE, MoneyReturned.TYPE)
    return Counter(account_of([e for e in told if e.cause in answers]).moved)


def _check_not_taken_back(story: Story, account: Account, page: Draft) -> None:
    """An order owes to no payment that the gateway took back, whenever it said so."""
    undecided = story.kept | {id_ for _, id_ in story.parked(PAYMENT_EVENTS)}
    if account.owes is None or account.withdrawn or story.failed:
        return
    for entry in story.of(PAYMENTS, PaymentReversed.TYPE, PaymentChargedBack.TYPE):
        if entry.data["payment_id"] != account.owes.payment_id or entry.id in undecided:
            continue
        of_it = "amount" not in entry.data or purse_of(entry.data) == account.owes
        if of_it and account.kept_minor(account.owes) + account.held_minor(account.owes):
            page.violate(story.subject, f"{account.owes}: was taken back, and stays approved")


def _check_requests_once(story: Story, page: Draft) -> None:
    """One request per (payment, cause), for what led to it."""
    requests = Counter(
        (entry.type, purse_of(entry.data), _cause_of(entry.data), entry.cause)
        for entry in story.of(PAYMENT_EVENTS, VoidRequested.TYPE, RefundRequested.TYPE)
    )
    page.count("requests to give money back", requests.total())
    for (type_, purse, cause, _), n in requests.items():
        if n > 1:
            page.violate(story.subject, f"{purse}: {n} times {type_} for {cause}")


def _unsettled(account: Account, purse: Purse, owed: int) -> Iterator[str]:
    """What is kept although it is not owed, or asked back although it never came, or is owed."""
    authorized, captured = account.moved[purse, AUTHORIZED], account.moved[purse, CAPTURED]
    taken = captured + account.to_capture_minor(purse)
    # What was asked back before it was owed is to be captured once more.
    needed = owed + min(captured, account.before[purse, REFUNDED])
    for how, most, least in (
        (VOIDED, authorized - owed, authorized - max(taken, needed)),
        (REFUNDED, captured - owed, captured - owed),
    ):
        asked, gone = account.asked[purse, how], account.leaving[purse, how]
        if asked - account.before[purse, how] > max(most, 0):
            yield f"{asked} asked to be {how}, of {max(most, 0)}"
        if gone < least:
            yield f"{least} is not owed, but only {gone} is {how} or asked to be"


def _cause_of(data: Json) -> str:
    """Each return is a cause of its own."""
    return f"{data['cause']} {data.get('return_id') or ''}".strip()
