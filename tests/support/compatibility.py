"""What changed between two JSON Schemas of an event that its readers and writers would notice."""

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = {"description", "title", "$schema"}
"""What says nothing about which events are valid."""


def whole(schema: Mapping[str, Any], type_: str) -> Any:
    """The schema of one type of event on a topic, each reference replaced by what it names."""
    parts = schema["$defs"]

    def inlined(found: Any) -> Any:
        if isinstance(found, list):
            return [inlined(each) for each in found]
        if not isinstance(found, dict):
            return found
        if (ref := found.get("$ref")) is not None:
            beside = {name: value for name, value in found.items() if name != "$ref"}
            return inlined({**parts[ref.removeprefix("#/$defs/")], **beside})
        return {
            name: {each: inlined(value) for each, value in part.items()}
            if name == "properties"
            else sorted(part)
            if name == "required"
            else inlined(part)
            for name, part in found.items()
            if name not in WORDS
        }

    return inlined(parts[type_])


def incompatible(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """What is not a further optional field, with its place. A required one changes `required`."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            for n, (before, after) in enumerate(zip(old, new, strict=True)):
                yield from incompatible(before, after, f"{where}/{n}")
        elif old != new:
            yield f"{where} was {old}, is {new}"
        return
    for name in old:
        if name not in new:
            yield f"{where}/{name} is gone"
        else:
            yield from incompatible(old[name], new[name], f"{where}/{name}")
    if not where.endswith("/properties"):
        yield from (f"{where}/{name} is new" for name in new.keys() - old.keys())
