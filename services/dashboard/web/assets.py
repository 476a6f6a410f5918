"""The scripts and styles of others that pages use: as npm laid them into this directory, or none.

`package-lock.json` pins them by their hashes; `make setup` has npm install them where there is an
npm. Without them pages are read all the same: they are not live, and figures are tables.
"""

from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_MODULES = _HERE / "node_modules"

_SCRIPTS = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "hx-sse.js": "htmx.org/dist/ext/hx-sse.min.js",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
}
_STYLES = {"uplot.css": "uplot/dist/uPlot.min.css"}


class Assets(NamedTuple):
    """The files of others that are here, by the names that pages know them by."""

    scripts: dict[str, Path]
    styles: dict[str, Path]

    @property
    def files(self) -> dict[str, Path]:
        return self.scripts | self.styles


def found_assets(modules: Path = _MODULES) -> Assets:
    """All of them, or none where any is missing: half of them would be live and wrong."""
    scripts = {name: modules / path for name, path in _SCRIPTS.items()}
    styles = {name: modules / path for name, path in _STYLES.items()}
    if all(path.is_file() for path in (*scripts.values(), *styles.values())):
        return Assets(scripts, styles)
    return Assets({}, {})
