"""`orderflow deadlines`: what is due next, and what is overdue."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir
from services.cli.desk import AsJson, at_the_desk, echo_json, echo_table
from services.dashboard.web.app import Opened
from services.dashboard.web.deadlines import open_
from services.dashboard.web.order import DEADLINE_NAMES
from services.dashboard.web.show import instant_exactly, until


def deadlines(
    kind: Annotated[str, typer.Option(help=", ".join(DEADLINE_NAMES))] = "",
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the open deadlines of orders, the next 50, in business time."""
    if kind and kind not in DEADLINE_NAMES:
        raise typer.BadParameter(f"--kind: has to be one of {', '.join(DEADLINE_NAMES)}.")

    async def look(found: Opened) -> tuple[int, Sequence[Any]]:
        return found.clock.now_ms(), open_(found.parts.index, kind, 0, 2**62)

    now_ms, rows = at_the_desk(data_dir, look)
    if as_json:
        echo_json(
            [
                {"due": instant_exactly(row["due_ms"]), "in_ms": row["due_ms"] - now_ms}
                | {name: row[name] for name in ("kind", "waits_by", "order_id")}
                for row in rows
            ]
        )
        return
    echo_table(
        ("due", "", "what then", "order", "who waits"),
        (
            (
                instant_exactly(row["due_ms"]),
                until(row["due_ms"], now_ms),
                DEADLINE_NAMES.get(row["kind"], row["kind"]),
                row["order_id"],
                row["waits_by"],
            )
            for row in rows
        ),
    )
