"""What Redis keeps of one partition of one service, and the scripts that change it as one.

Keys, all under the hash tag `{SERVICE:PARTITION}`: `fence` (the token of who may commit), `meta`
(a hash: the commit number and its claim, the journal's offset behind the last acked outbox, and the
next offset of each input topic), `outbox` (a list: facts committed, publication not known yet),
`calls` (a hash: the facts that ask something of the outside and have no final answer yet, by their
ids), and the documents (`shared/documents.py`). Of the whole service there is one key,
`{SERVICE}:run`: the run of the Redis server in which what crosses orders is known to be no older
than what was published.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis

from shared.batch import Outgoing
from shared.documents import Op
from shared.errors import TransientError
from shared.redis import Argument, Pipeline, Script, in_run
from shared.service import Question

OUTBOX_CHUNK = 1_000
"""Facts of one RPUSH: Lua unpacks some 8 000 arguments at most."""

_NEXT = "next:"
_CLAIM = Script(Path(__file__).with_name("claim.lua"))
_COMMIT = Script(Path(__file__).with_name("commit.lua"))
_HELD = Script(Path(__file__).with_name("held.lua"))


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """What the last commit of a partition left behind; `claim` is the token of who decided it.

    `journal` is the journal's offset behind the last outbox known to be acked, None before the
    first; `positions` the next offset of each input topic.
    """

    commit_number: int
    claim: str
    journal: int | None
    positions: Mapping[str, int]
    outbox: Sequence[Outgoing]
    calls: Sequence[bytes]


class Reached(NamedTuple):
    """How far a partition is: its last commit's number (0 before the first) and claim, and the
    journal's offset behind the last outbox known to be acked.
    """

    commit_number: int
    claim: str
    journal: int | None


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What one batch changes, decided under a `claim`; calls of its outbox are pending from now on,
    `answered` ones not.

    `pending` are others that are, too: their ids, and their facts.
    """

    number: int
    claim: str
    journal: int
    positions: Mapping[str, int]
    outbox: Sequence[Outgoing]
    ops: Sequence[Op]
    answered: Sequence[str] = ()
    pending: Sequence[tuple[str, bytes]] = ()


class PartitionStore:
    """One partition's working state in Redis.

    Whoever claimed it works on in the run of the server in which he did, and in no other: each trip
    raises TransientError once that is over.
    """

    def __init__(self, redis: Redis, service: str, partition: int) -> None:
        self._redis = redis
        self._service, self._partition = service, partition
        tag = f"{{{service}:{partition}}}"
        self._fence, self._meta, self._outbox = f"{tag}:fence", f"{tag}:meta", f"{tag}:outbox"
        self._calls, self._known_run = f"{tag}:calls", f"{{{service}}}:run"
        self._run = b""

    async def claim(self, token: str) -> Claimed:
        """Take the partition over with a fresh token; whoever held it can commit no more."""
        keys = [self._fence, self._meta, self._outbox, self._calls]
        *found, self._run = await _CLAIM(self._redis, keys, [token])
        return _claimed(*found)

    def ask_token(self, pipeline: Pipeline) -> None:
        """Ask, as part of a trip, for the stored token: the reply is None where there is none."""
        pipeline.queue("GET", self._fence)

    def ask_positions(self, pipeline: Pipeline) -> None:
        """Ask, as part of a trip, how far the partition is: `positions_of` reads the reply."""
        pipeline.queue("HGETALL", self._meta)

    def ask_outbox(self, pipeline: Pipeline) -> None:
        """Ask, as part of a trip, how many facts may not be published: the reply is a number."""
        pipeline.queue("LLEN", self._outbox)

    def ask_calls(self, pipeline: Pipeline) -> None:
        """Ask, as part of a trip, how many calls have no final answer: the reply is a number."""
        pipeline.queue("HLEN", self._calls)

    def forget(self, pipeline: Pipeline) -> None:
        """Forget, as part of a trip, how far the partition is: until a rebuild nobody goes on."""
        pipeline.queue("DEL", self._fence, self._meta)

    async def load(self, keys: Sequence[str], token: str = "") -> Sequence[bytes | None]:
        """Read documents, in their order, in one trip.

        Where a token is given, it raises TransientError unless that is the stored one: whoever is
        to ask something needs to know that before.
        """
        pipeline = Pipeline(self._redis)
        if keys:
            pipeline.queue("MGET", *keys)
        if token:
            _HELD.queue(pipeline, [self._fence])
        replies = await self._send(pipeline) if len(pipeline) else []
        if token and replies[-1] != [token.encode(), self._run]:
            raise TransientError(
                f"partition {self._partition} was taken over, or its Redis has gone back"
            )
        return replies[0] if keys else []

    async def ask(self, questions: Sequence[Question]) -> Sequence[Any]:
        """The answers to questions, in their order, in one trip."""
        pipeline = Pipeline(self._redis)
        for question in questions:
            question.script.queue(pipeline, question.keys, question.args)
        replies = await self._send(pipeline) if questions else []
        return [q.read(reply) for q, reply in zip(questions, replies, strict=True)]

    async def all_reached(self, partitions: int) -> Sequence[Reached]:
        """How far each partition of the service is, in one trip."""
        pipeline = Pipeline(self._redis)
        for partition in range(partitions):
            PartitionStore(self._redis, self._service, partition).ask_positions(pipeline)
        return [_reached(meta) for meta in await self._send(pipeline)]

    async def is_known_run(self) -> bool:
        """Whether what crosses the service's orders was made sure of in this run."""
        pipeline = Pipeline(self._redis)
        pipeline.queue("GET", self._known_run)
        (known,) = await self._send(pipeline)
        return bool(known == self._run)

    async def know_run(self) -> None:
        """Note that what crosses the service's orders is up to what was published."""
        pipeline = Pipeline(self._redis)
        pipeline.queue("SET", self._known_run, self._run)
        await self._send(pipeline)

    async def forget_run(self) -> None:
        """Have what crosses the service's orders made sure of once more."""
        pipeline = Pipeline(self._redis)
        pipeline.queue("DEL", self._known_run)
        await pipeline.run()

    async def commit(self, held: str, following: str, commit: Commit) -> bool:
        """Write a batch if the token held is still the stored one; False is a refusal."""
        positions = [
            part for topic, offset in commit.positions.items() for part in (_NEXT + topic, offset)
        ]
        meta = ("commit", commit.number, "claim", commit.claim, "journal", commit.journal)
        ops = [Op("HSET", self._meta, (*meta, *positions)), Op("DEL", self._outbox), *commit.ops]
        packed = [
            b"\n".join((o.topic.encode(), b"%d" % o.partition, o.key, o.value))
            for o in commit.outbox
        ]
        chunks = range(0, len(packed), OUTBOX_CHUNK)
        ops += [Op("RPUSH", self._outbox, tuple(packed[n : n + OUTBOX_CHUNK])) for n in chunks]
        ops += [Op("HSET", self._calls, (o.call, o.value)) for o in commit.outbox if o.call]
        ops += [Op("HSET", self._calls, pending) for pending in commit.pending]
        ops += [Op("HDEL", self._calls, (call,)) for call in commit.answered]
        return await self._write(held, following, ops)

    async def settle(self, held: str, following: str, journal: int) -> bool:
        """Note that the outbox is acked, while there is nothing else to commit.

        It makes a new token as well: a Redis that goes back to before it is one that went back.
        """
        ops = [Op("HSET", self._meta, ("journal", journal)), Op("DEL", self._outbox)]
        return await self._write(held, following, ops)

    async def _write(self, held: str, following: str, ops: Iterable[Op]) -> bool:
        keys: list[str] = [self._fence]
        args: list[Argument] = [held, following]
        for op in ops:
            keys.append(op.key)
            args += (op.command, len(op.args), *op.args)
        with in_run(_run_id(self._run)):
            return bool(await _COMMIT(self._redis, keys, args))

    async def _send(self, pipeline: Pipeline) -> list[Any]:
        with in_run(_run_id(self._run)):
            return await pipeline.run()


def positions_of(meta: Mapping[bytes, bytes]) -> dict[str, int]:
    """The next offset of each input topic, as Redis keeps it; none before the first commit."""
    texts = {name.decode(): value for name, value in meta.items()}
    return {k.removeprefix(_NEXT): int(v) for k, v in texts.items() if k.startswith(_NEXT)}


def _reached(meta: Mapping[bytes, bytes]) -> Reached:
    journal = meta.get(b"journal")
    return Reached(
        commit_number=int(meta.get(b"commit", 0)),
        claim=meta.get(b"claim", b"").decode(),
        journal=None if journal is None else int(journal),
    )


def _run_id(run: bytes) -> bytes:
    return run.partition(b" ")[0]


def _claimed(flat: Sequence[bytes], outbox: Sequence[bytes], calls: Sequence[bytes]) -> Claimed:
    meta = dict(zip(flat[::2], flat[1::2], strict=True))
    number, claim, journal = _reached(meta)
    return Claimed(
        commit_number=number,
        claim=claim,
        journal=journal,
        positions=positions_of(meta),
        outbox=[_outgoing(entry) for entry in outbox],
        calls=calls,
    )


def _outgoing(entry: bytes) -> Outgoing:
    topic, partition, key, value = entry.split(b"\n", 3)
    return Outgoing(topic.decode(), int(partition), key, value)
