"""The sellers' stock in memory: what inventory's script answers to an order that runs its course.

Of `services/inventory/stock.lua` that is what is asked of the stock in a history without faults:
nothing comes twice and nothing comes back, so that no answer has to be remembered.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from services.inventory.decisions import Answer, Row
from shared.events.fields import MAX_STOCK
from shared.service import Question


class MemoryStock:
    """What every SKU of every seller has, and what every order holds.

    `on_hand` are the units at the beginning by seller and SKU; without it there is more of
    everything than any history can sell.
    """

    def __init__(self, on_hand: Mapping[tuple[str, str], int] | None = None) -> None:
        default = MAX_STOCK if on_hand is None else 0
        self._levels: defaultdict[tuple[str, str], tuple[int, int, int]] = defaultdict(
            lambda: (default, 0, 0)
        )
        self._levels.update({of: (units, 0, 1) for of, units in (on_hand or {}).items()})
        self._held: dict[str, dict[str, int]] = {}

    def answer(self, question: Question) -> Answer:
        """The answer to inventory's question; KeyError for one that no history asks."""
        operation, _, _, first, *rest = question.args
        seller = question.keys[0][len("{stock:") : -len("}:levels")]
        match operation:
            case "reserve":
                return self._reserve(seller, question.keys[1], _pairs(rest))
            case "release":
                return self._release(seller, question.keys[1], written_off=rest[0] == 1)
            case "ship":
                return self._ship(seller, question.keys[1], _pairs(rest))
        raise KeyError(f"{operation} {first}")

    def _reserve(self, seller: str, order: str, units: Mapping[str, int]) -> Answer:
        levels = self._levels
        lacking = [
            Row(sku, n, *levels[seller, sku], False, 0, 0)
            for sku, n in units.items()
            if levels[seller, sku][0] - levels[seller, sku][1] < n
        ]
        if lacking:
            return Answer("rejected", tuple(sorted(lacking)))
        self._held[order] = dict(units)
        return self._changed("reserved", seller, {sku: (n, 0, n) for sku, n in units.items()})

    def _release(self, seller: str, order: str, *, written_off: bool) -> Answer:
        held = self._held.pop(order, {})
        changes = {sku: (n, -n if written_off else 0, -n) for sku, n in held.items()}
        return self._changed("released", seller, changes)

    def _ship(self, seller: str, order: str, units: Mapping[str, int]) -> Answer:
        held = self._held[order]
        for sku, n in units.items():
            held[sku] -= n
        return self._changed("shipped", seller, {sku: (n, -n, -n) for sku, n in units.items()})

    def _changed(
        self, outcome: Any, seller: str, changes: Mapping[str, tuple[int, int, int]]
    ) -> Answer:
        """The rows of SKUs by their units and what changes on hand and of the reserved."""
        rows = []
        for sku, (units, on_hand, reserved) in changes.items():
            before = self._levels[seller, sku]
            after = (before[0] + on_hand, before[1] + reserved, before[2] + 1)
            self._levels[seller, sku] = after
            depleted = after[0] == after[1] and before[1] < before[0]
            rows.append(Row(sku, units, *after, depleted, on_hand, reserved))
        return Answer(outcome, tuple(sorted(rows)))


def _pairs(flat: Sequence[Any]) -> dict[str, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
