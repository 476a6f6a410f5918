"""A what-if as one page: its figures as a table and three plots, with nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from services.cli.whatif.figures import Figures, notices, outcomes
from services.simulator.result import Result

COLORS = ("#3b6fd4", "#d9822b", "#2e9e6b", "#a855c7", "#c2410c", "#0891b2")
"""By policy, in turn; readable on a light and on a dark ground."""
WIDTH, BAR, GAP, LABEL, VALUE = 420, 14, 10, 16, 60
"""Of a plot, in its own units: the page scales it to its width. Names stand above their bars, so
that a phone has room for both."""
PLOT_HEIGHT, POINTS = 180, 210
"""Of the line plot; more points than pixels show nothing more."""

_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--soft:#68707c;--line:#d9dde3}
@media(prefers-color-scheme:dark){
:root{--ground:#14171c;--text:#e6e9ee;--soft:#98a2b0;--line:#333a44}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}
p{color:var(--soft);margin:.2rem 0}
.key span{display:inline-block;margin-right:1.2rem;color:var(--text)}
.key i{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;margin-right:.4rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child,td:first-child{text-align:left;padding-left:0}
svg{width:100%;max-width:40rem;height:auto;display:block;overflow:visible}
svg text{fill:var(--text);font:11px system-ui,sans-serif}svg .soft{fill:var(--soft)}
svg line{stroke:var(--line)}
th{overflow-wrap:anywhere}
@media(max-width:34rem){svg text{font-size:13px}th,td{padding:.3rem .35rem;font-size:.85rem}}
"""


def page(file: str, found: Figures, results: Sequence[Result]) -> str:
    """The whole page, as HTML."""
    parts = [
        f"<h1>What if</h1><p>{escape(file)}: {found.orders:,} orders, under each policy</p>",
        _key(found.policies),
        "<h2>Canceled orders by reason</h2>",
        _bars([_canceled(result) for result in results]),
        "<h2>Notices</h2>",
        _bars([notices(result) for result in results]),
        "<h2>Units of stock held for orders</h2>",
        _lines([result.held for result in results]),
        "<h2>All figures</h2>",
        _table(found),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>What if: {escape(file)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _color(nth: int) -> str:
    return COLORS[nth % len(COLORS)]


def _canceled(result: Result) -> Mapping[str, int]:
    prefix = "Canceled: "
    return {
        label.removeprefix(prefix): orders
        for label, orders in outcomes(result).items()
        if label.startswith(prefix)
    }


def _key(policies: Sequence[str]) -> str:
    entries = (
        f'<span><i style="background:{_color(n)}"></i>{escape(name)}</span>'
        for n, name in enumerate(policies)
    )
    return f'<p class="key">{"".join(entries)}</p>'


def _bars(counts: Sequence[Mapping[str, int]]) -> str:
    """A group of bars per name, a bar per policy."""
    names = sorted(set().union(*counts))
    if not names:
        return "<p>None.</p>"
    most = max(max(count.values(), default=0) for count in counts) or 1
    shapes, y = [], 0
    for name in names:
        words = name.replace("_", " ").removeprefix("BUYER ").replace("SELLER ", "seller: ")
        shapes.append(f'<text x="0" y="{y + 11}">{escape(words)}</text>')
        y += LABEL
        for n, count in enumerate(counts):
            value = count.get(name, 0)
            long = round((WIDTH - VALUE) * value / most, 1)
            shapes.append(
                f'<rect x="0" y="{y}" width="{max(long, 1)}" height="{BAR - 2}"'
                f' rx="2" fill="{_color(n)}"/>'
                f'<text x="{long + 6}" y="{y + 10}">{value:,}</text>'
            )
            y += BAR
        y += GAP
    return _svg(y, shapes)


def _lines(series: Sequence[Sequence[tuple[datetime, int]]]) -> str:
    """A line per policy over the time of the history."""
    points = [point for line in series for point in line]
    if not points:
        return "<p>None.</p>"
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    span = (last - first).total_seconds() or 1
    most = max(units for _, units in points) or 1
    shapes = [
        f'<line x1="0" y1="{y}" x2="{WIDTH}" y2="{y}"/>'
        f'<text class="soft" x="0" y="{y - 4}">{round(most * share):,}</text>'
        for share in (1, 0.5)
        for y in (PLOT_HEIGHT - share * (PLOT_HEIGHT - 20),)
    ]
    shapes.append(f'<line x1="0" y1="{PLOT_HEIGHT}" x2="{WIDTH}" y2="{PLOT_HEIGHT}"/>')
    for n, line in enumerate(series):
        highest: dict[int, int] = {}
        for at, units in line:
            x = round((at - first).total_seconds() / span * POINTS)
            highest[x] = max(highest.get(x, 0), units)
        path = " ".join(
            f"{x * WIDTH / POINTS:.0f},{PLOT_HEIGHT - units / most * (PLOT_HEIGHT - 20):.1f}"
            for x, units in sorted(highest.items())
        )
        shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{_color(n)}" stroke-width="1.5"/>'
        )
    foot = PLOT_HEIGHT + 18
    shapes.append(f'<text class="soft" x="0" y="{foot}">{first:%b %Y}</text>')
    shapes.append(
        f'<text class="soft" x="{WIDTH}" y="{foot}" text-anchor="end">{last:%b %Y}</text>'
    )
    return _svg(PLOT_HEIGHT + 24, shapes)


def _svg(height: float, shapes: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(shapes)}</svg>'


def _table(found: Figures) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in found.policies)
    rows = "".join(
        f"<tr><td>{escape(figure.replace('_', ' '))}</td>"
        + "".join(f"<td>{value:,}</td>" for value in values)
        + "</tr>"
        for figure, values in found.rows
    )
    return f'<div class="wide"><table><tr><th></th>{head}</tr>{rows}</table></div>'
