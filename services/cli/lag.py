"""`orderflow lag`: how far each service is with each partition, as Kafka knows it."""

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir
from services.cli.desk import AsJson, at_the_desk, echo_json, echo_table
from services.dashboard.web.app import SERVICES, Opened
from services.dashboard.web.parts import Progress


def lag(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Say how many records wait for each service, by partition.

    Services tell Kafka every few seconds how far they are, so what was decided just now may count.
    """

    async def look(found: Opened) -> dict[str, tuple[Progress, ...]]:
        return {name: await found.look.progress(name) for name in SERVICES}

    services = at_the_desk(data_dir, look, lists=False)
    if as_json:
        echo_json(
            {
                name: {"behind": sum(p.behind for p in parts), "partitions": _behind(parts)}
                for name, parts in services.items()
            }
        )
        return
    echo_table(
        ("service", "behind", "by partition"),
        (
            (
                name,
                sum(each.behind for each in parts) if parts else "never ran",
                " ".join(f"{p}:{n}" for p, n in _behind(parts).items() if n),
            )
            for name, parts in services.items()
        ),
    )
    if not any(services.values()):
        typer.echo("No service has told Kafka how far it is.", err=True)


def _behind(parts: tuple[Progress, ...]) -> dict[int, int]:
    return {each.partition: each.behind for each in parts}
