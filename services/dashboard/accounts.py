"""Who may sign in: accounts with their roles, and the one-time links by which one gets his own.

They lie in the dashboard's Redis, beside its views and untouched by their rebuild:
`dashboard:accounts` (a hash: a name's role and password hash), `dashboard:invited:NAME` and
`dashboard:tries:…` (which end by themselves). Every call raises TransientError while Redis is away.
"""

import asyncio
import hashlib
import hmac
import re
from typing import Any, Literal, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from shared.clock import fresh_token
from shared.redis import Pipeline

Role = Literal["viewer", "operator"]
"""A viewer reads; an operator acts, too."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
NAME_FORM = "1 to 40 small letters, digits, dots, dashes and underscores, a letter or digit first"
FIRST = "operator"
"""The name that the first link is for."""

MIN_PASSWORD = 12
MAX_PASSWORD = 256
"""Characters; the upper limit is against work made for the hash."""
INVITED_S = 24 * 3600
"""A link is good for a day."""
MAX_TRIES = 10
TRIES_S = 300
"""So many sign-ins are tried within this, for a name and from an address: a bad memory's worth."""
MAX_HASHING = 2
"""Hashes at a time: each takes 64 MiB and some 50 ms of a core."""

_ACCOUNTS = "dashboard:accounts"


class Who(NamedTuple):
    """A person who is signed in, or invited; `account` is new when he is invited anew."""

    name: str
    role: Role
    account: str

    @property
    def operates(self) -> bool:
        return self.role == "operator"


class TooManyTriesError(Exception):
    """Sign-in was tried too often: it is possible again within TRIES_S."""


class Accounts:
    """The accounts of a dashboard."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._hasher = PasswordHasher()
        self._hashing = asyncio.Semaphore(MAX_HASHING)
        self._nobodys = ""

    async def every(self) -> list[Who]:
        """All who can sign in with a password, by name."""
        stored = await self._one("HGETALL", _ACCOUNTS)
        read = [(_who(name.decode(), value), value) for name, value in sorted(stored.items())]
        return [who for who, value in read if from_json(value)["hash"]]

    async def who(self, name: str) -> Who | None:
        """The account of a name, with a password or without."""
        stored = await self._one("HGET", _ACCOUNTS, name)
        return _who(name, stored) if stored else None

    async def invite(self, name: str, role: Role) -> str:
        """The token of a link by which this name is signed in, once, and chooses a password.

        It takes the place of the name's earlier one.
        """
        assert NAME.fullmatch(name), f"a name is {NAME_FORM}"
        secret = fresh_token()
        invited = {"role": role, "account": fresh_token(), "secret": _digest(secret)}
        await self._one("SET", _invited(name), to_json(invited), "EX", INVITED_S)
        return f"{name}:{secret}"

    async def first_invitation(self) -> str | None:
        """An operator's invitation, where nobody can sign in yet."""
        return None if await self.every() else await self.invite(FIRST, "operator")

    async def invited(self, token: str) -> Who | None:
        """Whom a token invites; None once it was used or replaced, and after its time."""
        name, _, secret = token.partition(":")
        stored = await self._one("GET", _invited(name))
        if not stored or not hmac.compare_digest(from_json(stored)["secret"], _digest(secret)):
            return None
        return _who(name, stored)

    async def accept(self, token: str, password: str) -> Who | None:
        """Use a token up: its name has an account now. Without a password it is signed in once."""
        assert not password or MIN_PASSWORD <= len(password) <= MAX_PASSWORD
        who = await self.invited(token)
        if who is None or not await self._one("DEL", _invited(who.name)):
            return None
        hash_ = await self._hash(password) if password else ""
        account = {"role": who.role, "account": who.account, "hash": hash_}
        await self._one("HSET", _ACCOUNTS, who.name, to_json(account))
        return who

    async def remove(self, name: str) -> bool:
        """Take an account away, which ends its sessions; whether there was one."""
        return bool(await self._one("HDEL", _ACCOUNTS, name))

    async def sign_in(self, name: str, password: str, address: str) -> Who | None:
        """Whose name and password this is, None where it is nobody's.

        `address` is where the try came from. Raises TooManyTriesError, the right password or not.
        """
        await self._count_try(f"name:{name}", f"from:{address}")
        stored = await self._one("HGET", _ACCOUNTS, name)
        right = await self._is_right(from_json(stored)["hash"] if stored else "", password)
        return _who(name, stored) if right else None

    async def _count_try(self, *of: str) -> None:
        pipeline = Pipeline(self._redis)
        for each in of:
            key = f"dashboard:tries:{_digest(each)}"
            pipeline.queue("SET", key, 0, "EX", TRIES_S, "NX")
            pipeline.queue("INCR", key)
        if max((await pipeline.run())[1::2]) > MAX_TRIES:
            raise TooManyTriesError

    async def _is_right(self, hash_: str, password: str) -> bool:
        """An account that is not there takes as long as a wrong password: names are not told."""
        if not hash_:
            self._nobodys = self._nobodys or await self._hash(fresh_token())
        try:
            async with self._hashing:
                await asyncio.to_thread(self._hasher.verify, hash_ or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return False
        return bool(hash_)

    async def _hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _one(self, *command: str | int | bytes) -> Any:
        pipeline = Pipeline(self._redis)
        pipeline.queue(*command)
        return (await pipeline.run())[0]


def _who(name: str, stored: bytes) -> Who:
    account = from_json(stored)
    return Who(name, account["role"], account["account"])


def _invited(name: str) -> str:
    return f"dashboard:invited:{name}"


def _digest(text: str) -> str:
    """What stands for a secret in a key: who reads Redis signs in with none of them."""
    return hashlib.sha256(text.encode()).hexdigest()
