"""R7, R23: captures, units that go, authorisations that lapse, what is taken back or stuck."""

from datetime import timedelta

import pytest

from services.payment.decisions import decide
from services.payment.money import capture as request_capture
from services.payment.owed import owed_minor, parts_of
from services.payment.state import Approved, Lapsed, Verification
from shared.events.envelope import Fact, OpenDeadline
from shared.events.gateway import PaymentReversed
from shared.events.payment import (
    PROVIDER_ANSWER,
    ApprovalWithdrawn,
    CaptureAwaited,
    PaymentLapsed,
    PaymentRenewed,
    PaymentStuck,
    RefundRequested,
    UnitsNotOwed,
)
from shared.events.storefront import OrderItem, OrderPlaced
from shared.policy import Policies, Policy
from shared.service import Park
from tests.support.payments import (
    ANSWER_DUE,
    APPROVED,
    AWAITING,
    CLOSED,
    DOLLARS,
    LAPSED,
    ONE_MS,
    PAY_1,
    PAY_2,
    POLICIES,
    PURCHASED,
    REFUSED,
    TOTAL,
    Story,
    answer_due,
    arrived,
    asked_again,
    authorized,
    canceled,
    capture,
    captured,
    charged_back,
    declined,
    eur,
    failed,
    lapsed,
    packed,
    placed,
    received,
    refund,
    refunded,
    rest_canceled,
    returned,
    taken_back,
    told,
    void,
    voided,
    went,
)

SHIPPED = (placed(), authorized(), packed(), captured())
"""Three lamps for 79.19: two of them are worth 52.79, one 26.39."""


def new(*before: Fact, then: Fact) -> list[Fact]:
    """What one more input comes to."""
    story = Story(tick=timedelta(0)).tell(*before)
    known = len(story.facts)
    return story.tell(then).facts[known:]


# R7: when money is taken


def test_r7_the_first_confirmed_package_asks_for_the_capture_once() -> None:
    story = Story().tell(placed(), authorized(), packed(), packed(2))

    assert story.facts[2:] == [capture()]
    assert story.state.deadlines == (OpenDeadline(kind=PROVIDER_ANSWER, due=ANSWER_DUE),)
    assert story.tell(captured()).state.deadlines == ()


def test_r7_a_provider_that_captured_at_once_is_not_asked_to() -> None:
    assert new(placed(), captured(), then=packed()) == []


@pytest.mark.parametrize(("taken", "rest"), [(50_00, 29_19), (79_18, 1), (79_19, 0)])
def test_r7_what_was_captured_in_part_before_is_not_captured_again(taken: int, rest: int) -> None:
    asked = new(placed(), authorized(), captured(PAY_1, eur(taken)), then=packed())

    assert asked == [capture(amount=eur(rest))][:rest]


def test_r7_of_what_is_held_no_more_is_captured_than_is_owed() -> None:
    items = rest_canceled(2).units_canceled
    state = told(placed(), authorized(), captured(PAY_1, eur(10_00)))
    for fact in (CaptureAwaited(), UnitsNotOwed(cause="units_canceled", items=items)):
        state = state.after(fact)

    assert request_capture(state, ANSWER_DUE) == [capture(amount=eur(16_39))]


# R7: units that are not owed any more


def test_r7_open_units_that_are_canceled_are_refunded() -> None:
    assert decide(told(*SHIPPED), received(rest_canceled(2)), POLICIES) == [
        UnitsNotOwed(cause="units_canceled", items=rest_canceled(2).units_canceled),
        refund("units_canceled", amount=eur(52_80)),
    ]


def test_r17_each_return_is_refunded_for_itself_and_all_of_them_to_the_cent() -> None:
    story = Story().tell(*SHIPPED, returned("R-1"), returned("R-2", 0, 1), returned("R-3"))

    asked = [fact for fact in story.facts if isinstance(fact, RefundRequested)]
    assert asked == [
        refund("units_returned", amount=eur(26_40), return_id="R-1"),
        refund("units_returned", amount=eur(26_40), return_id="R-2"),
        refund("units_returned", amount=eur(26_39), return_id="R-3"),
    ]


def test_r17_a_return_of_units_in_two_conditions_is_one_refund() -> None:
    assert new(*SHIPPED, then=returned("R-1", 1, 1))[1:] == [
        refund("units_returned", amount=eur(52_80), return_id="R-1")
    ]


def test_r7_units_that_go_before_the_capture_is_answered_are_refunded_when_it_is() -> None:
    story = Story(tick=timedelta(0)).tell(placed(), authorized(), packed(), rest_canceled(2))
    assert [type(fact) for fact in story.facts[-2:]] == [type(capture()), UnitsNotOwed]

    assert story.tell(captured()).facts[-2:] == [
        arrived("captured"),
        refund("units_canceled", amount=eur(52_80)),
    ]


def line(item_id: str, quantity: int, minor: int, tax: int | None = None) -> OrderItem:
    return OrderItem(
        order_item_id=item_id,
        sku=item_id,
        quantity=quantity,
        item_price=eur(minor),
        item_tax=None if tax is None else eur(tax),
    )


def of_lines(total_minor: int, *lines: OrderItem) -> OrderPlaced:
    return placed().model_copy(update={"items": lines, "order_total": eur(total_minor)})


@pytest.mark.parametrize(
    ("order", "parts"),
    [
        (of_lines(10_00, line("a", 1, 6_67), line("b", 2, 3_33)), [6_67, 3_33]),
        (of_lines(10_00, line("a", 1, 1), line("b", 1, 1), line("c", 1, 1)), [333, 333, 334]),
        (of_lines(11_90, line("a", 1, 5_00, 95), line("b", 1, 5_00, 95)), [5_95, 5_95]),
        (of_lines(9_00, line("a", 1, 5_00), line("b", 1, 5_00)), [4_50, 4_50]),
        (of_lines(5, line("a", 1, 0), line("b", 4, 0)), [1, 4]),
        (of_lines(0, line("a", 3, 0)), [0]),
    ],
    ids=["as priced", "thirds", "with tax", "with a discount", "free lines", "free order"],
)
def test_r7_the_parts_of_an_order_add_up_to_its_total(order: OrderPlaced, parts: list[int]) -> None:
    assert [part.amount_minor for part in parts_of(order)] == parts
    assert sum(parts) == order.order_total.amount_minor


@pytest.mark.parametrize(
    ("state", "minor"),
    [(AWAITING, 0), (APPROVED, 79_19), (LAPSED, 79_19), (REFUSED, 0), (CLOSED, 0)],
    ids=lambda value: getattr(getattr(value, "standing", None), "status", None),
)
def test_r7_an_order_owes_its_total_while_it_is_approved_or_asked_for_again(
    state: Verification, minor: int
) -> None:
    assert owed_minor(state) == minor


# R7: an authorisation that lapses


@pytest.mark.parametrize(("gone", "how"), [(lapsed(), "lapsed"), (voided(), "voided")])
def test_r7_an_authorisation_that_lapses_before_shipping_is_asked_for_again(
    gone: Fact, how: str
) -> None:
    facts = decide(APPROVED, received(gone), POLICIES)

    assert facts == [went(how), asked_again()]  # type: ignore[arg-type]
    assert isinstance(told(placed(), authorized(), gone).standing, Lapsed)


@pytest.mark.parametrize("money", [authorized(PAY_2), captured(PAY_2)], ids=["auth", "capture"])
def test_r7_what_is_authorised_again_is_what_the_order_owes_to_now(money: Fact) -> None:
    how = "captured" if money == captured(PAY_2) else "authorized"

    assert decide(LAPSED, received(money), POLICIES) == [
        arrived(how, PAY_2),  # type: ignore[arg-type]
        PaymentRenewed(payment_id=PAY_2),
    ]
    again = told(placed(), authorized(), lapsed(), money)
    assert again.standing == Approved(payment_id=PAY_2, total=TOTAL)


def test_r7_what_is_left_of_an_authorisation_that_is_asked_for_again_is_voided() -> None:
    assert decide(APPROVED, received(voided(PAY_1, eur(20_00))), POLICIES) == [
        went("voided", amount=eur(20_00)),
        asked_again(),
        void("authorization_lapsed", amount=eur(59_19)),
    ]


def test_r7_a_payment_of_two_currencies_lapses_in_both_and_is_taken_back_in_both() -> None:
    state = told(placed(), authorized(), authorized(PAY_1, DOLLARS))

    euros, again, dollars = decide(state, received(taken_back()), POLICIES)  # type: ignore[misc]
    assert euros == went("reversed", whole=True)
    assert dollars == went("reversed", amount=DOLLARS, whole=True)
    assert isinstance(again, ApprovalWithdrawn)
    assert decide(state, received(lapsed()), POLICIES) == [
        went("lapsed"),
        went("lapsed", amount=DOLLARS),
        asked_again(),
    ]


def test_r7_another_amount_than_was_asked_for_again_goes_back() -> None:
    assert decide(LAPSED, received(authorized(PAY_2, eur(79_18))), POLICIES) == [
        arrived("authorized", PAY_2, eur(79_18)),
        void("duplicate_payment", PAY_2, eur(79_18)),
    ]


def test_r7_shipped_while_nothing_is_held_is_captured_once_something_is() -> None:
    story = Story().tell(placed(), authorized(), lapsed(), packed())
    assert story.facts[-1] == CaptureAwaited()

    assert story.tell(authorized(PAY_2)).facts[-2:] == [
        PaymentRenewed(payment_id=PAY_2),
        capture(PAY_2),
    ]


def test_r7_a_lapse_after_the_capture_takes_nothing() -> None:
    assert new(*SHIPPED, then=lapsed()) == [PaymentLapsed(payment_id=PAY_1, happened_at=PURCHASED)]


@pytest.mark.parametrize(("ms", "withdrawn"), [(-1, False), (0, True), (1, True)])
def test_r7_a_no_to_what_was_asked_again_withdraws_the_approval_and_an_older_one_does_not(
    ms: int, withdrawn: bool
) -> None:
    state = Story(tick=timedelta(0)).tell(placed(), authorized(), lapsed()).state
    said = received(declined(PAY_2), time=PURCHASED + ms * ONE_MS)

    facts = decide(state, said, POLICIES)

    no = ApprovalWithdrawn(
        payment_id=PAY_1, amount=TOTAL, reason="not_renewed", detail="insufficient funds"
    )
    assert list(facts) == [no] * withdrawn  # type: ignore[arg-type]


# R7: taken back


@pytest.mark.parametrize(
    ("before", "said", "reason"),
    [
        ((), taken_back(), "reversed"),
        ((), charged_back(), "charged_back"),
        ((packed(), captured()), charged_back(), "charged_back"),
    ],
    ids=["reversed", "charged back", "charged back once shipped"],
)
def test_r7_a_payment_that_is_taken_back_is_approved_no_more(
    before: tuple[Fact, ...], said: PaymentReversed, reason: str
) -> None:
    went_back, withdrawn = new(placed(), authorized(), *before, then=said)

    assert went_back == went("reversed", whole=True)
    assert isinstance(withdrawn, ApprovalWithdrawn)
    assert (withdrawn.reason, withdrawn.amount) == (reason, TOTAL)
    assert withdrawn.detail == said.reason


def test_r7_what_was_charged_back_is_not_refunded_when_the_order_is_canceled() -> None:
    story = Story().tell(placed(), captured(), charged_back(PAY_1, eur(20_00)), canceled())

    assert story.facts[-1] == refund("order_canceled", amount=eur(59_19))


def test_r7_what_is_taken_back_is_told_as_a_total_and_counts_once() -> None:
    story = Story(tick=timedelta(0)).tell(placed(), captured(), charged_back(PAY_1, eur(20_00)))
    story.tell(taken_back(PAY_1, eur(20_00)), taken_back(PAY_1, eur(21_00)), charged_back())

    assert [fact for fact in story.facts if fact.TYPE == "payment.money_returned.v1"] == [
        went("reversed", amount=eur(20_00)),
        went("reversed", amount=eur(1_00)),
        went("reversed", amount=eur(58_19), whole=True),
    ]


@pytest.mark.parametrize(
    ("taken", "back"),
    [
        ((), [void("order_canceled", amount=eur(79_18))]),
        ((captured(PAY_1, eur(1)),), [void("order_canceled", amount=eur(79_18))]),
        (
            (captured(PAY_1, eur(2)),),
            [void("order_canceled", amount=eur(79_17)), refund("order_canceled", amount=eur(1))],
        ),
    ],
    ids=["nothing captured", "a cent captured", "two cents captured"],
)
def test_r7_a_cent_that_is_reversed_is_captured_money_where_there_is_a_cent_of_it(
    taken: tuple[Fact, ...], back: list[Fact]
) -> None:
    asked = new(placed(), authorized(), *taken, taken_back(PAY_1, eur(1)), then=canceled())

    assert asked[1:] == back


def test_r7_a_duplicate_that_is_taken_back_stops_nothing() -> None:
    assert new(placed(), authorized(), captured(PAY_2), then=taken_back(PAY_2)) == [
        went("reversed", PAY_2, whole=True)
    ]


# R23: the provider's answer


WAITING = {
    "capture": (packed(),),
    "void": (canceled(),),
    "refund": (captured(), canceled()),
    "authorization": (lapsed(),),
}


@pytest.mark.parametrize("request_", WAITING)
def test_r23_a_request_without_an_answer_is_stuck_when_its_time_is_over(request_: str) -> None:
    story = Story().tell(placed(), authorized(), *WAITING[request_])
    assert list(story.state.deadlines) == [OpenDeadline(kind=PROVIDER_ANSWER, due=ANSWER_DUE)]

    assert story.tell(answer_due()).facts[-1] == PaymentStuck(
        payment_id=PAY_1,
        amount=TOTAL,
        reason=f"{request_}_unanswered",  # type: ignore[arg-type]
        since=ANSWER_DUE,
    )
    assert list(story.state.deadlines) == []


def test_r23_the_earliest_of_several_deadlines_counts_and_then_the_next() -> None:
    state = told(placed(), captured(), captured(PAY_2))
    later = ANSWER_DUE + timedelta(hours=7)
    facts = decide(state, received(canceled(), at=PURCHASED + timedelta(hours=7)), POLICIES)
    assert not isinstance(facts, Park)
    for fact in facts:
        state = state.after(fact)
    assert state.deadlines == (OpenDeadline(kind=PROVIDER_ANSWER, due=ANSWER_DUE),)

    answered = decide(state, received(answer_due()), POLICIES)
    assert not isinstance(answered, Park)
    (stuck,) = answered
    assert isinstance(stuck, PaymentStuck)
    assert stuck.payment_id == PAY_2
    after = state.after(stuck)
    assert after.deadlines == (OpenDeadline(kind=PROVIDER_ANSWER, due=later),)


@pytest.mark.parametrize("hours", [0, 7])
def test_r23_of_what_is_asked_twice_of_a_payment_the_earlier_deadline_counts(hours: int) -> None:
    """And of another request of the payment, its own does: here the refund's is the later one."""
    later = timedelta(hours=hours)
    twice = _decided(told(*SHIPPED, returned("R-1")), returned("R-2"), later)
    assert twice.deadlines == (OpenDeadline(kind=PROVIDER_ANSWER, due=ANSWER_DUE),)

    beside = _decided(told(placed(), authorized(), canceled()), captured(PAY_1, eur(1)), later)
    assert beside.deadlines == (OpenDeadline(kind=PROVIDER_ANSWER, due=ANSWER_DUE),)
    voided_first = _decided(beside, voided(PAY_1, eur(79_18)), later)
    assert voided_first.deadlines == (OpenDeadline(kind=PROVIDER_ANSWER, due=ANSWER_DUE + later),)


def _decided(state: Verification, said: Fact, after: timedelta) -> Verification:
    facts = decide(state, received(said, at=PURCHASED + after), POLICIES)
    assert not isinstance(facts, Park)
    for fact in facts:
        state = state.after(fact)
    return state


@pytest.mark.parametrize("before", [(), (canceled(),)], ids=["approved", "closed"])
def test_r24_an_order_keeps_the_time_for_the_providers_answers(before: tuple[Fact, ...]) -> None:
    state = told(placed(), authorized(), *before)
    edited = Policies(Policy(provider_answer_hours=7))

    assert decide(state, received(captured(PAY_2)), edited) == [
        arrived("captured", PAY_2),
        refund("order_canceled" if before else "duplicate_payment", PAY_2),
    ]


@pytest.mark.parametrize("request_", ["capture", "void", "refund"])
def test_r23_a_request_that_the_provider_refuses_is_stuck_at_once(request_: str) -> None:
    story = Story().tell(placed(), authorized(), *WAITING[request_])

    stuck = story.tell(failed(request_)).facts[-1]  # type: ignore[arg-type]

    assert isinstance(stuck, PaymentStuck)
    assert (stuck.reason, stuck.detail) == (f"{request_}_failed", "account closed")
    assert story.state.deadlines == ()


@pytest.mark.parametrize("no", [answer_due(), failed("refund")], ids=["unanswered", "refused"])
def test_r23_what_is_done_after_all_is_stuck_no_more_and_leaves_no_trace(no: Fact) -> None:
    late = told(placed(), captured(), canceled(), no, refunded())

    assert late == told(placed(), captured(), canceled(), refunded())
    assert late.payment(PAY_1, "EUR").pending_minor("refund") == 0
    assert new(placed(), captured(), canceled(), refunded(), then=failed("refund")) == []


@pytest.mark.parametrize(("taken", "rest"), [(50_00, 29_19), (79_18, 1), (79_19, 0)])
def test_r23_the_rest_of_a_capture_in_part_that_lapses_is_stuck(taken: int, rest: int) -> None:
    facts = new(placed(), authorized(), packed(), captured(PAY_1, eur(taken)), then=lapsed())

    stuck = PaymentStuck(
        payment_id=PAY_1,
        amount=eur(rest),
        reason="capture_failed",
        since=PURCHASED,
        detail="captured in part, and the rest is held no more",
    )
    nothing = PaymentLapsed(payment_id=PAY_1, happened_at=PURCHASED)
    assert facts == ([went("lapsed", amount=eur(rest)), stuck] if rest else [nothing])
