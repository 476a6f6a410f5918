"""Policy files: one YAML document per marketplace in one directory, read once at the start.

    default.yaml         what holds for every marketplace
    ATVPDKIKX0DER.yaml   what differs in the marketplace of that id

A marketplace's file lies over `default.yaml`, and that over the defaults in `shared/policy.py`.
"""

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from shared.errors import SettingError

DEFAULT = "default"
SUFFIX = ".yaml"
MAX_FILES = 500
"""Marketplaces of one installation; Amazon has some two dozen."""
MAX_FILE_BYTES = 2**20
"""What one Kubernetes ConfigMap holds."""
MAX_SHOWN = 80
"""Characters of a wrong value in a message."""

CONTRADICTION = "contradiction"
"""The pydantic error type of a policy whose fields disagree; its context says which, in `found`."""

Document = dict[str, Any]


class Finding(NamedTuple):
    """What is wrong in a policy file: the value as it may be printed, and what is allowed; `field`
    is empty where it is the file as a whole.
    """

    file: str
    value: str
    allowed: str
    field: str = ""

    @property
    def name(self) -> str:
        """What to change: the file and, if it is one, the field."""
        return f"{self.file}: {self.field}" if self.field else self.file


class PolicyError(SettingError):
    """A policy file can not be used; `findings` is all that is wrong with it (R24), but for what
    fields say together where `more_may_follow`.
    """

    more_may_follow = False

    def __init__(self, first: Finding, *more: Finding) -> None:
        others = f" (and {len(more)} more findings in this file)" if more else ""
        super().__init__(first.name, first.value, first.allowed + others)
        self.findings = (first, *more)


def read_documents(directory: Path) -> dict[str, Document]:
    """Every policy file of a directory, by marketplace id; `default` is always there.

    Hidden entries and those that are no YAML are left alone. Raises PolicyError for what can not be
    read, is too large or too many, is no mapping, or names another marketplace than its file does.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if _is_policy(path))
        sources = {path: _source(path) for path in paths[: MAX_FILES + 1]}
    except OSError as failed:
        whole = Finding(str(directory), f"not readable ({failed})", "a directory of policy files")
        raise PolicyError(whole) from failed
    if len(paths) > MAX_FILES:
        many = Finding(str(directory), f"{len(paths)} policy files", f"at most {MAX_FILES}")
        raise PolicyError(many)
    documents = {path.stem: _document(path, source) for path, source in sources.items()}
    if DEFAULT not in documents:
        file = str(directory / (DEFAULT + SUFFIX))
        raise PolicyError(Finding(file, "missing", "a file, if only an empty one"))
    return documents


def read_document(path: Path) -> Document:
    """One policy file by itself, over the `default.yaml` beside it where there is one.

    Raises PolicyError as `read_documents` does.
    """
    beside = path.with_name(DEFAULT + SUFFIX)
    try:
        own = _document(path, _source(path))
        base = _document(beside, _source(beside)) if beside.exists() else {}
    except OSError as failed:
        whole = Finding(str(path), f"not readable ({failed})", "a policy file")
        raise PolicyError(whole) from failed
    return layered(base, own)


def layered(base: Document, own: Document) -> Document:
    """`own` over `base`; of mappings within, each key by itself."""
    return base | {
        key: layered(base[key], value)
        if isinstance(value, dict) and isinstance(base.get(key), dict)
        else value
        for key, value in own.items()
    }


def refusal(file: Path, invalid: ValidationError, known: list[str]) -> PolicyError:
    """All that is wrong with a file, by pydantic's findings; `known` are the keys that exist.

    Only where every field is right by itself are they asked whether they contradict each other.
    """
    wrong = PolicyError(*_findings(str(file), invalid, ", ".join(known)))
    wrong.more_may_follow = all(error["type"] != CONTRADICTION for error in invalid.errors())
    return wrong


def _findings(file: str, invalid: ValidationError, known: str) -> Iterator[Finding]:
    for error in invalid.errors(include_url=False):
        field = ".".join(str(part) for part in error["loc"] if part != "[key]")
        shown, allowed = _shown(error["input"]), error["msg"].removeprefix("Input should be ")
        if error["type"] == CONTRADICTION:
            for each in error["ctx"]["found"]:
                yield Finding(file, _shown(each.value), each.allowed, each.field)
        elif error["type"] == "extra_forbidden":
            yield Finding(file, "unknown", f"the keys {known}", field)
        elif error["type"] == "missing":
            yield Finding(file, "missing", "a value", field)
        else:
            yield Finding(file, shown, allowed, field)


def _shown(value: object) -> str:
    return repr(value)[:MAX_SHOWN]


def _is_policy(path: Path) -> bool:
    if path.suffix == ".yml":
        named = Finding(str(path), "a policy file with the suffix .yml", f"the suffix {SUFFIX}")
        raise PolicyError(named)
    return path.suffix == SUFFIX and not path.name.startswith(".")


def _source(path: Path) -> bytes:
    with path.open("rb") as file:
        source = file.read(MAX_FILE_BYTES + 1)
    if len(source) > MAX_FILE_BYTES:
        raise PolicyError(Finding(str(path), "too large", f"at most {MAX_FILE_BYTES} bytes"))
    return source


def _document(path: Path, source: bytes) -> Document:
    try:
        document = _OneValuePerKey(source).get_single_data()
    except yaml.YAMLError as failed:
        what = " ".join(str(failed).split())
        whole = Finding(str(path), f"no YAML ({what})", "one YAML mapping")
        raise PolicyError(whole) from failed
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise PolicyError(Finding(str(path), _shown(document), "a mapping of field to value"))
    if (named := document.setdefault("marketplace_id", path.stem)) != path.stem:
        as_named = f"{path.stem!r}, as the file's name"
        raise PolicyError(Finding(str(path), _shown(named), as_named, "marketplace_id"))
    return document


class _OneValuePerKey(yaml.SafeLoader):
    """SafeLoader takes the last of two equal keys in silence; a person reads the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
