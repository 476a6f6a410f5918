"""R7: money that is owed is captured; what is not goes back, once, and never more than came."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.books.result import Draft
from shared.books.story import Entry, Json, Story
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
    ApprovalWithdrawn,
    AuthorizationRequested,
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    PaymentApproved,
    PaymentRefused,
    PaymentRenewed,
    PaymentStuck,
    RefundRequested,
    VerificationClosed,
    VoidRequested,
)

AUTHORIZED, CAPTURED, VOIDED, REFUNDED = "authorized", "captured", "voided", "refunded"
LAPSED, REVERSED = "lapsed", "reversed"
"""What the gateway says of money, as the facts' `how`."""

SAID = {
    PaymentAuthorized.TYPE: AUTHORIZED,
    PaymentCaptured.TYPE: CAPTURED,
    PaymentVoided.TYPE: VOIDED,
    PaymentRefunded.TYPE: REFUNDED,
    PaymentReversed.TYPE: REVERSED,
    PaymentChargedBack.TYPE: REVERSED,
}
"""What each event of the gateway says; its amount is the total of its kind so far."""


class Purse(NamedTuple):
    """The money of one payment in one currency."""

    payment_id: str
    currency: str

    def __str__(self) -> str:
        return f"payment {self.payment_id} ({self.currency})"


@dataclass
class Account:
    """What payment's facts say about an order's money, in minor units.

    By purse and how: `moved` is what the gateway moved, `asked` what was asked for, but for voids
    of what was captured before, and `before` the same until the order owed to a payment that was
    renewed. `gone` is what went back as voided or refunded, `leaving` what will have gone, `taking`
    what will have been captured, when all that was asked for is done as far as there is money for
    it. `owes` is the payment that the order owes to: None before that is known, while it lapsed
    (see `lapsed`), and once it is over. `withdrawn` says that the payment was taken back, `stuck`
    that the provider does not do what it was asked to, `failed` that it never will capture it.
    """

    moved: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    asked: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    gone: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    before: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    leaving: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    taking: Counter[Purse] = field(default_factory=Counter)
    lapsed: set[Purse] = field(default_factory=set)
    owes: Purse | None = None
    total_minor: int = 0
    approved: bool = False
    closed: bool = False
    withdrawn: bool = False
    stuck: bool = False
    failed: bool = False

    def ask(self, purse: Purse, how: str, minor: int) -> None:
        self.asked[purse, how] += minor
        if how == CAPTURED:
            self.taking[purse] = max(self.taking[purse], self.moved[purse, CAPTURED]) + minor
        else:
            self.leaving[purse, how] += minor

    def come(self, purse: Purse, how: str, minor: int) -> None:
        """The first capture may exceed what is left of the authorisation: then it preceded a
        reversal that was told before it, and what was reversed counts as captured money.
        """
        first = how == CAPTURED and not self.moved[purse, CAPTURED]
        self.moved[purse, how] += minor
        if first:
            beyond = minor + self.gone[purse, VOIDED] - self.moved[purse, AUTHORIZED]
            refunded = max(0, min(beyond, self.moved[purse, REVERSED]))
            for back in (self.gone, self.leaving):
                back[purse, VOIDED] -= refunded
                back[purse, REFUNDED] += refunded
        self._trim(purse)

    def go(self, purse: Purse, how: str, minor: int) -> None:
        """What lapsed is as good as voided; what was reversed, as the one or the other. Nobody asks
        for either.
        """
        self.moved[purse, how] += minor
        captured = how == REFUNDED or (how == REVERSED and self.moved[purse, CAPTURED] > 0)
        at = (purse, REFUNDED if captured else VOIDED)
        self.gone[at] += minor
        if how in (LAPSED, REVERSED):
            self.leaving[at] += minor
        self._trim(purse)

    def _trim(self, purse: Purse) -> None:
        """What was asked for and can not be done any more is not awaited."""
        captured, held = self.moved[purse, CAPTURED], self.held_minor(purse)
        self.taking[purse] = min(self.taking[purse], captured + held)
        for how, there in ((VOIDED, held), (REFUNDED, captured - self.gone[purse, REFUNDED])):
            at, most = (purse, how), self.gone[purse, how] + max(0, there)
            if how == VOIDED:
                self.asked[at] -= max(0, self.leaving[at] - most)
            self.leaving[at] = max(self.gone[at], min(self.leaving[at], most))

    @property
    def purses(self) -> set[Purse]:
        return {purse for purse, _ in self.moved.keys() | self.asked.keys()}

    def held_minor(self, purse: Purse) -> int:
        """What is authorised, neither captured nor gone."""
        moved = self.moved[purse, AUTHORIZED] - self.moved[purse, CAPTURED]
        return max(0, moved - self.gone[purse, VOIDED])

    def to_capture_minor(self, purse: Purse) -> int:
        """What is asked to be captured, and can still be."""
        return max(0, self.taking[purse] - self.moved[purse, CAPTURED])

    def pending(self, purse: Purse) -> bool:
        """Whether the provider has something to do about it."""
        leaves = any(self.leaving[purse, how] > self.gone[purse, how] for how in (VOIDED, REFUNDED))
        return leaves or self.to_capture_minor(purse) > 0

    def kept_minor(self, purse: Purse) -> int:
        """What is captured in the end, less what goes back."""
        taken = self.moved[purse, CAPTURED] + self.to_capture_minor(purse)
        return taken - self.leaving[purse, REFUNDED]


def account_of(facts: Iterable[Entry]) -> Account:
    """Add up payment facts of an order."""
    account = Account()
    for entry in facts:
        _add(account, entry.type, entry.data)
    return account


def _add(account: Account, type_: str, data: Json) -> None:
    match type_:
        case PaymentApproved.TYPE:
            account.owes, account.total_minor = purse_of(data), minor_of(data)
            account.approved = True
            how = CAPTURED if data["captured"] else AUTHORIZED
            account.come(purse_of(data), how, minor_of(data))
        case PaymentRefused.TYPE | VerificationClosed.TYPE:
            account.owes, account.closed = None, True
        case AuthorizationRequested.TYPE:
            account.owes = None
            account.lapsed.add(Purse(data["lapsed_payment_id"], data["amount"]["currency"]))
        case PaymentRenewed.TYPE:
            currency = next(iter(account.lapsed)).currency
            account.owes = Purse(data["payment_id"], currency)
            for how in (VOIDED, REFUNDED):
                account.before[account.owes, how] = account.asked[account.owes, how]
        case MoneyArrived.TYPE:
            account.come(purse_of(data), data["how"], minor_of(data))
        case MoneyReturned.TYPE:
            account.go(purse_of(data), data["how"], minor_of(data))
        case _:
            _add_request(account, type_, data)


def _add_request(account: Account, type_: str, data: Json) -> None:
    match type_:
        case CaptureRequested.TYPE:
            account.ask(purse_of(data), CAPTURED, minor_of(data))
        case VoidRequested.TYPE:
            account.ask(purse_of(data), VOIDED, minor_of(data))
        case RefundRequested.TYPE:
            account.ask(purse_of(data), REFUNDED, minor_of(data))
        case ApprovalWithdrawn.TYPE:
            account.withdrawn = True
        case PaymentStuck.TYPE:
            account.stuck = True
            account.failed |= data["reason"] == "capture_failed"


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
    undecided = (story.kept | set(story.parked(PAYMENT_EVENTS))) - decided
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
    undecided = story.kept | set(story.parked(PAYMENT_EVENTS))
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


def purse_of(data: Json) -> Purse:
    """The purse that a fact or an event about money is about."""
    return Purse(data["payment_id"], data["amount"]["currency"])


def minor_of(data: Json) -> int:
    """The amount that it is about, in minor units."""
    minor: int = data["amount"]["amount_minor"]
    return minor
