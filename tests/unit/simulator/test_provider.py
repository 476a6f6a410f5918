"""The payment provider in memory: a key once, over bad lines, and what it does by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from services.payment.provider import Asked
from services.simulator.conducts import Answer, Conduct
from services.simulator.fate import Allowed, Fate
from services.simulator.loop import VirtualLoop
from services.simulator.provider import AWAY_S, HESITATES, MOST_LAPSES, MemoryProvider
from shared.errors import TransientError
from shared.events.envelope import Fact
from shared.events.fields import Money
from shared.events.gateway import (
    AnswerPending,
    AuthorizationLapsed,
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentChargedBack,
    PaymentDeclined,
    PaymentFact,
    PaymentRefunded,
    PaymentVoided,
    RequestFailed,
)

ORDER, PAYMENT = "250-0000042-0000001", "pay-0c2f"
SEED = 7
WEEKS_S = 30 * 86_400


def eur(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="EUR")


def asked(key: str, amount_minor: int = 1_999, payment_id: str = PAYMENT) -> Asked:
    return Asked(key, ORDER, payment_id, eur(amount_minor))


class Desk:
    """A provider whose lines have these faults, and what it says by itself."""

    def __init__(self, conduct: Conduct | None = None, *kinds: str) -> None:
        self.loop = VirtualLoop()
        fate = Fate(SEED, Allowed(kinds=kinds))
        self.provider = MemoryProvider(fate, self.loop.now_ms, Random(SEED))
        self.provider.conducts[ORDER] = conduct or Conduct()
        self.told: list[Fact] = []
        self.provider.tell = lambda _order_id, fact: self.told.append(fact)

    def ask(self, *asks: Callable[[MemoryProvider], Awaitable[PaymentFact]]) -> list[object]:
        """What comes of requests, one after the other, and then of weeks without any."""

        async def live() -> list[object]:
            said: list[object] = []
            for ask in asks:
                try:
                    async with asyncio.timeout(WEEKS_S):
                        said.append(await ask(self.provider))
                except (TransientError, TimeoutError) as error:
                    said.append(type(error))
            await asyncio.sleep(WEEKS_S)
            return said

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            return runner.run(live())


def test_a_key_that_comes_again_moves_nothing_and_gets_its_first_answer() -> None:
    desk = Desk()

    said = desk.ask(
        lambda p: p.authorize(asked(PAYMENT)),
        lambda p: p.capture(asked("k-1", 1_000)),
        lambda p: p.capture(asked("k-2", 999)),
        lambda p: p.capture(asked("k-1", 1_000)),
        lambda p: p.refund(asked("k-3", 500)),
    )

    first = PaymentCaptured(payment_id=PAYMENT, amount=eur(1_000))
    assert said == [
        PaymentAuthorized(payment_id=PAYMENT, amount=eur(1_999)),
        first,
        PaymentCaptured(payment_id=PAYMENT, amount=eur(1_999)),
        first,
        PaymentRefunded(payment_id=PAYMENT, amount=eur(500)),
    ]
    assert [move.key for move in desk.provider.moves] == [PAYMENT, "k-1", "k-2", "k-3"]
    assert desk.provider.purses[PAYMENT].kept_minor == 1_499


def test_r7_what_is_not_there_is_refused_and_noted() -> None:
    desk = Desk()

    said = desk.ask(
        lambda p: p.authorize(asked(PAYMENT)),
        lambda p: p.void(asked("k-1")),
        lambda p: p.capture(asked("k-2", 1)),
        lambda p: p.refund(asked("k-3", 1, "nobody")),
    )

    assert said[1] == PaymentVoided(payment_id=PAYMENT, amount=eur(1_999))
    assert [type(answer) for answer in said[2:]] == [RequestFailed, RequestFailed]
    assert desk.provider.too_much == [
        (ORDER, "was asked to capture 1 of 0"),
        (ORDER, "was asked to refund 1 of 0"),
    ]


@pytest.mark.parametrize(
    ("answer", "comes"),
    [
        ("takes", PaymentCaptured),
        ("declines", PaymentDeclined),
        ("suspects", FraudSuspected),
        ("can not tell", TransientError),
        ("is silent", TimeoutError),
        ("says later", AnswerPending),
    ],
)
def test_r5_an_authorisation_is_answered_as_the_orders_lot_says(
    answer: Answer, comes: type
) -> None:
    desk = Desk(Conduct((answer,)))

    (said,) = desk.ask(lambda p: p.authorize(asked(PAYMENT)))

    assert said is comes or isinstance(said, comes)
    later = [PaymentAuthorized(payment_id=PAYMENT, amount=eur(1_999))]
    assert desk.told == (later if answer == "says later" else [])


def test_r5_one_that_hesitates_has_made_up_its_mind_after_some_tries() -> None:
    tries = [lambda p: p.authorize(asked(PAYMENT))] * (HESITATES + 1)

    said = Desk(Conduct(("hesitates",))).ask(*tries)

    assert said[:-1] == [TransientError] * HESITATES
    assert said[-1] == PaymentAuthorized(payment_id=PAYMENT, amount=eur(1_999))


def test_r7_it_refuses_delays_and_ignores_what_the_orders_lot_says() -> None:
    desk = Desk(Conduct(refuses=["capture"], delays=["void"], ignores=["refund"]))

    said = desk.ask(
        lambda p: p.authorize(asked(PAYMENT)),
        lambda p: p.capture(asked("k-1")),
        lambda p: p.void(asked("k-2")),
        lambda p: p.refund(asked("k-3")),
    )

    assert [type(answer) for answer in said[1:3]] == [RequestFailed, AnswerPending]
    assert said[3] is TimeoutError
    assert desk.told == [PaymentVoided(payment_id=PAYMENT, amount=eur(1_999))]


def test_r7_what_it_does_by_itself_is_in_its_ledger_and_told() -> None:
    lapsing = Desk(Conduct(by_itself={"authorized": ["lapses"]}))
    disputed = Desk(Conduct(("takes",), {"captured": ["charges back", "lapses"]}))

    lapsing.ask(*[lambda p, n=n: p.authorize(asked(f"a-{n}", 7, f"a-{n}")) for n in range(9)])
    disputed.ask(lambda p: p.authorize(asked(PAYMENT)))

    lapsed = [move for move in lapsing.provider.moves if move.how == "lapsed"]
    assert len(lapsed) == len(lapsing.told) == MOST_LAPSES
    assert {type(fact) for fact in lapsing.told} == {AuthorizationLapsed}
    assert disputed.told == [PaymentChargedBack(payment_id=PAYMENT, amount=eur(1_999))]
    assert disputed.provider.purses[PAYMENT].kept_minor == 0


def test_p6_on_bad_lines_nothing_is_done_twice_and_all_is_answered_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(None, "request lost", "reply lost", "slow", "provider away", "answer late")
    kinds = ("request lost", "reply lost", "slow", "provider away", "answer late")
    monkeypatch.setattr(desk.provider.lines.fate, "_chances", dict.fromkeys(kinds, 0.3))
    monkeypatch.setattr("services.simulator.provider.AWAY_S", AWAY_S[:2])

    said = desk.ask(*[lambda p: p.authorize(asked(PAYMENT))] * 400)

    assert {fault.kind for fault in desk.provider.lines.fate.faults} == set(kinds)
    answer = PaymentAuthorized(payment_id=PAYMENT, amount=eur(1_999))
    assert TransientError in said
    assert [one for one in said if one is not TransientError].count(answer) > 20
    assert len(desk.provider.moves) == 1
