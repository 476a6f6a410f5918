"""R23: what payment keeps of an order that is archived, and how long Redis keeps it."""

from datetime import timedelta

import pytest

from services.payment.decisions import decide
from services.payment.state import Closed, Verification
from services.payment.store import documents
from shared.batch import Input
from shared.documents import LINGER_MS, Document
from shared.events.envelope import Fact
from shared.events.gateway import BuyerBlocked, BuyerUnblocked
from shared.events.payment import PayerBlocked, PayerUnblocked, PaymentArchived
from tests.support.payments import (
    DESK,
    ORDER,
    PAY_1,
    PAY_2,
    POLICIES,
    Story,
    answer_due,
    archived,
    arrived,
    asked_again,
    authorized,
    canceled,
    captured,
    charged_back,
    eur,
    failed,
    lapsed,
    packed,
    placed,
    received,
    refund,
    refunded,
    told,
    voided,
)

SHIPPED = (placed(), authorized(), packed(), captured())


def expiry(state: Verification | None) -> list[object]:
    after = Document(ORDER, state, version=7)
    (op,) = documents.write(3, Document(ORDER), after, lambda _: None)
    return list(op.args[1:])


FOR_A_WHILE = ["PX", LINGER_MS]


@pytest.mark.parametrize(
    "said",
    [SHIPPED, (placed(), authorized(), canceled(), voided()), (placed(), canceled())],
    ids=["shipped", "canceled", "never paid"],
)
def test_r23_of_an_archived_order_its_money_is_kept_for_who_comes_late_and_nobody_is_named(
    said: tuple[Fact, ...],
) -> None:
    before, after = told(*said), told(*said, archived())

    assert Story().tell(*said, archived()).facts[-1] == PaymentArchived()
    assert (after.standing, after.payments) == (before.standing, before.payments)
    assert "BUYER-4711" not in after.model_dump_json()
    assert (expiry(before), expiry(after)) == ([], FOR_A_WHILE)


def test_r23_while_money_is_not_at_rest_an_archived_order_is_not_dropped() -> None:
    stuck = told(placed(), captured(), canceled(), answer_due(), archived())

    assert expiry(stuck) == []
    assert expiry(told(placed(), captured(), canceled(), answer_due(), archived(), refunded())) == (
        FOR_A_WHILE
    )


def test_r7_money_that_comes_after_the_archive_goes_back_as_ever() -> None:
    story = Story(tick=timedelta(0)).tell(*SHIPPED, archived())

    story.tell(captured(PAY_2))
    assert story.facts[-2:] == [arrived("captured", PAY_2), refund("duplicate_payment", PAY_2)]
    story.tell(charged_back(PAY_1, eur(7)))
    assert story.facts[-1].TYPE == "payment.approval_withdrawn.v1"


def test_r7_what_lapses_after_the_archive_is_asked_for_again_and_names_no_card() -> None:
    story = Story(tick=timedelta(0)).tell(placed(), authorized(), archived(), lapsed())

    assert story.facts[-1] == asked_again().model_copy(update={"payment_method_ref": None})


def test_r25_a_cancel_that_comes_after_the_archive_still_closes() -> None:
    assert told(placed(), authorized(), archived(), canceled()).standing == Closed()


def test_r5_a_block_stays_for_as_long_as_it_holds_and_its_end_for_a_while() -> None:
    blocked = Verification().after(PayerBlocked())

    assert decide(None, received(BuyerBlocked(buyer_id="B-1")), POLICIES) == [PayerBlocked()]
    assert decide(blocked, received(BuyerUnblocked(buyer_id="B-1")), POLICIES) == [PayerUnblocked()]
    assert expiry(blocked) == []
    assert expiry(blocked.after(PayerUnblocked())) == FOR_A_WHILE


@pytest.mark.parametrize("said", [failed(), failed("void"), failed("refund")])
@pytest.mark.parametrize(
    "before", [SHIPPED[:3], SHIPPED, (placed(), authorized(), canceled())], ids=len
)
def test_r23_a_providers_no_is_decided_and_ends_its_call_whatever_was_asked(
    before: tuple[Fact, ...], said: Fact
) -> None:
    document = Story().tell(*before).document
    answer = Input(received(said), call="call-83", final=True)

    decided = DESK.decide([answer], {ORDER: document}, lambda _: answer)

    assert (decided.dead, decided.failed, decided.answered) == ([], {}, ["call-83"])
