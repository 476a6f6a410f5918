"""The guards of the partition task, each taken out: what the simulator has to notice."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

import pytest

from services.payment import decisions, provider
from services.simulator import fate, scripts, system
from services.simulator import run as simulator
from services.simulator.memory_redis import MemoryRedis
from services.simulator.run import Outcome, Plan, run
from services.simulator.topics import MemoryLog
from shared import batch, partition_store
from shared.decode import Record
from shared.events.deadlines import DeadlineReached
from shared.events.gateway import AuthorizationLapsed
from shared.partition import PartitionTask
from shared.partition_store import Claimed, PartitionStore

Patch = pytest.MonkeyPatch
Entry = Callable[..., Any]


def commit_with_any_token(patch: Patch) -> None:
    """A zombie commits, too."""
    (commit,) = [script for script, twin in scripts.TWINS.items() if twin is scripts.commit]

    def anybodys(redis: MemoryRedis, keys: Sequence[bytes], args: Sequence[bytes]) -> int:
        redis.execute("SET", keys[0], args[0])
        return scripts.commit(redis, keys, args)

    patch.setattr(system, "TWINS", {**scripts.TWINS, commit: anybodys})


def look_at_no_token(patch: Patch) -> None:
    """A task that has nothing to do does not see that its Redis went back."""

    async def unseen(_redis: Any, _tasks: Any) -> None: ...

    patch.setattr(system, "look_at_tokens", unseen)


def read_no_journal(patch: Patch) -> None:
    """A Redis that went back is believed."""

    async def unread(self: MemoryLog, topic: str, partition: int, start: int | None) -> Any:
        return 0, (await self.bounds([topic], partition))[topic].end

    patch.setattr(MemoryLog, "last_commit", unread)


def republish_nothing(patch: Patch) -> None:
    """What was committed and may not be published is forgotten at the claim."""
    claim = PartitionStore.claim

    async def forgetful(self: PartitionStore, token: str) -> Claimed:
        return replace(await claim(self, token), outbox=())

    patch.setattr(PartitionStore, "claim", forgetful)


def take_records_again(patch: Patch) -> None:
    """Records below the position are decided again."""
    decode = PartitionTask._decode

    def again(self: PartitionTask[Any], records: Iterable[Record]) -> Any:
        come = list(records)
        for record in come:
            self._next[record.topic] = min(self._next[record.topic], record.offset)
        return decode(self, come)

    patch.setattr(PartitionTask, "_decode", again)


def leave_no_tombstone(patch: Patch) -> None:
    """A reservation that comes after its order's cancel takes stock."""
    patch.setattr(scripts.Stock, "leave_tombstone", lambda _self: None)


def answer_anew(patch: Patch) -> None:
    """The stock script keeps no first answers."""
    entry: Entry = scripts.Stock.entry

    def forgetful(self: scripts.Stock, command: str, *args: Any) -> Any:
        return [None, None] if command == "HMGET" else entry(self, command, *args)

    patch.setattr(scripts.Stock, "entry", forgetful)


def take_passed_versions(patch: Patch) -> None:
    """Facts of other services are decided however often they come."""
    _believe(patch, lambda item: item.received.publisher is not None and not _is_deadline(item))


def take_any_deadline(patch: Patch) -> None:
    """A deadline acts although it is not open any more."""
    _believe(patch, _is_deadline)


def hold_no_deadlines(patch: Patch) -> None:
    """Deadlines are decided when they come."""

    async def at_once(_self: PartitionTask[Any], found: Any) -> None:
        found.inputs += found.deadlines

    patch.setattr(PartitionTask, "_hold_deadlines", at_once)


def make_up_ids(patch: Patch) -> None:
    """Deciding again gives other ids."""
    numbers = count()
    patch.setattr(batch, "derived_id", lambda *_: f"made-up-{next(numbers)}")


def keep_letters_after_the_commit(patch: Patch) -> None:
    """A record is passed before it is kept."""
    keep, commit = PartitionTask._keep_dead, PartitionTask._commit

    async def later(self: Any, found: Any, decided: Any) -> None:
        self.kept_later = found

    async def first(self: Any, decided: Any) -> None:
        await commit(self, decided)
        await keep(self, self.kept_later, decided)

    patch.setattr(PartitionTask, "_keep_dead", later)
    patch.setattr(PartitionTask, "_commit", first)


def forget_calls(patch: Patch) -> None:
    """What was asked of the outside and has no answer is not asked on after the claim."""
    claim = PartitionStore.claim

    async def forgetful(self: PartitionStore, token: str) -> Claimed:
        return replace(await claim(self, token), calls=())

    patch.setattr(PartitionStore, "claim", forgetful)


def ask_with_a_new_key(patch: Patch) -> None:
    """Each try of a call is a request of its own."""
    numbers, movement = count(), provider._movement

    def another(event: Any) -> provider.Asked:
        return movement(event)._replace(key=f"{event.id} {next(numbers)}")

    patch.setattr(provider, "_movement", another)


def take_answers_again(patch: Patch) -> None:
    """The answer to a call is decided however often it comes."""
    _believe(patch, lambda item: bool(item.call))


def forget_early_lapses(patch: Patch) -> None:
    """The lapse of an authorisation that is not told yet is no news."""
    row = decisions.TABLE[AuthorizationLapsed]
    assert row.rule is not None
    rule = row.rule

    def forgetful(case: Any) -> Any:
        known = case.known.payments
        return rule(case) if any(p.authorized.arrived_minor for p in known) else ()

    patch.setitem(decisions.TABLE, AuthorizationLapsed, row._replace(rule=forgetful))


def make_trips_in_any_run(patch: Patch) -> None:
    """A trip is made whatever server is at the other end."""
    patch.setattr(partition_store, "_run_id", lambda _run: b"")


class Guard(NamedTuple):
    """How a guard is taken out; the faults that it is against, where all kinds together find its
    absence only in minutes.
    """

    take_out: Callable[[Patch], None]
    faults: Collection[str] = ()


GUARDS: Mapping[str, Guard] = {
    "fence token": Guard(commit_with_any_token),
    "look at the token while idle": Guard(look_at_no_token, ["redis rollback"]),
    "trips in one run of Redis": Guard(
        make_trips_in_any_run, ["redis rollback", "reply lost", "slow"]
    ),
    "journal read at the claim": Guard(read_no_journal, ["redis rollback", "crash"]),
    "outbox republished": Guard(republish_nothing),
    "records below the position dropped": Guard(take_records_again),
    "tombstone": Guard(leave_no_tombstone, ["lag", "crash", "slow"]),
    "first answer kept": Guard(answer_anew),
    "passed versions": Guard(take_passed_versions),
    "exact deadline": Guard(take_any_deadline),
    "deadlines last": Guard(hold_no_deadlines, ["lag", "stall", "slow"]),
    "derived id": Guard(make_up_ids),
    "dead letter before commit": Guard(keep_letters_after_the_commit),
    "pending calls at the claim": Guard(forget_calls),
    "one key of all tries": Guard(ask_with_a_new_key, ["answer late", "reply lost"]),
    "an answer once": Guard(take_answers_again, ["answer late", "reply lost", "crash"]),
    "early lapse remembered": Guard(
        forget_early_lapses, ["answer late", "crash", "redis away", "kafka away"]
    ),
}
"""Each guard, and what it is to be without it."""

TIMES_OFTEN = 2.0
"""More often than in other runs, and in each; more still, and a topic that lags does nothing else.
"""


def only(patch: Patch, faults: Collection[str]) -> None:
    """Let these kinds of faults come, in each run and often, and no others; none: as ever.

    An answer is late only where payment calls a provider, so it does in each of these runs.
    """
    if faults:
        often = {
            kind: chance * TIMES_OFTEN if kind in faults else 0.0
            for kind, chance in fate.FAULTS.items()
        }
        patch.setattr(fate, "FAULTS", often)
        patch.setattr(fate, "OFF", 0.0)
    if "answer late" in faults:
        patch.setattr(simulator, "CALLS", 1.0)


def first_failure(seeds: Iterable[int]) -> Outcome | None:
    """The first run that breaks a promise."""
    outcomes = (run(Plan(seed)) for seed in seeds)
    return next(filter(broken, outcomes), None)


def broken(outcome: Outcome) -> set[str]:
    """The promises that a run broke; to refuse to go on breaks none."""
    return set(outcome.violations) - set(outcome.refused)


def _believe(patch: Patch, news: Callable[[Any], bool]) -> None:
    is_news: Callable[..., bool] = batch.Turn._is_news

    def credulous(self: Any, item: Any) -> bool:
        return news(item) or is_news(self, item)

    patch.setattr(batch.Turn, "_is_news", credulous)


def _is_deadline(item: Any) -> bool:
    return isinstance(item.received.event.data, DeadlineReached)
