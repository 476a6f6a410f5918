"""`orderflow simulate`: whole marketplaces in virtual time, with faults, from seeds."""

import json
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.exit_codes import EXIT_FAILED
from services.simulator.fate import ANY_FAULT, FAULTS, Allowed
from services.simulator.run import Outcome, Plan, run
from services.simulator.shrink import shrink

MAX_FAILURES_SHOWN = 5
"""Seeds that are named beside the one that is told; a defect fails many, and is mended once."""
NONE = "-"
KIND_OF = {kind.replace(" ", "-"): kind for kind in FAULTS}
"""A kind of fault by its name in a command."""
KINDS = f"Kinds: {', '.join(KIND_OF)}"
CHUNK = 4
"""Seeds handed to a process at a time."""

_console = Console(stderr=True)


@dataclass
class Tally:
    """What all runs together came to."""

    runs: int = 0
    records: int = 0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.records += outcome.records
        self.steps += outcome.steps
        self.faults.update(fault.kind for fault in outcome.faults)
        self.calls.update(outcome.calls)
        if outcome.violations:
            self.failures.append(outcome)


def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many runs.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    orders: Annotated[str, typer.Option(help="Only these orders, e.g. 0,2; - is none.")] = "",
    faults: Annotated[
        str, typer.Option(help=f"Only faults of these kinds or numbers; - is none. {KINDS}.")
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Run whole marketplaces in virtual time, with crashes, losses and outages drawn from seeds.

    After each run the books; a seed is the same run every time. The exit code is 0 only if all
    promises hold; of the first run that fails the shortest story is told.
    """
    plans = [plan_of(n, orders, faults) for n in range(seed, seed + seeds)]
    began_s, tally = time.monotonic(), Tally()
    for outcome in _shown(_outcomes(plans, jobs), len(plans)):
        tally.add(outcome)
    took_s = time.monotonic() - began_s
    story = _shortest(tally.failures[0]) if tally.failures else None
    if as_json:
        typer.echo(json.dumps(_as_dict(tally, took_s, story), indent=2))
    else:
        _tell(tally, took_s, story)
    if tally.failures:
        raise typer.Exit(EXIT_FAILED)


def command_of(outcome: Outcome) -> str:
    """What repeats a run."""
    plan = outcome.plan
    words = ["orderflow", "simulate", "--seed", str(plan.seed)]
    if plan.orders is not None:
        words += ["--orders", ",".join(map(str, plan.orders)) or NONE]
    if plan.allowed != ANY_FAULT:
        words += ["--faults", _faults_of(plan.allowed)]
    return shlex.join(words)


def _shortest(failed: Outcome) -> Outcome:
    """What was named down to its orders or faults is told as it is."""
    plan = failed.plan
    whole = plan.orders is None and plan.allowed.numbers is None
    return shrink(failed) if whole else failed


def _faults_of(allowed: Allowed) -> str:
    """Kinds and numbers as `_allowed` reads them."""
    names = {kind: name for name, kind in KIND_OF.items()}
    kinds = (
        [] if set(allowed.kinds) == set(ANY_FAULT.kinds) else map(names.__getitem__, allowed.kinds)
    )
    return ",".join([*kinds, *map(str, allowed.numbers or ())]) or NONE


def plan_of(seed: int, orders: str, faults: str) -> Plan:
    """The run that the options of a command name."""
    chosen = _numbers(_parts(orders), "--orders") if orders else None
    return Plan(seed, chosen, _allowed(faults) if faults else ANY_FAULT)


def _allowed(faults: str) -> Allowed:
    """The faults of some kinds, of some numbers, or of both; of no kind named, all usual ones."""
    parts = _parts(faults)
    kinds = tuple(KIND_OF[part] for part in parts if part in KIND_OF)
    numbers = _numbers([part for part in parts if part not in KIND_OF], "--faults", KINDS)
    return Allowed(kinds or ANY_FAULT.kinds, numbers if numbers or not kinds else None)


def _parts(text: str) -> Sequence[str]:
    return [] if text == NONE else [part.strip() for part in text.split(",")]


def _numbers(parts: Sequence[str], option: str, also: str = "") -> Sequence[int]:
    if not all(part.isdecimal() for part in parts):
        allowed = f"numbers, separated by commas. {also}".strip()
        raise typer.BadParameter(allowed, param_hint=option)
    return tuple(int(part) for part in parts)


def _outcomes(plans: Sequence[Plan], jobs: int) -> Iterator[Outcome]:
    if jobs == 1 or len(plans) == 1:
        yield from map(run, plans)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from pool.map(run, plans, chunksize=CHUNK)


def _shown(outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]}"))
    with Progress(*columns, TimeElapsedColumn(), console=_console, transient=True) as bar:
        task, failed = bar.add_task("", total=total, failed=""), 0
        for outcome in outcomes:
            failed += bool(outcome.violations)
            bar.update(task, advance=1, failed=f"{failed} failed" if failed else "")
            yield outcome


def _as_dict(tally: Tally, took_s: float, story: Outcome | None) -> dict[str, Any]:
    return {
        "runs": tally.runs,
        "records": tally.records,
        "steps": tally.steps,
        "faults": dict(sorted(tally.faults.items())),
        "calls": dict(sorted(tally.calls.items())),
        "runs_per_s": round(tally.runs / took_s, 2),
        "records_per_s": round(tally.records / took_s),
        "failed": [
            {"seed": failure.plan.seed, "violations": failure.violations}
            for failure in tally.failures
        ],
        "shortest": story and {**asdict(story), "command": command_of(story)},
    }


def _tell(tally: Tally, took_s: float, story: Outcome | None) -> None:
    if story is not None:
        for line in (*story.story, "", *story.violations):
            typer.echo(line)
        typer.echo(f"\n{command_of(story)}\n")
    for failure in tally.failures[:MAX_FAILURES_SHOWN]:
        typer.echo(f"seed {failure.plan.seed}: {failure.violations[0]}")
    for what, counts in (("faults", tally.faults), ("calls", tally.calls)):
        listed = ", ".join(f"{kind} {n:,}" for kind, n in sorted(counts.items()))
        typer.echo(f"{what}: {listed or 'none'}")
    typer.echo(
        f"{tally.runs:,} runs, {tally.records:,} records, {tally.runs / took_s:.1f} runs and"
        f" {tally.records / took_s:,.0f} records a second; {len(tally.failures)} failed"
    )
