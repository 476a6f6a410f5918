"""What the README claims is shown: each rule and promise by a test, each test named by its name."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RULES = [f"R{n}" for n in range(1, 26)]
PROMISES = [f"P{n}" for n in range(1, 7)]


def defined() -> set[str]:
    """The names of all tests, and of the classes that hold some."""
    names: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    names.add(node.name)
                case ast.Assign(targets=[ast.Name(id=name)]):
                    names.add(name)
    return names


DEFINED = defined()


def named_in(text: str) -> list[str]:
    return re.findall(r"`((?:test_|Test)\w+)`", text)


@pytest.mark.parametrize("number", [*RULES, *PROMISES])
def test_every_rule_and_promise_has_a_row_with_tests_that_exist(number: str) -> None:
    rows = re.findall(rf"^\| {number} \|.*$", README, re.MULTILINE)

    assert len(rows) == 1, f"{number} has {len(rows)} rows"
    named = named_in(rows[0])
    assert named, f"{number} names no test"
    assert [name for name in named if name not in DEFINED] == []


def test_every_test_that_the_readme_names_exists() -> None:
    named = named_in(README)

    assert len(named) > 100
    assert [name for name in named if name not in DEFINED] == []
