"""`orderflow accounts`, with a Redis where there are none yet."""

import asyncio

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.dashboard.accounts import Accounts, Who
from shared.redis import connect

PASSWORD = "seven kettles on a shelf"


async def accept(redis_url: str, path: str) -> Who | None:
    redis = connect(redis_url)
    token = path.strip().partition("link=")[2].replace("%3A", ":")
    who = await Accounts(redis).accept(token, PASSWORD)
    await redis.aclose()
    return who


def test_who_is_invited_is_listed_once_he_came_and_can_be_removed(morning: str) -> None:
    cli = CliRunner(env={"REDIS_URL": morning})
    path = cli.invoke(app, ["accounts", "invite", "cleo", "--role", "operator"]).output
    assert "cleo" not in cli.invoke(app, ["accounts", "list"]).output

    who = asyncio.run(accept(morning, path))

    assert who is not None
    assert (who.name, who.role) == ("cleo", "operator")
    assert "cleo" in cli.invoke(app, ["accounts", "list"]).output
    assert cli.invoke(app, ["accounts", "remove", "cleo"]).exit_code == 0
    again = cli.invoke(app, ["accounts", "remove", "cleo"])
    assert (again.exit_code, again.output) == (1, "Nobody is called cleo.\n")


@pytest.mark.parametrize("name", ["An na", "ANNA", "-anna", "a" * 41])
def test_a_name_that_is_none_is_refused_with_what_is_allowed(name: str) -> None:
    refused = CliRunner().invoke(app, ["accounts", "invite", "--", name])

    assert refused.exit_code == 2
    assert "allowed is 1 to 40 small letters" in " ".join(refused.output.split())
