"""`orderflow accounts`: who may sign in to the dashboard."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, in_redis, settings_here
from services.cli.exit_codes import EXIT_FAILED
from services.dashboard.accounts import NAME, NAME_FORM, Accounts, Role
from services.dashboard.web.access import way_in
from shared.settings import Settings

accounts = typer.Typer(help="Say who may sign in to the dashboard.", no_args_is_help=True)

T = TypeVar("T")
Name = Annotated[str, typer.Argument(help="Of the person.", show_default=False)]


@accounts.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List who can sign in, and as what."""
    for who in in_accounts(settings_here(data_dir), Accounts.every):
        typer.echo(f"{who.name:<40} {who.role}")


@accounts.command()
def invite(
    name: Name,
    role: Annotated[Role, typer.Option(help="A viewer reads; an operator acts, too.")] = "viewer",
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Print the path of a one-time link, by which a person chooses a password; good for a day.

    Who has an account keeps it until the link is used; then it is the new one.
    """
    if not NAME.fullmatch(name):
        raise typer.BadParameter(f"{name!r}: allowed is {NAME_FORM}", param_hint="NAME")
    token = in_accounts(settings_here(data_dir), lambda all_: all_.invite(name, role))
    typer.echo(way_in(token))


@accounts.command()
def remove(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Take an account away; whoever is signed in with it is signed out."""
    if not in_accounts(settings_here(data_dir), lambda all_: all_.remove(name)):
        typer.echo(f"Nobody is called {name}.", err=True)
        raise typer.Exit(EXIT_FAILED)


def in_accounts(settings: Settings, do: Callable[[Accounts], Awaitable[T]]) -> T:
    """What something done with a system's accounts comes to; raises TransientError."""
    return in_redis(settings, lambda redis: do(Accounts(redis)))
