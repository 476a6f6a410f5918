"""What payment's facts say of an order's money: what came, what was asked for, what went."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.books.story import Entry, Json
from shared.events.payment import (
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
            # Where the request is missing, which the versions tell, its payments know the currency.
            known = account.lapsed or account.purses
            account.owes = _renewed(data["payment_id"], known)
            if account.owes is not None:
                for how in (VOIDED, REFUNDED):
                    account.before[account.owes, how] = account.asked[account.owes, how]
        case MoneyArrived.TYPE:
            account.come(purse_of(data), data["how"], minor_of(data))
        case MoneyReturned.TYPE:
            account.go(purse_of(data), data["how"], minor_of(data))
        case _:
            _add_request(account, type_, data)


def _renewed(payment_id: str, known: Iterable[Purse]) -> Purse | None:
    """The purse of a payment that was renewed in the currency of these, of which one will do."""
    currency = min((purse.currency for purse in known), default=None)
    return None if currency is None else Purse(payment_id, currency)


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


def purse_of(data: Json) -> Purse:
    """The purse that a fact or an event about money is about."""
    return Purse(data["payment_id"], data["amount"]["currency"])


def minor_of(data: Json) -> int:
    """The amount that it is about, in minor units."""
    minor: int = data["amount"]["amount_minor"]
    return minor
