"""R8: the tallies of buyers and cards under any sequence of what counts, ends and comes again."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from services.cli.redis_server import RedisServer
from services.payment.store import ask_buyer, ask_card, reapply
from services.simulator.memory_redis import MemoryRedis
from services.simulator.scripts import TWINS
from services.simulator.tallies import MemoryTallies
from shared.events.envelope import Event, Fact
from shared.events.gateway import BuyerBlocked, BuyerUnblocked, CardBlocked, CardUnblocked
from shared.events.payment import PaymentRefused, VerificationStarted
from shared.policy import Policies, Policy
from shared.policy_fields import FraudLimits
from shared.service import Question
from tests.support.payments import (
    PURCHASED,
    WINDOW_END,
    canceled,
    eur,
    id_was_used,
    placed,
)

WINDOW = timedelta(hours=24)
POLICIES = Policies(
    Policy(
        fraud=FraudLimits(
            window_hours=24,
            orders_per_buyer=2,
            orders_per_card=3,
            spend_per_buyer_minor={"EUR": 41_17},
        )
    )
)
ORDERS = [f"902-{n}" for n in range(6)]
Execute = Callable[..., Any]


class Said(NamedTuple):
    """Something told about an order, a buyer or a card; `again` tells commands apart."""

    what: str
    order: str
    buyer: str
    card: str
    hours: int
    minor: int
    again: int

    def event(self, run: str) -> Event[Any]:
        """As an event; buyers and cards are those of one run."""
        buyer, card, at = f"{self.buyer}-{run}", f"{self.card}-{run}", self.hours
        who = {"buyer_id": buyer, "payment_method_ref": card}
        purchased = PURCHASED + at * timedelta(hours=1)
        subject, order = self.order, placed()
        data: Fact
        match self.what:
            case "placed":
                changes = {
                    "order_total": eur(self.minor),
                    "purchase_date": purchased,
                    "payment_method_ref": card,
                    "buyer": order.buyer.model_copy(update={"buyer_id": buyer}),
                }
                data = order.model_copy(update=changes)
            case "canceled":
                data = canceled().model_copy(update=who)
            case "started":
                started = VerificationStarted(amount=eur(self.minor), ends=WINDOW_END)
                data = started.model_copy(update={**who, "purchase_date": purchased})
            case "refused":
                data = PaymentRefused(reason="payment_timeout").model_copy(update=who)
            case _:
                make: Any = COMMANDS[self.what]
                named = "buyer_id" if "buyer" in self.what else "payment_method_ref"
                data = make(**{named: who[named]})
                about = data.about()
                assert about is not None
                subject = about.subject
        id_ = f"{self.what}-{self.again}"
        return Event[Any](
            id=id_, source="test", type=data.TYPE, subject=subject, time=purchased, data=data
        )


COMMANDS: dict[str, type[Fact]] = {
    "block-buyer": BuyerBlocked,
    "unblock-buyer": BuyerUnblocked,
    "block-card": CardBlocked,
    "unblock-card": CardUnblocked,
}
KINDS = [*["placed"] * 6, *["canceled"] * 2, "started", "refused", *COMMANDS]
said = st.builds(
    Said,
    st.sampled_from(KINDS),
    st.sampled_from(ORDERS),
    st.sampled_from(["BUYER-11", "BUYER-12"]),
    st.sampled_from(["card-0c2f", "card-9d1e"]),
    st.sampled_from([0, 0, 1, 23, 24, 25, 2_000, 20_000]),
    st.sampled_from([0, 1, 20_58, 20_59, 41_17, 41_18]),
    st.integers(0, 2),
)


@pytest.fixture(scope="module")
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.redis_url) as client:
        yield client


def is_of_one_month(each: Said) -> bool:
    """What is told later than that of an order, may find what was bought around it gone."""
    return each.what in ("placed", "canceled") and each.hours < 30 * 24


def questions(event: Event[Any]) -> list[Question]:
    """All that an input, or a fact of payment's journal, asks of the tallies."""
    asked = (ask(event, POLICIES) for ask in (ask_buyer, ask_card))
    return [question for question in (*asked, *reapply(event)) if question is not None]


def tell(execute: Execute, question: Question) -> Any:
    keys, args = question.keys, question.args
    return question.read(execute("EVAL", question.script.text, len(keys), *keys, *args))


def kept(execute: Execute, question: Question) -> tuple[Any, ...]:
    """What there is of whom it is about: the block, who asked, and what counts."""
    who, asker, orders = question.keys
    if ":order:" in asker:
        entry = [execute("HGET", asker, name) for name in ("answer", "counted")]
    else:
        entry = [execute("GET", asker)]
    counts = execute("ZRANGEBYSCORE", orders, "-inf", "inf")
    ends = [execute("PTTL", key) > 0 for key in (asker, orders)]
    return bool(execute("EXISTS", who)), entry, counts, ends


@settings(max_examples=200, deadline=None)
@given(st.lists(said, min_size=5, max_size=40))
def test_r8_the_simulators_tally_answers_and_keeps_what_the_real_one_does(
    redis: Redis, story: list[Said]
) -> None:
    run, twin = uuid4().hex[:12], MemoryRedis(lambda: 0, TWINS)
    for each in story:
        for question in questions(each.event(run)):
            assert tell(twin.execute, question) == tell(redis.execute_command, question)
            assert kept(twin.execute, question) == kept(redis.execute_command, question)


@settings(max_examples=200, deadline=None)
@given(st.lists(said, min_size=5, max_size=40))
def test_r8_tallies_without_a_redis_answer_what_those_of_a_redis_do(story: list[Said]) -> None:
    twin, tallies = MemoryRedis(lambda: 0, TWINS), MemoryTallies()
    for event in (each.event("one") for each in story):
        for ask in (ask_buyer, ask_card):
            if question := ask(event, POLICIES):
                assert tallies.answer(question) == tell(twin.execute, question)


@settings(max_examples=200, deadline=None)
@given(st.lists(said.filter(is_of_one_month), max_size=40))
def test_r8_no_window_has_more_than_its_limit_and_a_tally_counts_each_order_once(
    story: list[Said],
) -> None:
    twin = MemoryRedis(lambda: 0, TWINS)
    counting: dict[str, Said] = {}
    answers: dict[str, str] = {}
    for each in (each._replace(buyer="BUYER-11") for each in story):
        if each.what == "canceled":
            counting.pop(each.order, None)
            answers[each.order] = "forgotten"
        (question,) = [q for q in questions(each.event("one")) if "buyer" in q.keys[0]]
        answer = tell(twin.execute, question)

        assert answer == answers.setdefault(each.order, answer)
        if answer != "counted" or each.order in counting:
            continue
        window = [c for c in counting.values() if each.hours - 24 < c.hours <= each.hours]
        assert len(window) + 1 <= 2
        assert sum(c.minor for c in window) + each.minor <= 41_17
        counting[each.order] = each


@pytest.mark.parametrize("refused_first", [False, True], ids=["placed first", "refused first"])
def test_r8_an_order_under_a_used_id_counts_with_nobody_once_it_is_refused(
    refused_first: bool,
) -> None:
    twin, order = MemoryRedis(lambda: 0, TWINS), placed()

    def say(fact: Fact, order_id: str) -> list[str]:
        event = Event[Any](
            id=f"{fact.TYPE}-{order_id}",
            source="test",
            type=fact.TYPE,
            subject=order_id,
            time=PURCHASED,
            data=fact,
        )
        asked = [ask_buyer(event, POLICIES), ask_card(event, POLICIES)]
        return [tell(twin.execute, question) for question in asked if question is not None]

    card = order.payment_method_ref
    said = [(order, "902-1"), (id_was_used(order.buyer.buyer_id, card), "902-1")]
    for fact, order_id in reversed(said) if refused_first else said:
        say(fact, order_id)

    cheap = order.model_copy(update={"order_total": eur(1)})
    answers = [say(cheap, order_id) for order_id in ("902-2", "902-3", "902-4")]
    assert answers == [["counted"] * 2, ["counted"] * 2, ["velocity_exceeded", "counted"]]
    assert say(id_was_used(None, None), "902-5") == []
