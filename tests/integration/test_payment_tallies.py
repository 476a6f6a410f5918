"""R8 on a real Redis: what counts, once, within a moving window, until it is canceled (R5)."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from services.cli.redis_server import RedisServer
from services.payment.store import ask_buyer, ask_card, reapply
from shared.events.envelope import Event, Fact
from shared.events.fulfillment import OrderCanceled
from shared.events.gateway import BuyerBlocked, BuyerUnblocked, CardBlocked, CardUnblocked
from shared.events.payment import (
    PayerBlocked,
    PayerUnblocked,
    PaymentRefused,
    VerificationClosed,
    VerificationStarted,
)
from shared.policy import Policies, Policy
from shared.policy_fields import FraudLimits
from shared.redis import connect
from tests.support.payments import ONE_MS, PURCHASED, WINDOW_END, canceled, eur, placed

pytestmark = pytest.mark.asyncio

WINDOW = timedelta(hours=24)
POLICIES = Policies(
    Policy(
        fraud=FraudLimits(
            window_hours=24,
            orders_per_buyer=3,
            orders_per_card=4,
            spend_per_buyer_minor={"EUR": 200_00},
        )
    )
)


class Tallies:
    """A buyer and a card that nobody else has, on a real Redis."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.buyer, self.card = f"BUYER-{uuid4().hex[:12]}", f"card-{uuid4().hex[:12]}"

    async def tell(self, said: Fact, subject: str = "", id_: str = "") -> tuple[Any, ...]:
        about = said.about()
        event = Event[Any](
            id=id_ or uuid4().hex,
            source="test",
            type=said.TYPE,
            subject=subject or (about.subject if about else ""),
            time=PURCHASED,
            data=said,
        )
        answers = []
        for ask in (ask_buyer, ask_card):
            question = ask(event, POLICIES)
            if question is not None:
                reply = await question.script(self.redis, question.keys, question.args)
                answers.append(question.read(reply))
        return tuple(answers)

    async def place(
        self, order_id: str, at: datetime = PURCHASED, minor: int = 10_00, buyer: str = ""
    ) -> tuple[Any, ...]:
        order = placed()
        changes = {
            "order_id": order_id,
            "purchase_date": at,
            "order_total": eur(minor),
            "payment_method_ref": self.card,
            "buyer": order.buyer.model_copy(update={"buyer_id": buyer or self.buyer}),
        }
        return await self.tell(order.model_copy(update=changes))

    async def cancel(self, order_id: str) -> None:
        said: OrderCanceled = canceled().model_copy(
            update={"buyer_id": self.buyer, "payment_method_ref": self.card}
        )
        await self.tell(said, order_id)

    async def restore(self, fact: Fact, subject: str, cause: str = "") -> None:
        """Bring the tallies up to a fact of payment's journal."""
        event = Event[Any](
            id=uuid4().hex,
            source="orderflow/payment",
            type=fact.TYPE,
            subject=subject,
            time=PURCHASED,
            causationsource="test",
            causationid=cause or uuid4().hex,
            data=fact,
        )
        for question in reapply(event):
            await question.script(self.redis, question.keys, question.args)

    def started(self, minor: int = 10_00) -> VerificationStarted:
        return VerificationStarted(
            amount=eur(minor),
            ends=WINDOW_END,
            buyer_id=self.buyer,
            payment_method_ref=self.card,
            purchase_date=PURCHASED,
        )


BOTH = ("counted", "counted")
TOO_MANY = ("velocity_exceeded", "counted")
GONE = ("forgotten", "forgotten")


@pytest_asyncio.fixture
async def tallies(redis_server: RedisServer) -> AsyncIterator[Tallies]:
    client = connect(redis_server.redis_url)
    yield Tallies(client)
    await client.aclose()


async def test_r8_the_order_that_reaches_the_limit_counts_and_the_next_does_not(
    tallies: Tallies,
) -> None:
    assert [await tallies.place(f"902-{n}") for n in range(4)] == [BOTH, BOTH, BOTH, TOO_MANY]


async def test_r8_an_order_counts_once_and_keeps_its_first_answer(tallies: Tallies) -> None:
    for _ in range(5):
        assert await tallies.place("902-1") == BOTH
    for n in (2, 3):
        await tallies.place(f"902-{n}")

    assert await tallies.place("902-4") == TOO_MANY
    await tallies.cancel("902-1")
    assert await tallies.place("902-4") == TOO_MANY
    assert await tallies.place("902-1") == GONE
    assert await tallies.place("902-5") == BOTH
    assert (await tallies.place("902-6"))[0] == "velocity_exceeded"


async def test_r8_a_canceled_order_counts_no_more_and_one_whose_cancel_came_first_never(
    tallies: Tallies,
) -> None:
    await tallies.cancel("902-0")
    assert await tallies.place("902-0") == GONE
    for n in (1, 2, 3):
        await tallies.place(f"902-{n}")
    await tallies.cancel("902-2")
    await tallies.cancel("902-2")

    assert await tallies.place("902-4") == BOTH
    assert (await tallies.place("902-5"))[0] == "velocity_exceeded"


@pytest.mark.parametrize(("later", "answer"), [(WINDOW - ONE_MS, TOO_MANY), (WINDOW, BOTH)])
async def test_r8_what_was_bought_a_window_ago_counts_no_more(
    tallies: Tallies, later: timedelta, answer: tuple[str, str]
) -> None:
    for n in range(3):
        await tallies.place(f"902-{n}", minor=1)

    assert await tallies.place("902-9", PURCHASED + later, minor=1) == answer


async def test_r8_an_order_that_is_told_late_does_not_count_what_was_bought_after_it(
    tallies: Tallies,
) -> None:
    for n in range(3):
        await tallies.place(f"902-{n}", PURCHASED + ONE_MS)

    assert await tallies.place("902-9") == BOTH


async def test_r8_two_buyers_share_the_limit_of_their_card(tallies: Tallies) -> None:
    other = f"{tallies.buyer}-b"
    for n in range(2):
        await tallies.place(f"902-{n}")
        await tallies.place(f"902-{n}-b", buyer=other)

    assert await tallies.place("902-9") == ("counted", "velocity_exceeded")


@pytest.mark.parametrize(("minor", "answer"), [(100_00, "counted"), (100_01, "spend_exceeded")])
async def test_r8_spend_is_summed_with_the_order_itself(
    tallies: Tallies, minor: int, answer: str
) -> None:
    await tallies.place("902-1", minor=100_00)

    assert (await tallies.place("902-2", minor=minor))[0] == answer


async def test_r8_what_was_refused_is_not_spent(tallies: Tallies) -> None:
    await tallies.place("902-1", minor=150_00)
    assert (await tallies.place("902-2", minor=60_00))[0] == "spend_exceeded"

    assert (await tallies.place("902-3", minor=50_00))[0] == "counted"


async def test_r5_a_block_holds_until_it_is_ended_however_often_it_is_told(
    tallies: Tallies,
) -> None:
    block, end = BuyerBlocked(buyer_id=tallies.buyer), BuyerUnblocked(buyer_id=tallies.buyer)
    await tallies.tell(block, id_="block-1")
    assert await tallies.place("902-1") == ("blocked", "counted")

    await tallies.tell(end, id_="end-1")
    await tallies.tell(block, id_="block-1")
    assert await tallies.place("902-2") == BOTH
    await tallies.tell(block, id_="block-2")
    assert await tallies.place("902-3") == ("blocked", "counted")
    assert await tallies.place("902-2") == BOTH


async def test_r5_a_card_is_blocked_whoever_has_it(tallies: Tallies) -> None:
    await tallies.tell(CardBlocked(payment_method_ref=tallies.card))
    assert await tallies.place("902-1", buyer="anybody") == ("counted", "blocked")

    await tallies.tell(CardUnblocked(payment_method_ref=tallies.card))
    assert await tallies.place("902-2", buyer="anybody") == BOTH


# what an emptied Redis is told of the journal


async def test_r8_what_the_journal_says_counts_again_whatever_the_limits_are_now(
    tallies: Tallies,
) -> None:
    for n in range(4):
        await tallies.restore(tallies.started(minor=90_00), f"902-{n}")
        await tallies.restore(tallies.started(minor=90_00), f"902-{n}")

    assert await tallies.place("902-3") == BOTH
    assert await tallies.place("902-9", minor=1) == ("velocity_exceeded", "velocity_exceeded")


async def test_r8_what_the_journal_says_is_refused_or_closed_counts_no_more(
    tallies: Tallies,
) -> None:
    who: Any = {"buyer_id": tallies.buyer, "payment_method_ref": tallies.card}
    for n in range(4):
        await tallies.restore(tallies.started(), f"902-{n}")
    await tallies.restore(VerificationClosed(**who), "902-0")
    await tallies.restore(PaymentRefused(reason="payment_timeout", **who), "902-1")
    await tallies.restore(PaymentRefused(reason="velocity_exceeded", **who), "902-7")

    assert [await tallies.place(f"902-{n}") for n in (0, 1, 7)] == [GONE, GONE, GONE]
    assert await tallies.place("902-8") == BOTH
    assert (await tallies.place("902-9"))[0] == "velocity_exceeded"


async def test_r5_who_the_journal_says_is_blocked_is_and_the_same_block_is_done_once(
    tallies: Tallies,
) -> None:
    for who in (f"buyer/{tallies.buyer}", f"card/{tallies.card}"):
        await tallies.restore(PayerBlocked(), who, cause="block-1")
    await tallies.restore(PayerUnblocked(), f"card/{tallies.card}", cause="end-1")
    assert await tallies.place("902-1") == ("blocked", "counted")

    await tallies.tell(CardBlocked(payment_method_ref=tallies.card), id_="block-1")
    await tallies.tell(BuyerUnblocked(buyer_id=tallies.buyer), id_="end-2")
    assert await tallies.place("902-2") == BOTH
