"""The largest instance of a model: every field there, each as long as its limit lets it be."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Le, MaxLen
from pydantic import BaseModel, StringConstraints

FOUR_BYTES = "\U0001f5dd"
"""Text may hold any character; in UTF-8 none is longer."""
FEW = 16
"""Of what has no limit but its meaning: deadlines, conditions, reasons."""
AT = datetime(2026, 12, 31, 23, 59, 59, 999_000, UTC)
_REPEATS = re.compile(r"\[[^]]*\](?:\{\d+,(\d+)\}|\{(\d+)\})?")
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


def largest(model: type[BaseModel]) -> Any:
    """An instance of the model that no other is longer than as JSON."""
    fields = {
        name: _value(field.annotation, field.metadata) for name, field in model.model_fields.items()
    }
    return model.model_construct(**fields)


def _value(annotation: Any, metadata: list[Any]) -> Any:
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        return _value(annotation, [*more, *metadata])
    arguments = [argument for argument in get_args(annotation) if argument is not NoneType]
    if get_origin(annotation) is tuple:
        limit = next((m.max_length for m in metadata if isinstance(m, MaxLen)), FEW)
        return (_value(arguments[0], []),) * limit
    if NoneType in get_args(annotation):
        (annotation,) = arguments
        return _value(annotation, metadata)
    if get_origin(annotation) in (Union, UnionType):
        return max((_value(argument, []) for argument in arguments), key=lambda v: len(str(v)))
    if get_origin(annotation) is Mapping:
        return _mapping(arguments[0], arguments[1], metadata)
    if arguments:
        return max(arguments, key=len)  # a Literal
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return largest(annotation)
    if isinstance(annotation, type) and issubclass(annotation, tuple):
        return tuple(_value(field, []) for field in annotation.__annotations__.values())
    if annotation is int:
        return next((m.le for m in metadata if isinstance(m, Le)), 2**31 - 1)
    return {bool: False, datetime: AT}.get(annotation) if annotation is not str else _text(metadata)


def _mapping(key: Any, value: Any, metadata: list[Any]) -> dict[str, Any]:
    if get_origin(key) is Annotated:
        limit = next((m.max_length for m in metadata if isinstance(m, MaxLen)), FEW)
        keys = [str(n).rjust(len(_value(key, [])), "x") for n in range(limit)]
    else:
        keys = list(get_args(key))  # Literals
    return {key: _value(value, []) for key in keys}


def _text(metadata: list[Any]) -> str:
    """As long as its limit, or as its pattern, a row of character classes, lets it be."""
    for found in metadata:
        if isinstance(found, StringConstraints) and found.max_length:
            return (FOUR_BYTES if found.pattern == _PRINTABLE else "x") * found.max_length
        if isinstance(found, StringConstraints) and found.pattern:
            repeats = _REPEATS.findall(str(found.pattern))
            return "x" * sum(int(most or exact or 1) for most, exact in repeats)
    raise ValueError("a text without a limit")
