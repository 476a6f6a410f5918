"""What a replay came to: outcomes and reasons, beside what the file says became of the orders."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from services.cli.feed.facts import Facts
from services.cli.observer import books_table
from services.cli.system import System
from services.simulator.history import BadRow, PastOrder
from shared.books.result import Books


@dataclass(frozen=True)
class Summary:
    """The end of a replay.

    `outcomes` counts orders by our outcome (`Shipped`, `Canceled: payment_timeout` …) and the
    file's own final status; `memory_mb` is what each service holds.
    """

    orders: int
    bad_rows: Sequence[BadRow]
    outcomes: Mapping[tuple[str, str], int]
    late_orders: int
    late_notices: int
    delivered: int
    memory_mb: Mapping[str, int]
    books: Books

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        by_outcome: Counter[str] = Counter()
        for (outcome, _), count in self.outcomes.items():
            by_outcome[outcome] += count
        return {
            "orders": self.orders,
            "bad_rows": [{"line": row.line, "reason": row.reason} for row in self.bad_rows],
            "outcomes": dict(by_outcome),
            "outcomes_by_file_status": [
                {"outcome": outcome, "file_status": status, "orders": count}
                for (outcome, status), count in sorted(self.outcomes.items())
            ],
            "late_orders": self.late_orders,
            "late_notices": self.late_notices,
            "delivered": self.delivered,
            "memory_mb": dict(self.memory_mb),
            "books": self.books.as_dict(),
        }


def summarize(
    history: Sequence[PastOrder],
    bad: Sequence[BadRow],
    facts: Facts,
    books: Books,
    running: System,
) -> Summary:
    """Count what became of every order."""
    ends = [(facts.outcome(order.order_id), order.status) for order in history]
    return Summary(
        orders=len(history),
        bad_rows=bad,
        outcomes=Counter((end.label, status) for end, status in ends),
        late_orders=sum(end.late_notices > 0 for end, _ in ends),
        late_notices=sum(end.late_notices for end, _ in ends),
        delivered=sum(end.delivered for end, _ in ends),
        memory_mb={name: _memory_mb(running, name) for name in running.health_ports},
        books=books,
    )


def tables(summary: Summary) -> list[RenderableType]:
    """The summary for people: outcomes against the file's status, and the books."""
    statuses = sorted({status for _, status in summary.outcomes})
    outcomes = sorted({outcome for outcome, _ in summary.outcomes})
    table = Table(title=f"{summary.orders} orders: our outcome, and the file's final status")
    table.add_column("outcome")
    for status in ("orders", *statuses):
        table.add_column(status, justify="right")
    for outcome in outcomes:
        counts = [summary.outcomes.get((outcome, status), 0) for status in statuses]
        table.add_row(outcome, str(sum(counts)), *(str(n) if n else "" for n in counts))
    memory = ", ".join(f"{name} {mb} MB" for name, mb in summary.memory_mb.items())
    notes = (
        f"{summary.late_orders} orders were late, with {summary.late_notices} new delivery dates;"
        f" {summary.delivered} were delivered. {len(summary.bad_rows)} bad rows."
        f" Memory: {memory}."
    )
    return [table, notes, books_table(summary.books)]


def _memory_mb(running: System, service: str) -> int:
    """Resident memory of a service's process, in MB; 0 where the machine does not tell."""
    status = Path(f"/proc/{running.processes[service].pid}/status")
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), 0)
