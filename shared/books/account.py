"""What payment's facts say of an order's money: what came, what was asked for, what went."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from shared.books.story import Entry, Json
from shared.events.payment import (
    ApprovalWithdrawn,
    AuthorizationRequested,
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    PaymentApproved,
    PaymentLapsed,
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
_CAME = (AUTHORIZED, CAPTURED)
_WENT = (VOIDED, REFUNDED, LAPSED, REVERSED)


class Reversal(NamedTuple):
    """What was taken back at once; `whole` says that all there was, and nobody how much."""

    at: datetime
    minor: int
    whole: bool


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
    `reversed_first` is what was reversed before the first capture, at `captured_at`, and
    `uncertain` what of it counts as captured for want of an authorisation; of what is `whole` all
    that there was, was reversed; `lapsed_at` is when a payment lapsed last, by its id.
    """

    moved: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    asked: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    gone: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    before: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    leaving: Counter[tuple[Purse, str]] = field(default_factory=Counter)
    taking: Counter[Purse] = field(default_factory=Counter)
    reversed_first: defaultdict[Purse, list[Reversal]] = field(
        default_factory=lambda: defaultdict(list)
    )
    uncertain: Counter[Purse] = field(default_factory=Counter)
    whole: set[Purse] = field(default_factory=set)
    captured_at: dict[Purse, datetime] = field(default_factory=dict)
    lapsed_at: dict[str, datetime] = field(default_factory=dict)
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

    def come(self, purse: Purse, how: str, minor: int, at: datetime | None = None) -> None:
        """Money came; None where it does not matter when."""
        self.moved[purse, how] += minor
        if how == CAPTURED and at is not None:
            self.captured_at[purse] = min(at, self.captured_at.get(purse, at))
        late = how == CAPTURED and self._before_it_lapsed(purse, at)
        self._share_out(purse, minor if late else 0)

    def go(self, purse: Purse, how: str, minor: int, at: datetime, *, whole: bool = False) -> None:
        """Money went back: nobody asks for what lapsed or was reversed."""
        self.moved[purse, how] += minor
        of_held = how == VOIDED
        captured_at = self.captured_at.get(purse)
        if how == LAPSED:
            self.lapsed_at[purse.payment_id] = at
        elif how == REVERSED and (captured_at is None or at < captured_at):
            self.reversed_first[purse].append(Reversal(at, minor, whole))
            of_held = True
        if whole:
            self.whole.add(purse)
        late = of_held and self._before_it_lapsed(purse, at)
        late_minor = min(minor, self.moved[purse, LAPSED]) if late else 0
        if how in (VOIDED, REFUNDED):
            self.gone[purse, how] += minor - late_minor
        self._share_out(purse, late_minor)

    def _before_it_lapsed(self, purse: Purse, at: datetime | None) -> bool:
        lapsed_at = self.lapsed_at.get(purse.payment_id)
        return at is not None and lapsed_at is not None and at < lapsed_at

    def _share_out(self, purse: Purse, late: int) -> None:
        """What was reversed is captured money, but for what was before the first capture and can
        have been authorised beside it; what lapsed or was reversed of the rest is as good as
        voided.

        All that there was, reversed before a capture that leaves too little for that, was captured.
        Of what lapsed, `late` had been something else before.
        """
        moved = {how: self.moved[purse, how] for how in (*_CAME, *_WENT)}
        kept = max(0, moved[CAPTURED] - moved[REFUNDED])
        room = max(0, moved[AUTHORIZED] - moved[CAPTURED] - moved[VOIDED])
        first, of_held = self.reversed_first[purse], moved[REVERSED]
        if moved[CAPTURED]:
            captured_at = self.captured_at.get(purse)
            before = [each for each in first if captured_at is None or each.at <= captured_at]
            if sum(each.minor for each in before) > room:
                before = [each for each in before if not each.whole]
            first = self.reversed_first[purse] = before
            before_it = min(sum(each.minor for each in first), room)
            if purse in self.whole:
                moved[REVERSED] = min(moved[REVERSED], kept + before_it)
                self.moved[purse, REVERSED] = moved[REVERSED]
            of_held = max(before_it, moved[REVERSED] - kept)
        if did_not_lapse := min(moved[LAPSED], late):
            self.moved[purse, LAPSED] -= did_not_lapse
        lapsed = self.moved[purse, LAPSED]
        self.uncertain[purse] = max(0, sum(each.minor for each in first) - of_held)
        self._be_gone(purse, VOIDED, moved[VOIDED] + lapsed + of_held)
        self._be_gone(purse, REFUNDED, moved[REFUNDED] + moved[REVERSED] - of_held)
        self._trim(purse)

    def _be_gone(self, purse: Purse, how: str, minor: int) -> None:
        """So much is gone: what nobody asked for leaves, too."""
        self.leaving[purse, how] += minor - self.gone[purse, how]
        self.gone[purse, how] = minor

    def _trim(self, purse: Purse) -> None:
        """What was asked for and can not be done any more is not awaited."""
        captured, held = self.moved[purse, CAPTURED], self.held_minor(purse)
        self.taking[purse] = min(self.taking[purse], captured + held)
        kept = captured - self.gone[purse, REFUNDED] + self.uncertain[purse]
        for how, there in ((VOIDED, held), (REFUNDED, kept)):
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
            at = datetime.fromisoformat(data["captured_at"]) if data["captured"] else None
            account.come(purse_of(data), how, minor_of(data), at)
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
            account.come(purse_of(data), data["how"], minor_of(data), _happened_at(data))
        case MoneyReturned.TYPE:
            at, whole = _happened_at(data), data["whole"]
            account.go(purse_of(data), data["how"], minor_of(data), at, whole=whole)
        case _:
            _add_request(account, type_, data)


def _happened_at(data: Json) -> datetime:
    return datetime.fromisoformat(data["happened_at"])


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
        case PaymentLapsed.TYPE:
            account.lapsed_at[data["payment_id"]] = _happened_at(data)
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
