"""R7, R25: authorisations that lapsed before they are told, as events that lag apart arrive."""

from datetime import timedelta

import pytest

from services.payment.state import Approved, Lapsed
from shared.errors import PermanentError
from shared.events.envelope import Fact
from shared.events.payment import PaymentLapsed, PaymentRenewed, PaymentTakenBack
from tests.support.payments import (
    AWAITING,
    ONE_MS,
    PAY_1,
    PAY_2,
    PURCHASED,
    TOTAL,
    Story,
    arrived,
    asked_again,
    authorized,
    canceled,
    captured,
    declined,
    eur,
    lapsed,
    packed,
    placed,
    taken_back,
    told,
    voided,
    went,
)

TWICE = eur(2 * TOTAL.amount_minor)


def story(*said: Fact) -> Story:
    return Story(tick=timedelta(0)).tell(*said)


@pytest.mark.parametrize(
    "first",
    [
        (placed(),),
        (placed(), packed()),
        (placed(), authorized(PAY_2)),
        (placed(), authorized(PAY_2), lapsed(PAY_2)),
        (placed(), authorized(PAY_2), lapsed(PAY_2), packed()),
        (placed(), declined(PAY_2)),
        (placed(), canceled()),
    ],
    ids=["awaiting", "shipped", "duplicate", "renewed", "renewed, shipped", "refused", "canceled"],
)
def test_r25_a_lapse_ends_the_same_whether_it_comes_before_its_authorisation_or_after(
    first: tuple[Fact, ...],
) -> None:
    early = story(*first, lapsed(), authorized()).state
    late = story(*first, authorized(), lapsed()).state

    assert early.payment(PAY_1, "EUR").held_minor == 0
    assert early.standing == late.standing
    assert early.lapsed == late.lapsed


def test_r7_an_authorisation_that_had_lapsed_before_it_is_told_is_asked_for_again() -> None:
    early = story(placed(), lapsed(), lapsed(), authorized())

    assert early.facts[1:] == [
        PaymentLapsed(payment_id=PAY_1, happened_at=PURCHASED),
        *story(placed(), authorized()).facts[1:],
        went("lapsed"),
        asked_again(),
    ]
    assert early.rebuilt() == early.state
    assert isinstance(early.state.standing, Lapsed)


def test_r7_what_was_asked_for_again_and_lapsed_before_it_is_told_is_asked_for_once_more() -> None:
    early = story(placed(), authorized(), lapsed(), lapsed(PAY_2)).tell(authorized(PAY_2))

    assert early.facts[-4:] == [
        arrived("authorized", PAY_2),
        PaymentRenewed(payment_id=PAY_2),
        went("lapsed", PAY_2),
        asked_again(payment_id=PAY_2),
    ]


def test_r7_more_of_a_payment_that_lapsed_early_is_held() -> None:
    state = told(placed(), lapsed(), authorized(), authorized(PAY_1, TWICE))

    assert isinstance(state.standing, Approved)
    assert state.payment(PAY_1, "EUR").held_minor == TOTAL.amount_minor


@pytest.mark.parametrize("said", [(lapsed(), captured()), (captured(), lapsed())])
def test_r7_a_lapse_says_nothing_of_what_was_captured(said: tuple[Fact, ...]) -> None:
    state = told(placed(), *said, authorized())

    assert isinstance(state.standing, Approved)
    payment = state.payment(PAY_1, "EUR")
    assert (payment.reclaimable_minor, dict(payment.told)) == (TOTAL.amount_minor, {})


def test_r7_the_rest_of_a_capture_lapses_though_its_authorisation_is_told_last() -> None:
    state = told(placed(), captured(PAY_1, eur(50_00)), lapsed(), authorized())

    assert dict(state.payment(PAY_1, "EUR").told) == {"lapsed": 29_19}


@pytest.mark.parametrize("said", [(lapsed(), taken_back()), (taken_back(), lapsed())])
def test_r25_what_lapsed_and_was_taken_back_ends_the_same_whether_it_is_told_before_or_after(
    said: tuple[Fact, ...],
) -> None:
    early = story(placed(), *said, authorized())
    late = story(placed(), authorized(), *said)

    assert early.state.standing == late.state.standing
    assert early.state.payments == late.state.payments
    last_early, last_late = (
        [type(f) for f in told.facts if not isinstance(f, PaymentLapsed | PaymentTakenBack)][-2:]
        for told in (early, late)
    )
    assert last_early == last_late
    assert early.rebuilt() == early.state


def test_r25_a_lapse_before_its_order_waits_for_it() -> None:
    assert (
        story(lapsed(), authorized(), placed()).facts
        == story(placed(), lapsed(), authorized()).facts
    )


def test_r7_payments_that_lapsed_early_have_a_limit_too() -> None:
    state = AWAITING.model_copy(update={"lapsed": {f"P-{n}": PURCHASED for n in range(99)}})
    full = state.after(PaymentLapsed(payment_id="P-99", happened_at=PURCHASED))

    assert full.after(PaymentLapsed(payment_id="P-99", happened_at=PURCHASED + ONE_MS)) != full
    with pytest.raises(PermanentError, match="too_many_payments"):
        full.after(PaymentLapsed(payment_id="P-100", happened_at=PURCHASED))


def test_r25_a_void_that_is_told_after_a_lapse_and_a_renewal_leaves_nothing_of_that_held() -> None:
    """What was asked to be voided lapsed, as far as was known: of the renewed money all is asked
    back, and a void from before the lapse does none of that.
    """
    at = [PURCHASED + n * ONE_MS for n in range(4)]
    found = Story().tell(placed(), canceled()).tell(authorized(), time=at[0])
    found.tell(lapsed(), time=at[2]).tell(authorized(amount=TWICE), time=at[3])

    payment = found.tell(voided(amount=eur(39_59)), time=at[1]).state.payment(PAY_1, "EUR")

    assert payment.held_minor == payment.pending_minor("void") == TOTAL.amount_minor
