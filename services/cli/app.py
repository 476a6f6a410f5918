"""The `orderflow` command: runs the system here, and talks to one that runs anywhere.

Exit codes, of every command:

    0  done; for what runs until it is told to stop: it was told
    1  something failed while running: Kafka or Redis is away, a process died, books do not balance;
       of `reconcile`: Redis holds something else than the facts say; of `deadletters`: a letter
       is not there, or can not be handled so; of `orders`: an order is not there, or past that
    2  usage: a wrong command, option, argument or field; each is named
    3  refused to start: a wrong setting, a missing topic, no Redis; the message says what to do
    4  `run` only: the Kafka client is stuck, and only a new process helps

A command is a file of its own, listed below. It is imported when it is asked for, so that a
service's process does not carry the demo.
"""

import logging
import sys
from importlib import import_module
from typing import Any, NamedTuple

import structlog
import typer
from typer.core import TyperGroup
from typer.main import get_group

from services.cli.exit_codes import EXIT_FAILED, EXIT_REFUSED
from shared.errors import IF_AWAY, RefusedStart, TransientError

COMMANDS = {
    "demo": "services.cli.demo.command:demo",
    "up": "services.cli.up:up",
    "traffic": "services.cli.demo.trade:trade",
    "feed": "services.cli.feed.command:feed",
    "simulate": "services.cli.simulate:simulate",
    "whatif": "services.cli.whatif.command:whatif",
    "policy": "services.cli.policy.command:policy",
    "topics": "services.cli.topics:topics",
    "schemas": "services.cli.schemas:schemas",
    "orders": "services.cli.orders:orders",
    "stock": "services.cli.stock:stock",
    "deadlines": "services.cli.deadlines:deadlines",
    "deadletters": "services.cli.deadletters:deadletters",
    "report": "services.cli.report:report",
    "upload": "services.cli.upload:upload",
    "export": "services.cli.export:export",
    "run": "services.cli.run:run",
    "pages": "services.cli.pages:pages",
    "accounts": "services.cli.accounts:accounts",
    "health": "services.cli.health:health",
    "lag": "services.cli.lag:lag",
    "ingest": "services.cli.ingest:ingest",
    "tokens": "services.cli.tokens:tokens",
    "rebuild": "services.cli.rebuild:rebuild",
    "reconcile": "services.cli.reconcile:reconcile",
}
"""Where each command is: a function, or a typer app for one with commands of its own. The help
lists them in this order."""

_EPILOG = (
    "Exit codes: 0 done; 1 failed while running; 2 wrong usage or field; "
    "3 refused to start, the message says what to do; "
    "4 a service is stuck, start a new process."
)


class _Completion(NamedTuple):
    """What a shell is told of a name that it may complete to."""

    value: str
    type: str = "plain"
    help: str = ""


class _Commands(TyperGroup):
    """Finds a command's file by its name, and turns our errors into messages and exit codes."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Commands by their names alone: to say what each is for, all would be imported."""
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        return [_Completion(name) for name in names] or super().shell_complete(ctx, incomplete)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), name)
        commands = typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            commands.add_typer(found, name=cmd_name)
        else:
            commands.command(cmd_name)(found)
        command: Any = get_group(commands).commands[cmd_name]
        for each in (command, *getattr(command, "commands", {}).values()):
            each.short_help = _first_paragraph(each.help)
        return command

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RefusedStart as error:
            code, message = EXIT_REFUSED, str(error)
        except TransientError as error:
            code, message = EXIT_FAILED, f"{error}\n{IF_AWAY}"
        typer.echo(f"orderflow {ctx.invoked_subcommand}: {message}", err=True)
        raise typer.Exit(code)


def _first_paragraph(text: str) -> str:
    """What a command is for, whole: a list of commands would cut it off at the line's end."""
    return " ".join(text.partition("\n\n")[0].split())


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, buyers' addresses among them
    rich_markup_mode=None,
    epilog=_EPILOG,
)


@app.callback()
def _about() -> None:
    """Run the order worker on this machine, and talk to one that runs."""
    # What goes wrong reaches the user as a message; the libraries' own lines would only get into
    # views and JSON. `run` sets up the logs of a service.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main() -> None:
    """Run one command; ends the process with its exit code."""
    app()


if __name__ == "__main__":
    main()
