"""Makes documents of what was measured: `python -m tests.bench.report FILE.json`.

docs/performance.md and docs/scale.md have their tables between markers, and README a short one,
which is of a whole run only: a quick one says too little. The rest of the files is written by hand.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.plan import RATES_PER_S, Costs, bounds, plan

ROOT = Path(__file__).resolve().parents[2]
Figures = Mapping[str, Any]
Rows = Sequence[Sequence[str]]


def table(head: Sequence[str], rows: Rows) -> str:
    """A Markdown table; the first column is words, the others are figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def shown(value: float) -> str:
    """A number with three digits that count, or all of its whole ones."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def with_spread(figure: Figures) -> str:
    """A median with the least and the most of its runs."""
    return f"{shown(figure['median'])} ({shown(figure['min'])} – {shown(figure['max'])})"


def between(text: str, name: str, new: str) -> str:
    """The text with what is between the markers of this name replaced; ValueError without them."""
    begin, end = f"<!-- {name}: begin", f"<!-- {name}: end -->"
    at = text.index("-->\n", text.index(begin)) + len("-->\n")
    return text[:at] + new + "\n" + text[text.index(end) :]


# -- the parts of docs/performance.md, by the name of their bench ---------------------------------


def _throughput(of: Figures) -> Iterator[str]:
    records = of["books"]["records"]
    yield f"{shown(of['orders'])} orders a run; the books balanced, over {records:,} records."
    cpu, share, rss = of["cpu_us_per_order"], of["cpu_share"], of["rss_mb"]
    rows = [["orders per second", with_spread(of["orders_per_s"]), "", ""]]
    rows += [
        [f"CPU of {name}, µs per order", with_spread(cpu[name]), f"{each:.0%}", f"{rss[name]} MB"]
        for name, each in share.items()
    ]
    rows.append(["CPU of all, µs per order", with_spread(cpu["all"]), "", ""])
    yield table(["", "median (min – max)", "share", "memory"], rows)
    kafka, redis = of["kafka_per_order"], of["redis_bytes_per_order"]
    yield (
        f"An order is {kafka['records_written']} records, {kafka['bytes_written']:,} bytes, written"
        f" to Kafka; the services read {kafka['records_read']}, {kafka['bytes_read']:,} bytes;"
        f" {redis['in']:,} bytes go to Redis, {redis['out']:,} come back."
    )


def _floor(of: Figures) -> Iterator[str]:
    rows = [
        ["orders per second", with_spread(of["orders_per_s"])],
        ["CPU of the four forwarders, µs per order", with_spread(of["cpu_us_per_order"])],
    ]
    if "our_share" in of:
        rows.append(["Orderflow's rate, of this", f"{of['our_share']:.0%}"])
    yield table(["", "median (min – max)"], rows)


def _latency(of: Figures) -> Iterator[str]:
    rows = [
        [f"{at['share']:.0%}: {shown(at['orders_per_s'])} /s", name, *map(with_spread, ms.values())]
        for at in of["at"]
        for name, ms in at["ms"].items()
    ]
    yield f"Of {shown(of['rate'])} orders per second; {shown(of['seconds'])} s a run; in ms."
    yield table(["load", "", "p50", "p99", "p99.9", "max"], rows)


def _deadlines(of: Figures) -> Iterator[str]:
    pending = shown(of["pending"])
    steady, once = of["steady"], of["same_second"]
    names = {
        f"{shown(steady['due_per_s'])} due per second, {steady['seconds']} s long": steady,
        f"{shown(once['due'])} due in one second": once,
    }
    rows = [
        [name, *map(with_spread, late["late_ms"].values()), shown(late["earliest_ms"])]
        for name, late in names.items()
    ]
    yield f"Beside {pending} pending ones, armed at {of['armed_per_s']:,} a second; in ms."
    yield table(["late by", "p50", "p99", "p99.9", "max", "least of all"], rows)


def _memory(of: Figures) -> Iterator[str]:
    rows = [
        [
            shown(row["live"]) + ", most of them copies" * row["copied"],
            shown(row["redis_bytes_per_held_order"]),
            *(str(row["rss_mb"][name]) for name in row["rss_mb"]),
            with_spread(row["orders_per_s"]),
            with_spread(row["cpu_us_per_order"]),
            f"{row['redis_restart']['served_s']} + {row['redis_restart']['then_delivered_s']}",
        ]
        for row in of["rows"]
    ]
    rss = [f"{name}, MB" for name in of["rows"][0]["rss_mb"]]
    head = ["held orders", "Redis, bytes per order", *rss, "orders per second"]
    yield table(
        [*head, "CPU, µs per order", "Redis killed: it serves + an order is delivered, s"], rows
    )


def _scaling(of: Figures) -> Iterator[str]:
    rows = [
        [
            str(row["workers"]),
            with_spread(row["orders_per_s"]),
            with_spread(row["cpu_us_per_order"]["all"]),
        ]
        for row in of["rows"]
    ]
    yield table(["workers of each service", "orders per second", "CPU, µs per order"], rows)


def _recovery(of: Figures) -> Iterator[str]:
    names = {
        "noticed_s": "until Kafka has given its partitions to the other",
        "then_first_fact_s": "from then until the first fact of them",
        "all_s": "together",
    }
    yield table(
        ["s", "median (min – max)"], [[said, with_spread(of[n])] for n, said in names.items()]
    )


def _durability(of: Figures) -> Iterator[str]:
    rows = [
        [
            f"`{setting}`",
            with_spread(of[setting]["orders_per_s"]),
            with_spread(of[setting]["cpu_us_per_order"]["all"]),
        ]
        for setting in ("everysec", "always")
    ]
    yield table(["appendfsync", "orders per second", "CPU, µs per order"], rows)


def _decisions(of: Figures) -> Iterator[str]:
    rows = [["decisions per second, simulator and all", shown(of["decisions_per_s"])]]
    rows += [
        [f"{name}, µs each", shown(us)] for name, us in of["us_per_decision_of_service"].items()
    ]
    yield table(["", "the quickest of several runs"], rows)


def _pages(of: Figures) -> Iterator[str]:
    watched = of["core_share"]
    rows = [
        [name, *(shown(of[kind][name][q]) for kind in ("ms", "cpu_ms") for q in ("p50", "p99"))]
        for name in of["ms"]
    ]
    yield f"Of {shown(of['orders'])} orders, some of which change between two pages; in ms."
    yield table(["page", "p50", "p99", "CPU p50", "CPU p99"], rows)
    shares = [[who, *(f"{share:.1%}" for share in each.values())] for who, each in watched.items()]
    yield table(["of a core", "Redis", "pages"], shares)


PARTS = {
    "throughput": ("Throughput: the whole life", _throughput),
    "floor": ("The floor: bare consume and produce", _floor),
    "latency": ("Latency", _latency),
    "deadlines": ("Deadlines", _deadlines),
    "memory": ("Memory, flatness, and Redis killed", _memory),
    "scaling": ("Workers", _scaling),
    "recovery": ("A worker killed", _recovery),
    "durability": ("Durability's price", _durability),
    "decisions": ("Decisions alone, one core", _decisions),
    "pages": ("The dashboard's pages, on the server", _pages),
}


def performance(found: Figures) -> str:
    """The tables of all benches that ran, under what they ran on."""
    machine, settings, benches = found["machine"], found["settings"], found["benches"]
    lines = []
    if found["quick"]:
        lines.append(
            "**Small sizes (`--quick`), seconds on a busy machine: it shows the form, and its"
            " figures are no claim.**"
        )
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines.append(
        f"{machine['at']}, commit `{machine['commit']}`, {machine['cores']} cores of"
        f" {machine['cpu']}, {machine['memory_gb']} GB, load {machine['load_before']} before;"
        f" {machine['system']}, Python {machine['python']}; {packages}."
    )
    if settings:
        kafka, redis = settings["kafka"], settings["redis"]
        broker = ", ".join(f"{name}={value}" for name, value in kafka["server.properties"].items())
        said = ", ".join(f"{name} {value!r}" for name, value in redis.items() if name != "version")
        lines += [
            f"{kafka['version']}, {kafka['java']}, `{' '.join(kafka['jvm'])}`; {broker}.",
            f"{redis['version']}, {said}. {settings['partitions']} partitions.",
        ]
    for name, (title, part) in PARTS.items():
        if of := benches.get(name):
            lines += [f"## {title}", *part(of), f"`{name}` took {of['took_s']} s."]
    return "\n\n".join(["", *lines, ""])


def short(found: Figures) -> str:
    """README's table."""
    of, machine, rows = found["benches"], found["machine"], []
    if throughput := of.get("throughput"):
        rows.append(["orders per second, the whole life", with_spread(throughput["orders_per_s"])])
    if share := of.get("floor", {}).get("our_share"):
        rows.append(["of what bare consume and produce reach", f"{share:.0%}"])
    for at in of.get("latency", {}).get("at", ()):
        if at["share"] == 0.5:
            hops = [ms["p99"]["median"] for hop, ms in at["ms"].items() if " " not in hop]
            rows.append(["p99 of the slowest hop at half of that load, ms", shown(max(hops))])
    if deadlines := of.get("deadlines"):
        pending = f"deadlines' lateness, p99, beside {shown(deadlines['pending'])} pending, ms"
        rows.append([pending, with_spread(deadlines["steady"]["late_ms"]["p99"])])
    if memory := of.get("memory"):
        rows.append(
            [
                "Redis' memory per held order, bytes",
                shown(memory["rows"][-1]["redis_bytes_per_held_order"]),
            ]
        )
    if recovery := of.get("recovery"):
        rows.append(
            ["a worker killed, until its successor's first fact, s", with_spread(recovery["all_s"])]
        )
    where = f"{machine['cores']} cores of {machine['cpu']}, commit `{machine['commit']}`"
    return table(["everything on one machine", where], rows)


# -- docs/scale.md --------------------------------------------------------------------------------


def scale(found: Figures) -> str:
    """The plan's table, and the bounds that are met first."""
    costs = Costs.of(found["benches"])
    plans = [plan(costs, rate) for rate in RATES_PER_S]
    rows = [[name, *(_sized(name, each[name]) for each in plans)] for name in plans[0]]
    head = ["orders per second", *(f"{rate:,}" for rate in RATES_PER_S)]
    first = [[name, f"{shown(rate)} /s"] for name, rate in bounds(costs)]
    marked = "**Computed from a quick run on a busy machine: no claim.**\n\n" * found["quick"]
    return f"{marked}{table(head, rows)}\n\n{table(['what is full, the first first', 'at'], first)}"


def _sized(name: str, value: float) -> str:
    if "bytes" not in name:
        return shown(value)
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} EB"


def main() -> None:
    """Write the documents."""
    found = json.loads(Path(sys.argv[1]).read_text())
    documents = {"docs/performance.md": performance}
    if {"throughput", "memory"} <= found["benches"].keys():
        documents["docs/scale.md"] = scale
    if not found["quick"]:
        documents["README.md"] = short
    for name, part in documents.items():
        path = ROOT / name
        path.write_text(between(path.read_text(), "bench", part(found)))
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
