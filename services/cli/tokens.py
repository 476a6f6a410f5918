"""`orderflow tokens`: who may write events by HTTP."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, in_redis, settings_here
from services.cli.exit_codes import EXIT_FAILED
from services.ingest.decisions import MAX_EVENTS
from services.ingest.state import Token
from services.ingest.store import NAME, NAME_FORM, Tokens
from shared.events.envelope import MAX_SOURCE, OURS
from shared.events.topics import FROM_OUTSIDE
from shared.settings import Settings

tokens = typer.Typer(help="Say who may write events by HTTP.", no_args_is_help=True)

DEFAULT_PER_MINUTE = 6_000
"""A hundred a second; who says more gets a token for more."""

T = TypeVar("T")
Name = Annotated[str, typer.Argument(help="Of the token.", show_default=False)]
TopicName = StrEnum("TopicName", {topic.name: topic.name for topic in FROM_OUTSIDE})  # type: ignore[misc]


@tokens.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the tokens, and what each may write."""
    for each in in_tokens(settings_here(data_dir), Tokens.every):
        may = f"as {', '.join(each.sources)} to {', '.join(each.topics)}"
        typer.echo(f"{each.name:<40} {may}, {each.per_minute} a minute")


@tokens.command()
def create(
    name: Name,
    source: Annotated[list[str], typer.Option(help="The source of its events; once or more.")],
    topic: Annotated[list[TopicName], typer.Option(help="What it may write; once or more.")],
    per_minute: Annotated[
        int, typer.Option(min=MAX_EVENTS, help="How many events it may write.")
    ] = DEFAULT_PER_MINUTE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a token and print it, once: only its digest is kept."""
    if not NAME.fullmatch(name):
        raise typer.BadParameter(f"{name!r}: allowed is {NAME_FORM}", param_hint="NAME")
    for each in source:
        if not 1 <= len(each) <= MAX_SOURCE or each.startswith(OURS):
            allowed = f"1 to {MAX_SOURCE} characters, not beginning with {OURS}"
            raise typer.BadParameter(f"{each!r}: allowed is {allowed}", param_hint="--source")
    token = Token(name, tuple(source), tuple(map(str, topic)), per_minute)
    bearer = in_tokens(settings_here(data_dir), lambda all_: all_.create(token))
    if bearer is None:
        typer.echo(f"There is a token {name}: remove it first, or choose another name.", err=True)
        raise typer.Exit(EXIT_FAILED)
    typer.echo(bearer)


@tokens.command()
def remove(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Take a token away; nothing is taken from it any more."""
    if not in_tokens(settings_here(data_dir), lambda all_: all_.remove(name)):
        typer.echo(f"No token is called {name}.", err=True)
        raise typer.Exit(EXIT_FAILED)


def in_tokens(settings: Settings, do: Callable[[Tokens], Awaitable[T]]) -> T:
    """What something done with a system's tokens comes to; raises TransientError."""
    return in_redis(settings, lambda redis: do(Tokens(redis)))
