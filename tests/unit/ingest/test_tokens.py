"""`orderflow tokens`, and what is kept of a token."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.redis_server import RedisServer
from services.ingest.state import Token
from services.ingest.store import MINUTE_S, Tokens
from shared.redis import connect

RIGHTS = ("--source", "my-warehouse", "--topic", "stock", "--topic", "tracking")


@pytest.fixture
def cli(redis_server: RedisServer) -> CliRunner:
    return CliRunner(env={"REDIS_URL": redis_server.redis_url})


@pytest.fixture
def name() -> str:
    return f"w-{uuid4()}"


def ask(server: RedisServer, do: Callable[[Tokens], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        redis = connect(server.redis_url)
        try:
            return await do(Tokens(redis))
        finally:
            await redis.aclose()

    return asyncio.run(asked())


def test_a_token_is_made_listed_and_taken_away(
    cli: CliRunner, redis_server: RedisServer, name: str
) -> None:
    bearer = cli.invoke(app, ["tokens", "create", name, *RIGHTS]).output.strip()

    found = ask(redis_server, lambda tokens: tokens.find(bearer))
    assert found == Token(name, ("my-warehouse",), ("stock", "tracking"), 6_000)
    listed = cli.invoke(app, ["tokens", "list"]).output
    assert f"{name:<40} as my-warehouse to stock, tracking, 6000 a minute\n" in listed
    again = cli.invoke(app, ["tokens", "create", name, *RIGHTS])
    assert (again.exit_code, f"There is a token {name}" in again.output) == (1, True)
    assert cli.invoke(app, ["tokens", "remove", name]).exit_code == 0
    assert ask(redis_server, lambda tokens: tokens.find(bearer)) is None
    assert cli.invoke(app, ["tokens", "remove", name]).exit_code == 1


@pytest.mark.parametrize(
    ("wrong", "allowed"),
    [
        (("AN NA", *RIGHTS), "allowed is 1 to 40 small letters"),
        (
            ("a", "--source", "orderflow/payment", "--topic", "stock"),
            "not beginning with orderflow/",
        ),
        (("a", "--source", "x", "--topic", "payment.events"), "'orders', 'payments', 'shipments'"),
        (("a", "--source", "x"), "Missing option '--topic'"),
        (("a", "--topic", "stock"), "Missing option '--source'"),
        (("a", *RIGHTS, "--per-minute", "499"), "499 is not in the range x>=500"),
    ],
)
def test_a_right_that_is_none_is_refused_with_what_is_allowed(
    cli: CliRunner, wrong: tuple[str, ...], allowed: str
) -> None:
    refused = cli.invoke(app, ["tokens", "create", *wrong])

    assert refused.exit_code == 2
    assert allowed in " ".join(refused.output.replace("│", " ").split())


def test_what_is_kept_of_a_token_lets_nobody_in(redis_server: RedisServer, name: str) -> None:
    token = Token(name, ("a",), ("stock",), 500)
    bearer = ask(redis_server, lambda tokens: tokens.create(token))

    kept = ask(redis_server, lambda tokens: tokens._one("HGET", "ingest:tokens", name)).decode()

    secret = bearer.partition(":")[2]
    assert len(secret) == 32
    assert secret not in kept
    digest = kept.partition('"digest":"')[2].partition('"')[0]
    for guess in (f"{name}:{digest}", f"{name}:", name, f"{name}:{secret[:-1]}", f":{secret}"):
        assert ask(redis_server, partial(Tokens.find, bearer=guess)) is None


def test_events_are_counted_for_a_minute(redis_server: RedisServer, name: str) -> None:
    token = Token(name, ("a",), ("stock",), 500)
    counts = [ask(redis_server, lambda tokens: tokens.count(token, 250)) for _ in range(3)]

    assert counts[:2] == [0, 0]
    assert 0 < counts[2] <= MINUTE_S


def test_a_count_that_was_left_without_an_end_gets_one(
    redis_server: RedisServer, name: str
) -> None:
    key = f"ingest:used:{name}"
    ask(redis_server, lambda tokens: tokens._one("SET", key, 499))

    ask(redis_server, lambda tokens: tokens.count(Token(name, ("a",), ("stock",), 500), 1))

    assert 0 < ask(redis_server, lambda tokens: tokens._one("TTL", key)) <= MINUTE_S
