"""R7, R25: money that was taken back before it is told, as events that lag apart arrive."""

from datetime import timedelta

import pytest

from services.payment.decisions import decide
from services.payment.state import Approved
from shared.errors import PermanentError
from shared.events.gateway import PaymentAuthorized, PaymentCaptured, PaymentReversed
from shared.events.payment import (
    ApprovalWithdrawn,
    PaymentRenewed,
    PaymentTakenBack,
    RefundRequested,
    VoidRequested,
)
from tests.support.payments import (
    AWAITING,
    PAY_1,
    PAY_2,
    POLICIES,
    PURCHASED,
    TOTAL,
    Story,
    arrived,
    authorized,
    canceled,
    captured,
    charged_back,
    eur,
    lapsed,
    packed,
    placed,
    received,
    refunded,
    returned,
    taken_back,
    told,
    voided,
    went,
)


@pytest.mark.parametrize("money", [authorized(), captured()], ids=["authorized", "captured"])
@pytest.mark.parametrize(
    "said",
    [charged_back(PAY_1, TOTAL), charged_back(), taken_back(), charged_back(PAY_1, eur(1))],
    ids=["charged back", "charged back, all of it", "reversed, all of it", "a cent"],
)
def test_r7_money_that_was_taken_back_before_it_is_told_is_approved_no_more(
    said: PaymentReversed, money: PaymentAuthorized | PaymentCaptured
) -> None:
    story = Story().tell(placed(), said, money)

    assert story.facts[-1] == ApprovalWithdrawn(
        payment_id=PAY_1, amount=said.amount or TOTAL, reason="reversed"
    )
    left = story.state.payment(PAY_1, "EUR").reclaimable_minor
    assert left == TOTAL.amount_minor - (said.amount or TOTAL).amount_minor
    story.tell(canceled())
    back = [f for f in story.facts if isinstance(f, VoidRequested | RefundRequested)]
    assert [f.amount.amount_minor for f in back] == [left][:left]


@pytest.mark.parametrize("minor", [1, 2])
def test_r7_what_comes_of_a_payment_of_which_a_cent_was_taken_back_withdraws_nothing_again(
    minor: int,
) -> None:
    story = Story().tell(placed(), authorized(), taken_back(PAY_1, eur(minor)), captured())

    assert [type(fact) for fact in story.facts].count(ApprovalWithdrawn) == 1


def test_r7_all_that_is_told_of_a_payment_that_was_taken_back_is_back_already() -> None:
    story = Story(tick=timedelta(0)).tell(placed(), taken_back(PAY_2), charged_back(PAY_2))
    story.tell(authorized(), authorized(PAY_2), captured(PAY_2, eur(79_20)))

    assert story.facts[1:] == [
        PaymentTakenBack(payment_id=PAY_2, happened_at=PURCHASED),
        *Story().tell(placed(), authorized()).facts[1:],
        arrived("authorized", PAY_2),
        went("reversed", PAY_2, whole=True),
        arrived("captured", PAY_2, eur(79_20)),
        went("reversed", PAY_2, eur(1), whole=True),
    ]


def test_r7_money_that_was_refunded_before_it_is_told_is_approved_no_more() -> None:
    first, last = (placed(), refunded(), captured()), (placed(), captured(), refunded())

    for said in (first, last, (placed(), refunded(), authorized(), captured())):
        assert Story().tell(*said).facts[-1] == ApprovalWithdrawn(
            payment_id=PAY_1, amount=TOTAL, reason="reversed"
        )


def test_r7_what_was_refunded_in_part_or_as_asked_withdraws_nothing() -> None:
    some = refunded(PAY_1, eur(79_18))
    shipped = (placed(), captured(), packed(3), returned("RMA-1", 3))

    for said in [
        (placed(), some, captured()),
        (placed(), captured(), some),
        (*shipped, refunded()),
    ]:
        facts = Story().tell(*said).facts
        assert not [fact for fact in facts if isinstance(fact, ApprovalWithdrawn)]


@pytest.mark.parametrize("renewed_first", [True, False])
def test_r7_what_was_refunded_as_asked_before_a_payment_was_renewed_withdraws_nothing(
    renewed_first: bool,
) -> None:
    renewal, refund = authorized(PAY_1, eur(2 * TOTAL.amount_minor)), refunded(PAY_1, eur(10_00))
    lapsing = (placed(), authorized(), voided(PAY_1, eur(20_00)), captured(PAY_1, eur(10_00)))
    story = Story().tell(*lapsing, *((renewal, refund) if renewed_first else (refund, renewal)))

    assert isinstance(story.state.standing, Approved)
    assert not [fact for fact in story.facts if isinstance(fact, ApprovalWithdrawn)]


def test_r7_what_was_asked_for_again_and_taken_back_before_it_is_told_is_withdrawn() -> None:
    story = Story(tick=timedelta(0)).tell(placed(), authorized(), lapsed(), charged_back(PAY_2))

    assert story.tell(authorized(PAY_2)).facts[-4:] == [
        arrived("authorized", PAY_2),
        PaymentRenewed(payment_id=PAY_2),
        went("reversed", PAY_2, whole=True),
        ApprovalWithdrawn(payment_id=PAY_2, amount=TOTAL, reason="reversed"),
    ]


@pytest.mark.parametrize(
    "taken", [(), (captured(PAY_1, eur(20_00)),)], ids=["authorized", "captured in part"]
)
def test_r7_what_was_taken_back_is_neither_asked_for_again_nor_stuck_when_the_rest_lapses(
    taken: tuple[PaymentCaptured, ...],
) -> None:
    state = told(placed(), authorized(), *taken, charged_back(PAY_1, eur(20_00)))

    assert decide(state, received(lapsed()), POLICIES) == [went("lapsed", amount=eur(59_19))]


def test_r7_payments_that_were_taken_back_have_a_limit_too() -> None:
    state = AWAITING.model_copy(update={"taken_back": {f"P-{n}": PURCHASED for n in range(99)}})
    full = state.after(PaymentTakenBack(payment_id="P-99", happened_at=PURCHASED))

    with pytest.raises(PermanentError, match="too_many_payments"):
        full.after(PaymentTakenBack(payment_id="P-100", happened_at=PURCHASED))
