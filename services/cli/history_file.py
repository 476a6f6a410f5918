"""A marketplace's order history as a command's argument: read, and told what of it is no order."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from services.simulator.history import BadRow, Mapped, PastOrder, read_history
from shared.errors import SettingError

OLIST = Path(__file__).parent / "feed" / "olist.yaml"
"""How the public Olist data set is read."""
MAX_BAD_ROWS_SHOWN = 20
"""On the terminal, a page of them: more have the same cause as a rule."""


def read_orders(
    file: Path, mapped: Mapped, console: Console
) -> tuple[Sequence[PastOrder], Sequence[BadRow]]:
    """The orders of a file, and its other rows, of which the console is told.

    SettingError where it has no order.
    """
    rows = list(read_history(file, mapped))
    bad = [row for row in rows if isinstance(row, BadRow)]
    history = [row for row in rows if isinstance(row, PastOrder)]
    for row in bad[:MAX_BAD_ROWS_SHOWN]:
        console.print(f"{file}:{row.line}: {row.reason}", markup=False, soft_wrap=True)
    console.print(f"{file}: {len(history)} orders, {len(bad)} bad rows")
    if not history:
        raise SettingError(str(file), "without an order", "a row per order below the columns")
    return history, bad
