"""Metrics for Prometheus: what a worker counts anyway, when it is scraped, and a few per batch.

Names and units go by Prometheus' conventions. Which service it is, the scraper knows: its job.
No label holds an id, of an order or of a partition.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Of durations: a batch is decided in some 10 ms, and an outage is waited out for minutes."""
RECORDS = (0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
"""Of batches: 0 is one of deadlines or answers alone, and a consumer hands out 500 at a time."""

_BATCH_S = Histogram(
    "orderflow_batch_duration_seconds",
    "From the records in hand to their commit, the acks of the batch before included.",
    buckets=SECONDS,
)
_BATCH_RECORDS = Histogram(
    "orderflow_batch_records", "Records that were decided together.", buckets=RECORDS
)
_AGE_S = Histogram(
    "orderflow_record_age_seconds",
    "Of the oldest record of each batch, from its timestamp in Kafka to its commit.",
    buckets=SECONDS,
)
_LAST_COMMIT = Gauge(
    "orderflow_last_commit_timestamp_seconds", "When this process committed last, wall time."
)
_LATENESS_S = Histogram(
    "orderflow_deadline_lateness_seconds",
    "Of the latest of those deadlines that were announced together.",
    buckets=SECONDS,
)
_DEAD_LETTERS = Counter(
    "orderflow_dead_letters", "Records that were kept as dead letters, by reason.", ["reason"]
)

_COUNTED = {
    "records": ("records", "Records that were read and decided, those that are skipped included."),
    "facts": ("facts", "Facts that were committed."),
    "commits": ("commits", "Batches that were committed."),
    "refused": ("commits_refused", "Commits that Redis refused: another had the partition."),
    "redelivered": ("records_redelivered", "Records that came again below the position."),
    "repeats": ("events_repeated", "Events that came again under their id, or were passed."),
    "parked": ("events_parked", "Events that came before what they are about, and wait."),
    "rerouted": ("records_rerouted", "Records that were sent on to the partition of their key."),
    "failed": ("decisions_failed", "Events whose decision raised: a bug."),
    "folded": ("facts_folded", "Facts of the journal that an opening had to fold into Redis."),
}
"""What the tasks count (`PartitionTask.counts`), and its name and meaning as a metric."""


class Measured(Protocol):
    """What is asked of a worker when it is scraped."""

    def totals(self) -> Mapping[str, int]: ...

    def unpublished(self) -> int: ...

    async def lag(self) -> Mapping[str, int]: ...


class Seen(NamedTuple):
    """What health has seen: whether the worker is ready, and the states of its partitions."""

    ready: bool
    partitions: Mapping[int, str]


def note_commit(records: int, took_s: float, age_ms: int | None) -> None:
    """Note that a batch was committed: its size, how long it took, and how old its first record is
    (None of a batch without records).
    """
    _BATCH_RECORDS.observe(records)
    _BATCH_S.observe(took_s)
    _LAST_COMMIT.set_to_current_time()
    if age_ms is not None:
        _AGE_S.observe(age_ms / 1000)


def note_dead_letter(reason: str) -> None:
    """Note that a record was kept as a dead letter."""
    _DEAD_LETTERS.labels(reason).inc()


def note_lateness(latest_ms: int) -> None:
    """Note how late the latest of some deadlines was, that were announced together."""
    _LATENESS_S.observe(latest_ms / 1000)


async def exposition(worker: Measured, seen: Seen) -> bytes:
    """All metrics of this process, in Prometheus' text format."""
    families = _Families([*_counters(worker.totals()), *_gauges(worker, seen, await worker.lag())])
    return generate_latest(REGISTRY) + generate_latest(families)


class _Families(Collector):
    """Stands for a registry: these are of one worker, and there may be several in a process."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _counters(totals: Mapping[str, int]) -> Iterator[Metric]:
    for count, (name, meaning) in _COUNTED.items():
        yield CounterMetricFamily(f"orderflow_{name}", meaning, value=totals.get(count, 0))


def _gauges(worker: Measured, seen: Seen, lag: Mapping[str, int]) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "orderflow_ready", "Whether partitions are held and open, and Redis answers.", seen.ready
    )
    yield GaugeMetricFamily(
        "orderflow_outbox_facts", "Committed, and not yet acked by Kafka.", worker.unpublished()
    )
    states = [*seen.partitions.values()]
    partitions = GaugeMetricFamily(
        "orderflow_partitions", "Partitions that this process holds.", labels=["state"]
    )
    for state in ("open", "opening"):
        partitions.add_metric([state], states.count(state))
    yield partitions
    waiting = GaugeMetricFamily(
        "orderflow_lag_records", "Records in Kafka that are not decided yet.", labels=["topic"]
    )
    for topic, records in lag.items():
        waiting.add_metric([topic], records)
    yield waiting
