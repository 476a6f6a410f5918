"""Payment under any interleaving and duplication of an order's inputs (R5, R6, R7, P2).

Amounts are totals per payment and kind, so the oracle is the highest that was told; of a payment's
whole life, it is what the gateway itself has in the end, whatever the order is in which it tells.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.payment.state import Awaiting, NotPlaced
from shared.events.envelope import Fact
from shared.events.fields import Money
from shared.events.gateway import PaymentAuthorized, PaymentCaptured, PaymentRefunded, PaymentVoided
from shared.events.payment import (
    VERIFICATION,
    PaymentApproved,
    PaymentRefused,
    PaymentRenewed,
    RefundRequested,
    VerificationClosed,
    VerificationUnknown,
    VoidRequested,
)
from tests.support.payments import (
    DOLLARS,
    ONE_MS,
    PAY_1,
    PAY_2,
    PURCHASED,
    TOTAL,
    Story,
    authorized,
    canceled,
    captured,
    declined,
    eur,
    fraud,
    lapsed,
    placed,
    refunded,
    taken_back,
    unavailable,
    voided,
    window_end,
)

MAX_PAYMENT_INPUTS = 6
"""With the order and its cancel, told twice before the order: at most the 16 that may wait."""
ENOUGH = settings(max_examples=300)

Key = tuple[str, str]
"""A payment's id and a currency."""

ids = st.sampled_from([PAY_1, PAY_2])
amounts = st.sampled_from([TOTAL, TOTAL, TOTAL, eur(79_18), eur(1_00_00), DOLLARS])
answers = st.builds(declined, ids) | st.builds(fraud, ids) | st.builds(unavailable, ids)
arrivals = st.builds(authorized, ids, amounts) | st.builds(captured, ids, amounts)
returns = st.builds(voided, ids, amounts) | st.builds(refunded, ids, amounts)
of_the_order = st.sampled_from([(placed(),), (placed(), canceled()), (canceled(),), ()])


def interleaved(of_payments: st.SearchStrategy[Fact]) -> st.SearchStrategy[list[Fact]]:
    """Inputs in any order, the order itself anywhere among them, or (half of the time) first."""
    several = st.lists(of_payments, max_size=MAX_PAYMENT_INPUTS)
    anywhere = st.tuples(several, of_the_order).flatmap(lambda p: st.permutations([*p[0], *p[1]]))
    then = several.flatmap(lambda said: st.permutations([*said, canceled()]))
    first = st.builds(lambda said: [placed(), *said], then | several)
    return (anywhere | first).map(without_windows_that_end_before_they_begin)


def without_windows_that_end_before_they_begin(said: list[Fact]) -> list[Fact]:
    """The deadlines service knows only what payment told it before."""
    begin = said.index(placed()) if placed() in said else len(said)
    return [fact for n, fact in enumerate(said) if n > begin or fact != window_end()]


inputs = interleaved(arrivals | arrivals | answers | returns | st.just(window_end()))
without_returns = interleaved(arrivals | arrivals | answers | st.just(window_end()))


def one_amount_each(said: Iterable[Fact]) -> bool:
    """Whether every payment has one amount per kind, as gateways' payments have."""
    amounts_of: dict[tuple[str, str], set[Money]] = {}
    for fact in said:
        if isinstance(fact, PaymentAuthorized | PaymentCaptured):
            amounts_of.setdefault((fact.TYPE, fact.payment_id), set()).add(fact.amount)
    return all(len(found) == 1 for found in amounts_of.values())


def highest(said: Iterable[Fact], kind: type[Fact]) -> Counter[Key]:
    """Per payment and currency, the highest total that was told of a kind of money."""
    totals: Counter[Key] = Counter()
    for fact in said:
        if isinstance(
            fact, PaymentAuthorized | PaymentCaptured | PaymentVoided | PaymentRefunded
        ) and isinstance(fact, kind):
            key = (fact.payment_id, fact.amount.currency)
            totals[key] = max(totals[key], fact.amount.amount_minor)
    return totals


def asked_back(story: Story, request: type[VoidRequested] | type[RefundRequested]) -> Counter[Key]:
    sums: Counter[Key] = Counter()
    for fact in story.facts:
        if isinstance(fact, request):
            sums[fact.payment_id, fact.amount.currency] += fact.amount.amount_minor
    return sums


def owed(story: Story, said: Sequence[Fact]) -> Counter[Key]:
    """What an approved order keeps, unless it was canceled: of the payment that was approved, or
    of the last that renewed it.
    """
    approvals = [fact for fact in story.facts if isinstance(fact, PaymentApproved)]
    if canceled() in said or not approvals:
        return Counter()
    (total,) = {approval.amount for approval in approvals}
    decided = [f for f in story.facts if isinstance(f, PaymentApproved | PaymentRenewed)]
    return Counter({(decided[-1].payment_id, total.currency): total.amount_minor})


@ENOUGH
@given(inputs)
def test_r7_what_is_not_owed_goes_back_and_never_more_than_came(said: Sequence[Fact]) -> None:
    story = Story().tell(*said)
    event(story.state.standing.status)
    came = highest(said, PaymentAuthorized), highest(said, PaymentCaptured)
    gone = highest(said, PaymentVoided), highest(said, PaymentRefunded)
    asked = asked_back(story, VoidRequested), asked_back(story, RefundRequested)
    owes = owed(story, said)

    for key in {*came[0], *came[1]}:
        assert 0 <= asked[0][key] <= came[0][key]
        assert 0 <= asked[1][key] <= max(0, came[1][key] - owes[key])
        if isinstance(story.state.standing, NotPlaced):
            continue  # parked: nothing is known of the order
        held = came[0][key] - max(came[1][key], owes[key])
        assert held <= asked[0][key] + gone[0][key]
        assert came[1][key] - owes[key] <= asked[1][key] + gone[1][key]


@ENOUGH
@given(without_returns)
def test_r7_captured_money_is_owed_or_asked_back_to_the_cent(said: Sequence[Fact]) -> None:
    story = Story().tell(*said)
    asked, came, owes = (
        asked_back(story, RefundRequested),
        highest(said, PaymentCaptured),
        owed(story, said),
    )

    if not isinstance(story.state.standing, NotPlaced):
        assert asked == Counter({key: rest for key in came if (rest := came[key] - owes[key]) > 0})


@ENOUGH
@given(inputs.filter(one_amount_each))
def test_r7_one_request_per_payment_and_cause(said: Sequence[Fact]) -> None:
    story = Story().tell(*said, *said)

    requests = Counter(
        (fact.TYPE, fact.payment_id, fact.amount.currency, fact.cause)
        for fact in story.facts
        if isinstance(fact, VoidRequested | RefundRequested)
    )
    assert all(count == 1 for count in requests.values())


@ENOUGH
@given(inputs)
def test_r6_the_first_answer_is_the_only_one_and_none_comes_after_the_end(
    said: Sequence[Fact],
) -> None:
    story = Story().tell(*said)

    verdicts = [
        type(fact)
        for fact in story.facts
        if isinstance(fact, PaymentApproved | PaymentRefused | VerificationClosed)
    ]
    assert verdicts in (
        [],
        [PaymentApproved],
        [PaymentRefused],
        [VerificationClosed],
        [PaymentApproved, VerificationClosed],
    )


@ENOUGH
@given(inputs)
def test_p2_a_payment_is_decided_when_its_window_ends_and_waits_only_before(
    said: Sequence[Fact],
) -> None:
    story = Story().tell(*said)

    waits = {deadline.kind for deadline in story.state.deadlines}
    assert (VERIFICATION in waits) == isinstance(story.state.standing, Awaiting)
    assert not isinstance(story.tell(window_end()).state.standing, Awaiting)


@ENOUGH
@given(inputs, st.data())
def test_p3_what_is_delivered_again_changes_nothing(
    said: Sequence[Fact], data: st.DataObject
) -> None:
    once, often = Story(), Story()
    for n, fact in enumerate(said):
        once.tell(fact, event_id=f"e-{n}")
        often.tell(fact, event_id=f"e-{n}")
        again = data.draw(st.integers(0, n))
        often.tell(said[again], event_id=f"e-{again}")

    assert often.facts == once.facts
    assert often.state == once.state


@ENOUGH
@given(inputs)
def test_p3_money_said_again_under_another_id_changes_nothing(said: Sequence[Fact]) -> None:
    once = Story(tick=timedelta(0)).tell(*said)
    twice = Story(tick=timedelta(0)).tell(*(fact for fact in said for _ in range(2)))

    assert twice.state == once.state
    unknowns = [f for f in twice.facts if not isinstance(f, VerificationUnknown)]
    assert unknowns == [f for f in once.facts if not isinstance(f, VerificationUnknown)]


@ENOUGH
@given(inputs)
def test_the_journal_alone_gives_the_state(said: Sequence[Fact]) -> None:
    story = Story().tell(*said)

    assert story.rebuilt() == story.state


# R25: one payment's life, told in whatever order

Deed = Literal["authorizes", "captures", "voids", "lapses", "refunds", "reverses", "reverses all"]
SAYS = {
    "authorizes": authorized,
    "captures": captured,
    "voids": voided,
    "refunds": refunded,
    "reverses": taken_back,
}


@dataclass
class Gateway:
    """One payment at a gateway that does what it can and says what it did, each at its time.

    What is reversed had been captured or, where nothing was, authorised.
    """

    held_minor: int = 0
    kept_minor: int = 0

    def __post_init__(self) -> None:
        self.told: list[tuple[Fact, datetime]] = []
        self.totals: Counter[Deed] = Counter()

    def do(self, deed: Deed, share: int) -> None:
        """A part of what there is in sixths, or nothing where nothing is there."""
        captured_before = self.totals["captures"] > 0
        of_kept = deed == "refunds" or (deed.startswith("reverses") and captured_before)
        there_minor = self.kept_minor if of_kept else self.held_minor
        minor = there_minor if deed in ("lapses", "reverses all") else there_minor * share // 6
        if deed == "authorizes":
            minor = 0 if self.held_minor else TOTAL.amount_minor
        if not minor:
            return
        counted: Deed = "reverses" if deed == "reverses all" else deed
        self.totals[counted] += minor
        self.kept_minor += minor if deed == "captures" else -minor if of_kept else 0
        self.held_minor += minor if deed == "authorizes" else 0 if of_kept else -minor
        said: Fact = lapsed() if deed == "lapses" else taken_back()
        if deed in SAYS:
            said = SAYS[deed](PAY_1, eur(self.totals[deed]))
        self.told.append((said, PURCHASED + len(self.told) * ONE_MS))


def lives(*deeds: Deed, last: Sequence[Deed] = ()) -> st.SearchStrategy[Gateway]:
    """Payments that are authorised, what then becomes of them, and maybe a last word."""

    def live(done: list[tuple[Deed, int]], at_last: Deed | None) -> Gateway:
        gateway = Gateway()
        for deed, share in [("authorizes", 6), *done, *([(at_last, 6)] if at_last else [])]:
            gateway.do(deed, share)
        return gateway

    several = st.lists(st.tuples(st.sampled_from(deeds), st.integers(1, 6)), max_size=5)
    return st.builds(live, several, st.sampled_from([*last, None]))


def in_some_order(told: Sequence[tuple[Fact, datetime]], data: st.DataObject) -> Story:
    """What was told, and the order and its cancel somewhere between; each kind in its own order."""
    drawn = data.draw(st.permutations(told))
    rest = {
        said.TYPE: iter([each for each in told if each[0].TYPE == said.TYPE]) for said, _ in told
    }
    order: list[tuple[Fact, datetime | None]] = [next(rest[said.TYPE]) for said, _ in drawn]
    places = sorted(data.draw(st.tuples(*[st.integers(0, len(order))] * 2)))
    order.insert(places[1], (canceled(), None))
    order.insert(places[0], (placed(), None))
    story = Story()
    for said, time in order:
        story.tell(said, time=time)
    return story


@ENOUGH
@given(lives("captures", "voids", "lapses", "refunds", "reverses"), st.data())
def test_r7_r25_of_a_payments_life_told_in_any_order_what_is_left_goes_back_to_the_cent(
    gateway: Gateway, data: st.DataObject
) -> None:
    """Reversed or voided in part and captured, its authorisation told last: all the same."""
    story = in_some_order(gateway.told, data)
    payment = story.state.payment(PAY_1, "EUR")

    assert payment.held_minor == payment.pending_minor("void") == gateway.held_minor
    assert payment.pending_minor("refund") == gateway.kept_minor
    for request, kind in ((VoidRequested, PaymentAuthorized), (RefundRequested, PaymentCaptured)):
        asked = asked_back(story, request)
        assert asked <= highest([said for said, _ in gateway.told], kind)
    assert story.rebuilt() == story.state


@ENOUGH
@given(lives("authorizes", "lapses"), st.data())
def test_r7_r25_a_lapse_is_of_what_was_authorised_before_it_whenever_and_however_often_it_is_told(
    gateway: Gateway, data: st.DataObject
) -> None:
    story = in_some_order(gateway.told, data)
    again = data.draw(st.lists(st.sampled_from(gateway.told), max_size=3))
    for said, time in again:
        story.tell(said, time=time)

    payment = story.state.payment(PAY_1, "EUR")
    assert payment.held_minor == payment.pending_minor("void") == gateway.held_minor


@ENOUGH
@given(
    lives("captures", "voids", "lapses", "refunds", "reverses", last=["reverses all"]), st.data()
)
def test_r7_r25_nothing_is_forgotten_of_a_payment_of_which_at_last_all_is_taken_back(
    gateway: Gateway, data: st.DataObject
) -> None:
    """Its word names no amount, so more may be asked back than is there, and is stuck then."""
    payment = in_some_order(gateway.told, data).state.payment(PAY_1, "EUR")

    assert payment.pending_minor("void") == payment.held_minor >= gateway.held_minor
    assert payment.pending_minor("refund") >= gateway.kept_minor
