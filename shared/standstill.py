"""Which partitions are stuck, by looks at them: pure, `shared/worker.py` does the looking."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple


class Seen(NamedTuple):
    """How far a partition is at a look: what it has committed, and what was read since when by the
    opening that is under way.
    """

    committed: int = 0
    opening: int = 0
    read: int = 0


class Standstill:
    """Counts, by partition, the looks at which it stood still although its records waited.

    A commit ends its count, as does a look at which nothing waits. A look at which its opening
    reads on is not counted, and ends nothing: a long journal is waited for, and an opening that
    fails again and again is found by the looks between its tries, however much each of them reads.
    Where Kafka or Redis does not answer, one look is taken off: an outage as long as what was
    counted leaves nothing of it, and a single failed look not much less than before.
    """

    def __init__(self) -> None:
        self.looks: Counter[int] = Counter()
        self._last: Mapping[int, Seen] = {}
        self._committed: Mapping[int, int] = {}

    def still(self, seen: Mapping[int, Seen]) -> set[int]:
        """Of the partitions that are held, those that did not go on since the last look."""
        before, known = self._last, self._committed
        self._last = seen
        self._committed = {p: max(now.committed, known.get(p, 0)) for p, now in seen.items()}
        decided = {p for p in seen if self._committed[p] > known.get(p, 0)}
        self.looks = Counter({p: n for p, n in self.looks.items() if p in seen.keys() - decided})
        return {p for p in seen.keys() - decided if not _reads_on(before.get(p), seen[p])}

    def note(self, waiting: Mapping[int, bool | None]) -> None:
        """Count those that stand still, by whether their records wait: None where that can not be
        found out.
        """
        for partition, waits in waiting.items():
            if waits is None:
                self.looks[partition] = max(0, self.looks[partition] - 1)
            else:
                self.looks[partition] = self.looks[partition] + 1 if waits else 0


def _reads_on(before: Seen | None, now: Seen) -> bool:
    return before is not None and now.opening == before.opening and now.read > before.read
