"""`orderflow up`: the whole system on this machine, until Ctrl-C."""

import time
from typing import Annotated

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir
from services.cli.exit_codes import EXIT_FAILED
from services.cli.system import EVERYTHING, System, system, until_signaled
from shared.settings import MAX_PARTITIONS

WATCH_S = 0.2
"""Between two looks at whether all processes run: at once, to a person's eye."""


def up(
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_PARTITIONS, help="Of every topic; by default PARTITIONS."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    wipe: Annotated[bool, typer.Option("--wipe", help="Forget what earlier runs stored.")] = False,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="No services: to rebuild and reconcile them.")
    ] = False,
) -> None:
    """Start Kafka, Redis and all services; Ctrl-C ends them together."""
    began_s = time.monotonic()
    services = () if servers_only else EVERYTHING
    starting = system(
        data_dir, services=services, partitions=partitions, wiped=wipe, say=typer.echo
    )
    with until_signaled(), starting as all_:
        for name in all_.health_ports:
            typer.echo(f"{name:<12} {all_.health_url(name)}   log {all_.processes[name].log}")
        if services:
            typer.echo(f"Dashboard: {all_.pages_url()}")
            typer.echo(f"Events by HTTP: {all_.events_url()} (orderflow tokens create --help)")
        typer.echo(f"Data of Kafka and Redis: {data_dir.resolve()}")
        typer.echo(f"Ready after {time.monotonic() - began_s:.1f} s. Ctrl-C ends all.")
        _watch(all_)
    typer.echo("Ended.")


def _watch(running: System) -> None:
    """Wait until a server or service has ended, which none should, and say how."""
    while not (ended := running.ended()):
        time.sleep(WATCH_S)
    for end in ended:
        typer.echo(f"orderflow up: {end}", err=True)
    raise typer.Exit(EXIT_FAILED)
