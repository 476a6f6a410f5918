"""The paper plan: what so many orders per second need, from what one order was measured to cost.

Arithmetic, no measurement: it takes costs per order to stay what they are with more machines;
docs/scale.md says why they should.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.settings import MAX_PARTITIONS

RATES_PER_S = (1_000, 100_000, 583_000)
"""The last is the highest rate of orders that anybody has published."""
BUSY = 0.6
"""The share of a core that is planned with; queues grow beyond."""
HOLD_S = 1_800
DAY_S = 86_400
COPIES = 3
"""Of each record in Kafka."""
LINK_BYTES_PER_S = 1.25e9
"""Of one machine's network: 10 Gbit/s."""
BROKER_CORES = 16
"""Of one machine for a broker."""
SERVICES = ("inventory", "payment", "fulfillment", "deadlines")


@dataclass(frozen=True)
class Costs:
    """Of one order: CPU in seconds, and bytes."""

    cpu_s: Mapping[str, float]
    kafka_written_bytes: float
    kafka_read_bytes: float
    redis_in_bytes: float
    held_bytes: float

    @classmethod
    def of(cls, benches: Mapping[str, Any]) -> "Costs":
        """From the figures of the benches `throughput` and `memory`."""
        throughput = benches["throughput"]
        cpu_us = throughput["cpu_us_per_order"]
        kafka = throughput["kafka_per_order"]
        return cls(
            cpu_s={name: cpu_us[name]["median"] / 1e6 for name in (*SERVICES, "kafka", "redis")},
            kafka_written_bytes=kafka["bytes_written"],
            kafka_read_bytes=kafka["bytes_read"],
            redis_in_bytes=throughput["redis_bytes_per_order"]["in"],
            held_bytes=benches["memory"]["rows"][-1]["redis_bytes_per_held_order"],
        )


def plan(costs: Costs, rate_per_s: float) -> dict[str, float]:
    """What a sustained rate needs, by name; bytes are named so."""
    workers = {name: _cores(costs.cpu_s[name], rate_per_s) for name in SERVICES}
    written = costs.kafka_written_bytes * rate_per_s
    held = costs.held_bytes * rate_per_s * HOLD_S
    return {
        **{f"workers of {name}, a core each": count for name, count in workers.items()},
        "cores of Kafka's brokers": _cores(costs.cpu_s["kafka"], rate_per_s) * COPIES,
        "Redis shards, a core each": _cores(costs.cpu_s["redis"], rate_per_s),
        "partitions of each topic": _power_of_two(max(workers.values())),
        "bytes written to Kafka a second": written,
        "bytes between brokers a second": written * (COPIES - 1),
        "bytes read from Kafka a second": costs.kafka_read_bytes * rate_per_s,
        "bytes on Kafka's disks a day": written * COPIES * DAY_S,
        "bytes to Redis a second": costs.redis_in_bytes * rate_per_s,
        "bytes of Redis for the orders in their hold": held,
        "bytes of Redis for a day's orders": costs.held_bytes * rate_per_s * DAY_S,
    }


def bounds(costs: Costs) -> list[tuple[str, float]]:
    """Up to which rate one of each goes, the first to be full first."""
    broker_bytes = costs.kafka_written_bytes * COPIES + costs.kafka_read_bytes
    found = {
        f"one worker of {name}": BUSY / costs.cpu_s[name] for name in SERVICES if costs.cpu_s[name]
    }
    found[f"one system of {MAX_PARTITIONS} partitions"] = MAX_PARTITIONS * min(found.values())
    found["one Redis for all services"] = BUSY / costs.cpu_s["redis"]
    found[f"one broker of {BROKER_CORES} cores"] = BROKER_CORES * BUSY / costs.cpu_s["kafka"]
    found["one broker's network"] = LINK_BYTES_PER_S * BUSY / broker_bytes
    return sorted(found.items(), key=lambda bound: bound[1])


def _cores(cpu_s: float, rate_per_s: float) -> int:
    return max(1, math.ceil(cpu_s * rate_per_s / BUSY))


def _power_of_two(workers: int) -> int:
    """Twice as many partitions as workers, so that these can be doubled; chosen once."""
    return 1 << (2 * workers - 1).bit_length()
