"""What docs/ and the README tell to type is there to be typed, and what they name exists."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from services.cli.app import app
from tests.support.compose import CHECKOUT
from tests.unit.test_readme import DEFINED, named_in

PAGES = [
    CHECKOUT / "README.md",
    *sorted((CHECKOUT / "docs").glob("*.md")),
    *sorted((CHECKOUT / "services").glob("*/README.md")),
]
FENCED = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^orderflow .+$", re.MULTILINE)
INLINE = re.compile(r"`orderflow ([^`]+)`")
TOLD = re.compile(r"\bor\b|[\[\]|…]")
"""Grammar, not words of a command: `[SERVICE …]`, `order | unshipped`."""


def words(line: str) -> list[str]:
    """What is typed after the command's own name, with values for what stands for some."""
    typed = shlex.split(TOLD.sub(" ", line), comments=True)
    return ["inventory" if word in {"SERVICE", "NAME"} else word for word in typed]


def found(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and the rest of them; fails where there is none."""
    command: Any = get_command(app)
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        name, *words = words
        command = command.get_command(None, name)
        assert command is not None, f"there is no command {name}"
    return command, words


def options(command: Any) -> set[str]:
    return {option for param in command.params for option in param.opts} | {"--help"}


def lines() -> list[Any]:
    return [
        pytest.param(line, id=f"{page.relative_to(CHECKOUT)}: {line}")
        for page in PAGES
        for block in FENCED.findall(page.read_text(encoding="utf-8"))
        for line in LINE.findall(block)
    ]


def mentions() -> list[Any]:
    return [
        pytest.param(line, id=f"{page.relative_to(CHECKOUT)}: {line}")
        for page in PAGES
        for line in INLINE.findall(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("line", lines())
def test_a_line_to_type_is_taken(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, rest = found(words(line)[1:])
    for word in rest:
        if re.fullmatch(r"[\w-]+\.\w+", word):
            (tmp_path / word).touch()
    monkeypatch.chdir(tmp_path)

    command.make_context(command.name, rest)  # raises for what it does not take


@pytest.mark.parametrize("line", mentions())
def test_a_command_that_is_mentioned_exists_with_its_options(line: str) -> None:
    command, rest = found(words(line))

    assert {word for word in rest if word.startswith("--")} <= options(command)


@pytest.mark.parametrize("line", ["rebuilt inventory", "topics --verify", "stock count A B 1"])
def test_what_is_no_command_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        test_a_command_that_is_mentioned_exists_with_its_options(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = named_in(page.read_text(encoding="utf-8"))

    assert [name for name in named if name not in DEFINED] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_place_that_a_page_points_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]

    assert [link for link in links if link.startswith("#") and link[1:] not in anchors] == []
    files = [link.partition("#")[0] for link in links if not link.startswith("#")]
    assert [file for file in files if not (page.parent / file).exists()] == []
