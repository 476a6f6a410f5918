"""The figures of a what-if, side by side: one row per figure, one value per policy."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.simulator.result import Result


@dataclass(frozen=True)
class Figures:
    """Rows of (figure, a value per policy); money in minor units, its currency in the figure."""

    orders: int
    policies: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: by policy, then by figure."""
        return {
            "orders": self.orders,
            "policies": [
                {"policy": name} | {figure: values[n] for figure, values in self.rows}
                for n, name in enumerate(self.policies)
            ],
        }


def figures(results: Sequence[Result]) -> Figures:
    """Lay the results of the same history side by side."""
    rows: list[tuple[str, Sequence[float]]] = [
        *_counted(results, outcomes, ""),
        ("orders late", [result.late_orders for result in results]),
        ("new delivery dates", [result.new_delivery_dates for result in results]),
        *_counted(results, notices, "notice "),
        ("unit-hours of stock held", [round(result.unit_hours, 1) for result in results]),
        *_counted(results, canceled_minor, "canceled "),
    ]
    orders = results[0].orders if results else 0
    return Figures(orders, [result.name for result in results], rows)


def outcomes(result: Result) -> Counter[str]:
    """Orders by outcome, whatever the file's own status was."""
    counts: Counter[str] = Counter()
    for (outcome, _), orders in result.outcomes.items():
        counts[outcome] += orders
    return counts


def notices(result: Result) -> Counter[str]:
    """Notices by recipient and kind."""
    return Counter({f"{to} {kind}": n for (to, kind), n in result.notices.items()})


def canceled_minor(result: Result) -> Counter[str]:
    """Revenue that was canceled, by reason."""
    return Counter(
        {
            f"{reason} ({currency}, minor units)": minor
            for (reason, currency), minor in result.canceled_minor.items()
        }
    )


def _counted(
    results: Sequence[Result], of: Callable[[Result], Counter[str]], prefix: str
) -> list[tuple[str, Sequence[float]]]:
    counts = [of(result) for result in results]
    names = sorted(set().union(*counts))
    return [(prefix + name, [count[name] for count in counts]) for name in names]
