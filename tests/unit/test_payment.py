"""Payment's decisions: the table of R25, R5's three answers, R6's refusals; its state."""

from datetime import datetime, timedelta
from itertools import permutations
from typing import Literal

import pytest

from services.payment.app import build
from services.payment.case import Tally
from services.payment.decisions import TABLE, decide
from services.payment.state import (
    MAX_PAYMENTS,
    Approved,
    Awaiting,
    NotPlaced,
    Refused,
    Verification,
    evolve,
)
from services.payment.store import documents
from shared.documents import Document
from shared.errors import PermanentError
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact, OpenDeadline
from shared.events.fields import Money
from shared.events.fulfillment import PackageConfirmed
from shared.events.gateway import (
    AnswerPending,
    AuthorizationLapsed,
    BuyerBlocked,
    BuyerUnblocked,
    CardBlocked,
    CardUnblocked,
    PaymentAuthorized,
    PaymentReversed,
    RequestFailed,
)
from shared.events.payment import (
    PROVIDER_ANSWER,
    VERIFICATION,
    PaymentApproved,
    PaymentRefusal,
    PaymentRefused,
    VerificationStarted,
    VerificationUnknown,
)
from shared.policy import Policies, Policy
from shared.policy_fields import FraudLimits
from shared.service import Park
from tests.support.payments import (
    APPROVED,
    AWAITING,
    CLOSED,
    DECIDED,
    DOLLARS,
    LAPSED,
    ONE_MS,
    ORDER,
    PAY_1,
    PAY_2,
    POLICIES,
    PURCHASED,
    REFUSED,
    TOTAL,
    WINDOW_END,
    Story,
    answer_due,
    archived,
    arrived,
    authorized,
    canceled,
    captured,
    charged_back,
    declined,
    eur,
    failed,
    fraud,
    id_was_used,
    lapsed,
    packed,
    placed,
    received,
    refund,
    refunded,
    refusal,
    rest_canceled,
    returned,
    taken_back,
    told,
    unavailable,
    void,
    voided,
    window_end,
)

TIMED_OUT = refusal("payment_timeout")
STATES = {
    "not_placed": None,
    "awaiting": AWAITING,
    "approved": APPROVED,
    "lapsed": LAPSED,
    "refused": REFUSED,
    "closed": CLOSED,
}
SAMPLES = (
    placed(),
    authorized(PAY_2),
    captured(PAY_2),
    declined(PAY_2),
    fraud(PAY_2),
    unavailable(PAY_2),
    AnswerPending(payment_id=PAY_2),
    voided(PAY_2),
    refunded(PAY_2),
    lapsed(PAY_1),
    taken_back(PAY_1),
    charged_back(PAY_1),
    failed("void", PAY_1),
    packed(),
    rest_canceled(1),
    returned("R-1"),
    canceled(),
    archived(),
    id_was_used(),
    window_end(),
    answer_due(),
    BuyerBlocked(buyer_id="BUYER-4711"),
    BuyerUnblocked(buyer_id="BUYER-4711"),
    CardBlocked(payment_method_ref="card-0c2f"),
    CardUnblocked(payment_method_ref="card-0c2f"),
)
NEED_MONEY = (AuthorizationLapsed, PaymentReversed, RequestFailed, PackageConfirmed)
"""Of these some come about money that is not there, or need nothing to be done about it."""


# R25: the table


def test_r25_the_table_has_a_row_for_every_event_that_payment_reads() -> None:
    reads = {fact for reading in build().reads for fact in reading.facts} - {DeadlineReached}

    assert set(TABLE) == reads | {VERIFICATION, PROVIDER_ANSWER} == {_row(s) for s in SAMPLES}


def _row(said: Fact) -> type[Fact] | str:
    return said.kind if isinstance(said, DeadlineReached) else type(said)


@pytest.mark.parametrize("standing", STATES)
@pytest.mark.parametrize("said", SAMPLES, ids=lambda said: type(said).__name__)
def test_r25_each_event_is_applied_parked_or_ignored_as_the_table_says(
    said: Fact, standing: str
) -> None:
    later = PURCHASED + timedelta(hours=1)
    verdict = decide(STATES[standing], received(said, time=later), POLICIES)

    match getattr(TABLE[_row(said)], standing):
        case "apply":
            assert not isinstance(verdict, Park)
            assert len(verdict) > 0 or isinstance(said, NEED_MONEY) or said == answer_due()
        case "park":
            assert verdict == Park(until=PURCHASED + timedelta(hours=24))
        case _:
            assert verdict == ()


def test_r25_what_precedes_its_order_is_parked_from_its_arrival_by_the_default_policy() -> None:
    policies = Policies(
        default=Policy(parked_hours=6), by_marketplace={"SE": Policy(parked_hours=9)}
    )
    arrival = PURCHASED + timedelta(minutes=17)

    assert decide(None, received(captured(), at=arrival), policies) == Park(
        until=arrival + timedelta(hours=6)
    )


@pytest.mark.parametrize(
    "inputs",
    [
        (placed(), authorized()),
        (placed(), captured()),
        (placed(), declined()),
        (placed(), unavailable(), authorized()),
        (placed(), unavailable(), declined()),
        (placed(), authorized(), captured()),
        (placed(), captured(), refunded()),
        (placed(), captured(), refunded(PAY_1, eur(20_00))),
        (placed(), captured(), charged_back(PAY_1, TOTAL)),
        (placed(), authorized(), taken_back(PAY_1, TOTAL)),
        (placed(), authorized(), captured(), charged_back(PAY_1, eur(20_00))),
        (placed(), canceled()),
        (placed(), canceled(), authorized()),
        (placed(), canceled(), captured(), authorized(PAY_2)),
        (placed(), canceled(), unavailable(), captured()),
        (placed(), placed(), canceled()),
    ],
    ids=lambda inputs: "-".join(type(said).__name__ for said in inputs),
)
def test_r25_inputs_that_do_not_race_end_the_same_in_every_order(inputs: tuple[Fact, ...]) -> None:
    # What was canceled before it was placed was never taken up under a policy.
    keeps_none: dict[str, None] = {"provider_answer_hours": None}
    when = {said: PURCHASED + n * ONE_MS for n, said in enumerate(inputs)}
    ends = []
    for order in permutations(inputs):
        story = Story()
        for said in order:
            story.tell(said, time=when[said])
        ends.append(story.state.model_copy(update=keeps_none))

    assert all(end == ends[0] for end in ends)
    assert not isinstance(ends[0].standing, NotPlaced | Awaiting)


# R5: three answers


@pytest.mark.parametrize(("days", "end"), [(None, WINDOW_END), (1, PURCHASED + timedelta(days=1))])
def test_r5_a_placed_orders_payment_is_awaited_until_the_end_of_its_marketplaces_window(
    days: int | None, end: datetime
) -> None:
    own = {"SE": Policy(verification_window_days=days)} if days else {}

    facts = decide(None, received(placed("SE")), Policies(by_marketplace=own))
    assert not isinstance(facts, Park)

    (started,) = facts
    assert isinstance(started, VerificationStarted)
    assert (started.amount, started.ends) == (TOTAL, end)
    state = evolve(None, started, PURCHASED)
    assert state.deadlines == (OpenDeadline(kind=VERIFICATION, due=end),)


@pytest.mark.parametrize(
    ("said", "at_once"), [(authorized(), False), (captured(), True)], ids=["authorized", "captured"]
)
def test_r5_amount_and_currency_of_the_order_are_approved(said: Fact, at_once: bool) -> None:
    assert decide(AWAITING, received(said), POLICIES) == [
        PaymentApproved(
            payment_id=PAY_1,
            amount=TOTAL,
            captured=at_once,
            captured_at=PURCHASED if at_once else None,
        )
    ]


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (eur(79_18), "7918 EUR instead of 7919 EUR"),
        (eur(79_20), "7920 EUR instead of 7919 EUR"),
        (DOLLARS, "7919 USD instead of 7919 EUR"),
        (Money(amount_minor=1, currency="JPY"), "1 JPY instead of 7919 EUR"),
    ],
    ids=["a cent less", "a cent more", "another currency", "both"],
)
def test_r5_a_mismatch_is_refused_and_its_money_goes_back(amount: Money, shown: str) -> None:
    refused = refusal("payment_mismatch", PAY_1, shown)

    assert decide(AWAITING, received(authorized(PAY_1, amount)), POLICIES) == [
        refused,
        arrived("authorized", amount=amount),
        void("payment_mismatch", amount=amount),
    ]
    assert decide(AWAITING, received(captured(PAY_1, amount)), POLICIES) == [
        refused,
        arrived("captured", amount=amount),
        refund("payment_mismatch", amount=amount),
    ]


def test_r5_an_amount_of_nothing_is_a_mismatch_with_nothing_to_give_back() -> None:
    assert decide(AWAITING, received(captured(PAY_1, eur(0))), POLICIES) == [
        refusal("payment_mismatch", PAY_1, "0 EUR instead of 7919 EUR")
    ]


@pytest.mark.parametrize(
    ("said", "reason", "detail"),
    [
        (declined(), "payment_declined", "insufficient funds"),
        (fraud(), "fraud_suspected", "card reported stolen"),
    ],
    ids=["declined", "fraud"],
)
def test_r5_declined_and_fraud_are_refused(said: Fact, reason: PaymentRefusal, detail: str) -> None:
    assert decide(AWAITING, received(said), POLICIES) == [refusal(reason, PAY_1, detail)]


def test_r5_unknown_is_recorded_and_the_order_waits_on() -> None:
    story = Story().tell(placed(), unavailable(), unavailable(PAY_2))

    assert story.facts[1:] == [
        VerificationUnknown(payment_id=payment_id, detail="acquirer does not answer")
        for payment_id in (PAY_1, PAY_2)
    ]
    assert story.state == AWAITING
    assert isinstance(story.tell(authorized(PAY_2)).state.standing, Approved)


@pytest.mark.parametrize(
    ("buyer", "card", "reason", "detail"),
    [
        ("blocked", "counted", "buyer_blocked", ""),
        ("counted", "blocked", "card_blocked", ""),
        ("blocked", "blocked", "buyer_blocked", ""),
        ("velocity_exceeded", "blocked", "card_blocked", ""),
        ("velocity_exceeded", "counted", "velocity_exceeded", "by its buyer within 24 hours"),
        ("counted", "velocity_exceeded", "velocity_exceeded", "by its card within 24 hours"),
        ("spend_exceeded", "velocity_exceeded", "velocity_exceeded", "by its card within 24 hours"),
        ("spend_exceeded", "counted", "spend_exceeded", "by its buyer within 24 hours"),
    ],
)
def test_r5_r8_who_is_blocked_or_reaches_a_limit_is_refused_and_the_reason_says_whose_it_is(
    buyer: Tally, card: Tally, reason: PaymentRefusal, detail: str
) -> None:
    said = received(placed(), tallies=(buyer, card))

    assert decide(None, said, POLICIES) == [refusal(reason, detail=detail)]


def test_r8_a_refusal_says_the_window_of_the_orders_own_marketplace() -> None:
    own = Policies(by_marketplace={"SE": Policy(fraud=FraudLimits(window_hours=7))})
    said = received(placed("SE"), tallies=("counted", "velocity_exceeded"))

    assert decide(None, said, own) == [
        refusal("velocity_exceeded", detail="by its card within 7 hours")
    ]


def test_r8_an_order_whose_start_names_nobody_is_refused_without_a_name() -> None:
    started = VerificationStarted(amount=TOTAL, ends=WINDOW_END)

    assert decide(Verification().after(started), received(window_end()), POLICIES) == [
        PaymentRefused(reason="payment_timeout")
    ]


@pytest.mark.parametrize("tally", ["counted", "forgotten"])
def test_r8_an_order_within_the_limits_is_verified_and_says_with_whom_it_counts(
    tally: Tally,
) -> None:
    facts = decide(None, received(placed(), tallies=(tally, tally)), POLICIES)

    assert not isinstance(facts, Park)
    (started,) = facts
    assert isinstance(started, VerificationStarted)
    with_whom = started.buyer_id, started.payment_method_ref, started.purchase_date
    assert with_whom == ("BUYER-4711", "card-0c2f", PURCHASED)


# R6: refused for good


def test_r6_never_approved_in_its_window_is_refused() -> None:
    assert decide(AWAITING, received(window_end()), POLICIES) == [TIMED_OUT]
    assert told(placed(), unavailable(), window_end()).standing == Refused(reason="payment_timeout")


def test_r6_only_the_window_that_is_open_ends() -> None:
    early = window_end().model_copy(update={"due": WINDOW_END - ONE_MS})
    others = window_end().model_copy(update={"publisher": "fulfillment"})

    assert told(placed(), early, others) == AWAITING


ANSWERS = {
    "declined": (declined(PAY_2), "payment_declined"),
    "fraud": (fraud(PAY_2), "fraud_suspected"),
    "mismatch": (authorized(PAY_2, eur(79_18)), "payment_mismatch"),
    "timeout": (window_end(), "payment_timeout"),
    "approved": (authorized(PAY_2), None),
}


@pytest.mark.parametrize("later", ANSWERS)
@pytest.mark.parametrize("first", ANSWERS)
def test_r6_the_first_answer_is_final(first: str, later: str) -> None:
    said, reason = ANSWERS[first]
    standing = told(placed(), said).standing

    assert getattr(standing, "reason", None) == reason
    assert told(placed(), said, ANSWERS[later][0], authorized(), declined()).standing == standing


@DECIDED
@pytest.mark.parametrize(
    "said",
    [placed(), declined(), fraud(), unavailable(), window_end()],
    ids=lambda said: type(said).__name__,
)
def test_r6_a_decided_payment_waits_for_nothing_and_is_not_asked_again(
    state: Verification, said: Fact
) -> None:
    assert state.deadlines == ()
    assert decide(state, received(said), POLICIES) == ()


@pytest.mark.parametrize("money", [authorized(), captured()], ids=["authorized", "captured"])
def test_r6_at_the_same_instant_the_order_in_the_log_decides_and_money_follows(
    money: Fact,
) -> None:
    approved = Story(tick=timedelta(0)).tell(placed(), money, window_end())
    refused = Story(tick=timedelta(0)).tell(placed(), window_end(), money)

    assert [type(fact) for fact in approved.facts] == [VerificationStarted, PaymentApproved]
    back = void if isinstance(money, PaymentAuthorized) else refund
    how: Literal["authorized", "captured"] = "authorized" if back is void else "captured"
    assert refused.facts[1:] == [TIMED_OUT, arrived(how), back("payment_refused")]


# the state


def test_p6_an_order_has_a_limit_of_payments_and_says_so() -> None:
    state = told(placed(), canceled())
    for n in range(MAX_PAYMENTS):
        state = state.after(arrived("captured", f"PAY-{n}"))
    assert state.after(arrived("captured", "PAY-0", eur(1))) != state

    with pytest.raises(PermanentError, match=r"too_many_payments.*by hand"):
        decide(state, received(captured(f"PAY-{MAX_PAYMENTS}")), POLICIES)


def test_a_state_reads_back_as_it_was_written() -> None:
    returning = told(placed(), authorized(), packed(), captured(), returned("R-1"))
    for state in (AWAITING, APPROVED, LAPSED, REFUSED, CLOSED, returning):
        document = Document(ORDER, state)
        (write,) = documents.write(0, document, document, lambda _at: None)

        assert documents.read(ORDER, bytes(write.args[0])).state == state  # type: ignore[arg-type]


def test_evolve_refuses_a_fact_that_is_not_payments_own() -> None:
    with pytest.raises(TypeError, match="no fact of payment"):
        evolve(AWAITING, canceled(), PURCHASED)
