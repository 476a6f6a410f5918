"""What R7 gives back: every cause, cancels, captures that overtake a void, returns, repeats."""

from datetime import timedelta

import pytest

from services.payment.decisions import decide
from services.payment.funds import Funds
from services.payment.state import Closed, Verification
from shared.documents import Document
from shared.events.envelope import Fact
from shared.events.payment import (
    NotOwed,
    RefundRequested,
    VerificationClosed,
    VoidRequested,
)
from tests.support.payments import (
    APPROVED,
    CLOSED,
    DECIDED,
    DOLLARS,
    ORDER,
    PAY_1,
    PAY_2,
    POLICIES,
    REFUSED,
    TOTAL,
    Story,
    arrived,
    authorized,
    canceled,
    captured,
    declined,
    eur,
    fraud,
    placed,
    received,
    refund,
    refunded,
    told,
    unavailable,
    void,
    voided,
    went,
    window_end,
)

CLOSED_BY_CANCEL = VerificationClosed(buyer_id="BUYER-4711", payment_method_ref="card-0c2f")
LATE: list[tuple[str, Verification, str, NotOwed]] = [
    ("canceled", CLOSED, PAY_1, "order_canceled"),
    ("approved, then canceled", told(placed(), authorized(), canceled()), PAY_2, "order_canceled"),
    ("canceled before it was placed", told(canceled(), placed()), PAY_1, "order_canceled"),
    ("declined", REFUSED, PAY_1, "payment_refused"),
    ("declined, then canceled", told(placed(), declined(), canceled()), PAY_1, "payment_refused"),
    ("timed out", told(placed(), window_end()), PAY_1, "payment_refused"),
    ("fraud", told(placed(), fraud()), PAY_2, "payment_refused"),
    ("another mismatched", told(placed(), captured(PAY_2, DOLLARS)), PAY_1, "payment_refused"),
    ("itself mismatched", told(placed(), captured(PAY_1, DOLLARS)), PAY_1, "payment_mismatch"),
    ("another approved", APPROVED, PAY_2, "duplicate_payment"),
]


@pytest.mark.parametrize(
    ("state", "payment_id", "cause"),
    [case[1:] for case in LATE],
    ids=[case[0] for case in LATE],
)
def test_r7_money_that_is_not_owed_goes_back_when_it_comes(
    state: Verification, payment_id: str, cause: NotOwed
) -> None:
    assert decide(state, received(authorized(payment_id)), POLICIES) == [
        arrived("authorized", payment_id),
        void(cause, payment_id),
    ]
    assert decide(state, received(captured(payment_id)), POLICIES) == [
        arrived("captured", payment_id),
        refund(cause, payment_id),
    ]


def test_r7_a_duplicate_of_another_amount_is_a_duplicate_all_the_same() -> None:
    assert decide(APPROVED, received(captured(PAY_2, DOLLARS)), POLICIES) == [
        arrived("captured", PAY_2, DOLLARS),
        refund("duplicate_payment", PAY_2, DOLLARS),
    ]


def test_r7_the_approved_payment_keeps_its_total_and_gives_back_what_is_more() -> None:
    assert decide(APPROVED, received(captured()), POLICIES) == [arrived("captured")]
    assert decide(APPROVED, received(captured(PAY_1, eur(79_20))), POLICIES) == [
        arrived("captured", amount=eur(79_20)),
        refund("payment_mismatch", amount=eur(1)),
    ]
    assert decide(APPROVED, received(authorized(PAY_1, eur(79_20))), POLICIES) == [
        arrived("authorized", amount=eur(1)),
        void("payment_mismatch", amount=eur(1)),
    ]
    assert decide(APPROVED, received(captured(PAY_1, DOLLARS)), POLICIES) == [
        arrived("captured", amount=DOLLARS),
        refund("payment_mismatch", amount=DOLLARS),
    ]


CANCELED: list[tuple[str, tuple[Fact, ...], list[Fact]]] = [
    ("awaited", (), []),
    ("unknown", (unavailable(),), []),
    ("authorised", (authorized(),), [void("order_canceled")]),
    ("captured at once", (captured(),), [refund("order_canceled")]),
    ("authorised, then captured", (authorized(), captured()), [refund("order_canceled")]),
    (
        "captured in part",
        (authorized(), captured(PAY_1, eur(50_00))),
        [void("order_canceled", PAY_1, eur(29_19)), refund("order_canceled", PAY_1, eur(50_00))],
    ),
    ("lapsed", (authorized(), voided()), []),
    (
        "refunded in part, unasked",
        (captured(), refunded(PAY_1, eur(20_00))),
        [refund("order_canceled", PAY_1, eur(59_19))],
    ),
    (
        "captured, with a void on top",
        (captured(), voided()),
        [refund("order_canceled")],
    ),
    (
        "a cent too much captured, asked back",
        (authorized(), captured(PAY_1, eur(79_20))),
        [refund("order_canceled")],
    ),
    ("approved beside a duplicate", (authorized(), captured(PAY_2)), [void("order_canceled")]),
]


@pytest.mark.parametrize(
    ("before", "back"), [case[1:] for case in CANCELED], ids=[case[0] for case in CANCELED]
)
def test_r7_a_cancel_closes_and_gives_back_what_is_still_there(
    before: tuple[Fact, ...], back: list[Fact]
) -> None:
    state = told(placed(), *before)

    assert decide(state, received(canceled()), POLICIES) == [CLOSED_BY_CANCEL, *back]
    assert told(placed(), *before, canceled()).standing == Closed()


def test_r7_a_cancel_of_a_refused_order_changes_nothing() -> None:
    assert told(placed(), declined(), captured(), canceled()) == told(
        placed(), declined(), captured()
    )


@pytest.mark.parametrize("void_is_done", [False, True])
@pytest.mark.parametrize(
    "before",
    [(placed(), canceled()), (placed(), declined()), (placed(), authorized(PAY_2))],
    ids=["canceled", "refused", "duplicate"],
)
def test_r7_a_capture_that_overtakes_the_void_is_refunded(
    before: tuple[Fact, ...], void_is_done: bool
) -> None:
    story = Story().tell(*before, authorized(), *[voided()][:void_is_done], captured())

    requests = [f for f in story.facts if isinstance(f, VoidRequested | RefundRequested)]
    cause = requests[0].cause
    assert requests == [void(cause), refund(cause)]


def test_r7_an_authorisation_told_after_its_capture_is_not_voided() -> None:
    story = Story(tick=timedelta(0)).tell(placed(), canceled(), captured(), authorized())

    assert story.facts[2:] == [
        arrived("captured"),
        refund("order_canceled"),
        arrived("authorized"),
    ]


def test_r7_what_returned_is_recorded_by_what_is_new_in_it() -> None:
    story = Story(tick=timedelta(0)).tell(placed(), captured(), canceled())
    for total in (eur(20_00), TOTAL, eur(20_00), TOTAL):
        story.tell(refunded(PAY_1, total))

    assert story.facts[-2:] == [
        went("refunded", amount=eur(20_00)),
        went("refunded", amount=eur(59_19)),
    ]
    total_minor = TOTAL.amount_minor
    assert story.state.payment(PAY_1, "EUR").captured == Funds(
        arrived_minor=total_minor, asked_minor=total_minor, returned_minor=total_minor
    )


@DECIDED
@pytest.mark.parametrize(
    "said", [authorized(PAY_2), captured(PAY_2), voided(PAY_2), refunded(PAY_2)]
)
def test_r7_money_said_again_under_another_id_changes_nothing(
    state: Verification, said: Fact
) -> None:
    story = Story(Document(ORDER, state)).tell(said)
    once = list(story.facts)

    assert once
    assert story.tell(said, said).facts == once


def test_r7_captures_that_add_up_go_back_in_full() -> None:
    story = Story().tell(placed(), canceled(), captured(PAY_1, eur(1)), captured(PAY_1, eur(3)))

    requests = [fact for fact in story.facts if isinstance(fact, RefundRequested)]
    assert requests == [
        refund("order_canceled", amount=eur(1)),
        refund("order_canceled", amount=eur(2)),
    ]


def test_r7_what_returned_unasked_is_never_asked_for_later() -> None:
    story = Story().tell(placed(), captured(), refunded(PAY_1, eur(20_00)), canceled())
    story.tell(captured(PAY_1, eur(79_20)))

    requests = [fact for fact in story.facts if isinstance(fact, RefundRequested)]
    assert requests == [
        refund("order_canceled", amount=eur(59_19)),
        refund("order_canceled", amount=eur(1)),
    ]
