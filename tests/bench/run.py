"""Runs benches, and writes what they measured as JSON.

    python -m tests.bench.run [NAME ...] [--quick] [--out FILE]

Without names: all of them; with --quick those of QUICKLY, and small. Each has a new system of its
own, unless it is quick: then those that need the same one share it. FILE is written after each
bench; without it the JSON goes to stdout at the end. `python -m tests.bench.report FILE` makes the
documents of it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from services.cli.run import ORDER_SERVICES
from services.cli.system import until_signaled
from tests.bench import (
    deadlines,
    decisions,
    durability,
    floor,
    latency,
    memory,
    pages,
    recovery,
    scaling,
    throughput,
)
from tests.bench.bed import Bed, bed
from tests.bench.machine import this_machine
from tests.bench.sizes import FULL, QUICK, Sizes


class Bench(NamedTuple):
    """`measure` gets the system, sizes, and what benches before it found; `services` are those
    that run in it, none for a bench that needs no system.
    """

    measure: Callable[[Any, Sizes, dict[str, Any]], dict[str, Any]]
    services: tuple[str, ...] = ORDER_SERVICES


BENCHES = {
    "throughput": Bench(throughput.measure),
    "floor": Bench(floor.measure),
    "latency": Bench(latency.measure),
    "durability": Bench(durability.measure),
    "scaling": Bench(scaling.measure),
    "recovery": Bench(recovery.measure),
    "memory": Bench(memory.measure),
    "deadlines": Bench(deadlines.measure, deadlines.SERVICES),
    "decisions": Bench(decisions.measure, ()),
    "pages": Bench(pages.measure, ()),
}
QUICKLY = ("throughput", "floor", "latency", "deadlines")
"""What fits into a minute."""


def run(names: Sequence[str], *, quick: bool, out: Path | None) -> dict[str, Any]:
    """Run them in their order; what they measured, and on what."""
    sizes = QUICK if quick else FULL
    found: dict[str, Any] = {"quick": quick, "machine": this_machine(), "sizes": asdict(sizes)}
    found |= {"settings": {}, "benches": {}}
    shared: tuple[tuple[str, ...], Bed] | None = None
    with ExitStack() as running:
        for name in names:
            bench = BENCHES[name]
            if not (quick and shared and shared[0] == bench.services):
                running.close()
                shared = None
            of = shared[1] if shared else None
            if bench.services and of is None:
                of = running.enter_context(bed(bench.services))
                shared = (bench.services, of)
                found["settings"] = of.described()
            began_s = time.perf_counter()
            figures = bench.measure(of, sizes, found["benches"])
            took_s = round(time.perf_counter() - began_s, 1)
            found["benches"][name] = {"took_s": took_s, **figures}
            sys.stderr.write(f"{name}: {took_s} s\n")
            if out:
                out.write_text(json.dumps(found, indent=1) + "\n")
    return found


def main() -> None:
    """Read the command line, run, and print where nothing is to be written."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small, in about a minute")
    parser.add_argument("--out", type=Path, metavar="FILE")
    told = parser.parse_args()
    names = told.names or (QUICKLY if told.quick else tuple(BENCHES))
    with until_signaled():
        found = run(names, quick=told.quick, out=told.out)
        if not told.out:
            sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
