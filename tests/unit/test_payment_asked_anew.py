"""R7, R23: what was asked for and can not be done does not count against money that comes later."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from services.payment.funds import Request
from services.payment.state import Lapsed
from shared.events.envelope import Fact, OpenDeadline
from shared.events.payment import (
    PROVIDER_ANSWER,
    CaptureRequested,
    PaymentRenewed,
    PaymentStuck,
    RefundRequested,
    VoidRequested,
)
from tests.support.payments import (
    ANSWER_DUE,
    PAY_1,
    PAY_2,
    TOTAL,
    Story,
    answer_due,
    arrived,
    authorized,
    canceled,
    capture,
    captured,
    charged_back,
    eur,
    failed,
    lapsed,
    packed,
    placed,
    refund,
    refunded,
    rest_canceled,
    returned,
    taken_back,
    void,
    voided,
    went,
)

TWICE = eur(2 * TOTAL.amount_minor)
PART, REST = eur(10_00), eur(69_19)
UP_TO_TWICE = arrived("authorized")


def story(*said: Fact) -> Story:
    return Story(tick=timedelta(0)).tell(*said)


def stuck_of(told: Story) -> list[tuple[str, int]]:
    return [(f.reason, f.amount.amount_minor) for f in told.facts if isinstance(f, PaymentStuck)]


# R7: captures that are missing


@pytest.mark.parametrize("no", [(), (failed("capture"),)], ids=["unanswered", "refused"])
@pytest.mark.parametrize("gone", [lapsed(), voided()], ids=["lapsed", "voided"])
def test_r7_a_payment_that_is_renewed_under_its_own_id_is_captured(
    gone: Fact, no: tuple[Fact, ...]
) -> None:
    again = story(placed(), authorized(), packed(), gone, *no, authorized(PAY_1, TWICE))

    assert again.facts[-3:] == [UP_TO_TWICE, PaymentRenewed(payment_id=PAY_1), capture()]
    assert again.rebuilt() == again.state
    assert again.state.deadlines == (OpenDeadline(kind=PROVIDER_ANSWER, due=ANSWER_DUE),)


def test_r7_a_payment_that_was_reversed_and_is_authorised_anew_is_captured_once_shipped() -> None:
    again = story(placed(), authorized(), packed(), taken_back(), authorized(PAY_1, TWICE))

    assert again.facts[-2:] == [UP_TO_TWICE, capture()]


def test_r7_the_rest_of_a_capture_is_asked_for_once_it_is_held_again() -> None:
    again = story(placed(), authorized(), packed(), captured(PAY_1, PART), lapsed())

    again.tell(authorized(PAY_1, TWICE))

    assert again.facts[-3:] == [
        UP_TO_TWICE,
        void("payment_mismatch", amount=PART),
        capture(amount=REST),
    ]


def test_r7_of_what_is_renewed_under_its_own_id_all_is_captured_though_a_part_goes_back() -> None:
    told = story(placed(), authorized(), voided(PAY_1, eur(20_00)), captured(PAY_1, PART))
    assert told.facts[-1] == refund("authorization_lapsed", amount=PART)

    told.tell(authorized(PAY_1, TWICE))
    assert told.facts[-2:] == [UP_TO_TWICE, PaymentRenewed(payment_id=PAY_1)]

    assert told.tell(refunded(PAY_1, PART), packed()).facts[-1] == capture()


def test_r7_a_duplicate_that_goes_back_renews_nothing_when_its_authorisation_is_told_last() -> None:
    told = story(placed(), authorized(), captured(PAY_2), lapsed(), authorized(PAY_2))

    assert told.facts[-1] == arrived("authorized", PAY_2)
    assert isinstance(told.state.standing, Lapsed)


def test_r7_a_capture_on_top_of_one_that_waits_adds_to_it() -> None:
    told = story(placed(), authorized(), captured(PAY_1, PART), voided(PAY_1, eur(20_00)), packed())

    assert told.tell(authorized(PAY_1, eur(99_19))).facts[-1] == capture(amount=eur(20_00))
    assert stuck_of(told.tell(failed("capture")))[-1] == ("capture_failed", 69_19)


# R7: what goes back


def test_r7_what_the_provider_refused_to_capture_is_voided_once_it_is_not_owed() -> None:
    """And a capture that waits for its answer is left to come, and is refunded then."""
    refused = story(placed(), authorized(), packed(units=3), failed("capture"))
    waits = story(placed(), authorized(), packed(units=3))

    for told in (refused, waits):
        told.tell(returned("RMA-1", sellable=3))
    voids = [
        [(f.amount, f.cause, f.return_id) for f in told.facts if isinstance(f, VoidRequested)]
        for told in (refused, waits)
    ]

    assert voids == [[(TOTAL, "units_returned", "RMA-1")], []]


@pytest.mark.parametrize(("gone_minor", "waits_minor"), [(79_18, 1), (79_19, 0)])
@pytest.mark.parametrize(
    ("came", "gone", "request_"),
    [(authorized, voided, "void"), (captured, refunded, "refund")],
    ids=["void", "refund"],
)
def test_r7_what_went_back_as_asked_is_asked_for_no_more_though_as_much_is_there(
    came: Callable[..., Fact],
    gone: Callable[..., Fact],
    request_: Request,
    gone_minor: int,
    waits_minor: int,
) -> None:
    told = story(placed(), came(), came(PAY_1, TWICE), gone(PAY_1, eur(gone_minor)))

    assert told.state.payment(PAY_1, "EUR").pending_minor(request_) == waits_minor


def test_r7_what_is_authorised_after_a_void_that_failed_is_voided() -> None:
    told = story(placed(), authorized(), canceled(), captured(), failed("void"), refunded())

    assert told.tell(authorized(PAY_1, TWICE)).facts[-2:] == [UP_TO_TWICE, void("order_canceled")]
    assert told.rebuilt() == told.state


def test_r7_of_a_void_only_what_was_captured_meanwhile_can_not_be_done() -> None:
    told = story(placed(), authorized(), canceled(), captured(PAY_1, PART))

    assert told.tell(authorized(PAY_1, TWICE)).facts[-2:] == [UP_TO_TWICE, void("order_canceled")]
    voids = [fact for fact in told.facts if isinstance(fact, VoidRequested)]
    assert len(voids) == 2


@pytest.mark.parametrize("taken", [charged_back(PAY_1, eur(20_00)), taken_back(PAY_1, eur(20_00))])
def test_r7_what_is_taken_back_answers_no_refund(taken: Fact) -> None:
    shipped = (placed(), authorized(), packed(3), captured())
    told = story(*shipped, returned("R-1"), taken)
    assert told.state.payment(PAY_1, "EUR").pending_minor("refund") == 26_40

    told.tell(returned("R-2", 2))

    refunds = [fact for fact in told.facts if isinstance(fact, RefundRequested)]
    assert refunds == [
        refund("units_returned", amount=eur(26_40), return_id="R-1"),
        refund("units_returned", amount=eur(32_79), return_id="R-2"),
    ]
    assert story(*shipped, returned("R-1"), charged_back()).state.deadlines == ()


def test_r7_what_was_reversed_of_an_authorisation_is_not_missing_in_what_is_captured_then() -> None:
    left = eur(72_19)
    told = story(placed(), authorized(), taken_back(PAY_1, eur(7_00)), captured(PAY_1, left))

    assert told.state.payment(PAY_1, "EUR").held_minor == 0
    assert told.tell(canceled()).facts[-1] == refund("order_canceled", amount=left)


def test_r7_a_payment_that_was_reversed_and_is_captured_anew_goes_back() -> None:
    told = story(placed(), authorized(), taken_back(), authorized(PAY_1, TWICE), captured())

    assert told.tell(canceled()).facts[-1] == refund("order_canceled")


def test_r7_what_is_to_be_voided_is_not_captured() -> None:
    told = story(placed(), authorized(), authorized(PAY_1, TWICE), taken_back(PAY_1, eur(7_00)))

    assert told.tell(packed()).facts[-1] == capture(amount=eur(72_19))


# R23: said once


@pytest.mark.parametrize("units", [(), (packed(),)], ids=["not shipped", "shipped first"])
@pytest.mark.parametrize("gone", [lapsed(), voided(PAY_1, REST)], ids=["lapsed", "voided"])
def test_r23_the_rest_of_a_capture_in_part_that_is_held_no_more_is_stuck_once(
    gone: Fact, units: tuple[Fact, ...]
) -> None:
    part = (placed(), authorized(), captured(PAY_1, PART))
    late = story(*part, *units, gone, gone, packed(2), failed("capture"), answer_due())

    assert stuck_of(late) == [("capture_failed", 69_19)]
    assert late.rebuilt() == late.state
    assert late.state == story(*part, gone, packed()).state


def test_r23_what_is_held_no_more_is_not_missing_where_it_is_not_owed() -> None:
    half = eur(50_00)
    told = story(placed(), authorized(), packed(), captured(PAY_1, half), rest_canceled(2))

    assert stuck_of(told.tell(lapsed())) == []
    assert stuck_of(story(placed(), authorized(), captured(PAY_1, half), canceled())) == []


def test_r23_let_go_in_part_a_capture_is_stuck_by_what_can_not_be_had_any_more() -> None:
    early = story(placed(), authorized(), captured(PAY_1, PART), voided(PAY_1, eur(20_00)))
    assert stuck_of(early) == [("capture_failed", 20_00)]

    early.tell(packed())
    assert early.facts[-1] == capture(amount=eur(49_19))
    assert stuck_of(early.tell(failed("capture"), lapsed())) == [
        ("capture_failed", 20_00),
        ("capture_failed", 49_19),
    ]


def test_r23_a_capture_of_more_than_is_left_is_stuck_with_all_of_it() -> None:
    late = story(placed(), authorized(), captured(PAY_1, PART), packed())
    late.tell(voided(PAY_1, eur(20_00)))

    assert stuck_of(late) == [("capture_failed", 69_19)]
    assert late.state.deadlines == ()
    assert stuck_of(late.tell(failed("capture"), lapsed())) == [("capture_failed", 69_19)]


@pytest.mark.parametrize("request_", ["capture", "void", "refund"])
def test_r23_a_no_that_is_said_again_is_stuck_once(request_: str) -> None:
    waiting: dict[str, tuple[Fact, ...]] = {
        "capture": (packed(),),
        "void": (canceled(),),
        "refund": (captured(), canceled()),
    }
    told = story(placed(), authorized(), *waiting[request_])

    told.tell(answer_due(), failed(request_), failed(request_))  # type: ignore[arg-type]

    assert [reason for reason, _ in stuck_of(told)] == [
        f"{request_}_unanswered",
        f"{request_}_failed",
    ]


def test_r23_a_no_to_what_was_asked_for_anew_is_stuck_anew() -> None:
    told = story(placed(), authorized(), packed(), failed("capture"), lapsed())
    told.tell(authorized(PAY_1, TWICE), failed("capture"))

    assert stuck_of(told) == [("capture_failed", 79_19)] * 2
    assert len([fact for fact in told.facts if isinstance(fact, CaptureRequested)]) == 2


def test_r23_a_capture_that_was_refused_is_not_stuck_again_when_its_payment_is_renewed() -> None:
    told = story(placed(), authorized(), packed(), voided(PAY_1, eur(79_18)), failed("capture"))
    assert stuck_of(told) == [("capture_failed", 1)]
    assert told.facts[-1] == void("authorization_lapsed", amount=eur(1))

    told.tell(authorized(PAY_1, TWICE))

    assert told.facts[-2:] == [PaymentRenewed(payment_id=PAY_1), capture(amount=eur(79_18))]
    assert stuck_of(told) == [("capture_failed", 1)]


def test_r23_what_is_renewed_in_part_captured_and_lapsed_before_it_is_told_is_stuck() -> None:
    """Two of three lamps are owed when the payment comes that was asked for, for all three."""
    told = story(placed(), authorized(), lapsed(), packed(3), returned("R-1"))
    told.tell(lapsed(PAY_2), captured(PAY_2, PART), authorized(PAY_2))

    assert told.facts[-3] == PaymentRenewed(payment_id=PAY_2)
    assert stuck_of(told) == [("capture_failed", 52_79)]


def test_r23_a_part_of_a_capture_that_was_refused_is_not_stuck_again_when_it_lapses() -> None:
    told = story(placed(), authorized(), packed(), failed("capture"), captured(PAY_1, PART))

    assert told.tell(lapsed()).facts[-1] == went("lapsed", amount=REST)
    assert stuck_of(told) == [("capture_failed", 79_19)]
