"""What is None is left out on the wire, so a fact that may hold it has to be readable without."""

from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from shared.events.envelope import Fact
from shared.events.topics import TOPICS

FACTS = sorted({fact for topic in TOPICS for fact in topic.facts}, key=lambda fact: fact.TYPE)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation)[: 1 if get_origin(annotation) is Annotated else None]:
        yield from _parts(argument)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _models(part)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.TYPE)
def test_a_field_that_may_be_none_may_be_left_out(fact: type[Fact]) -> None:
    required = [
        f"{model.__name__}.{name}"
        for model in _models(fact)
        for name, field in model.model_fields.items()
        if field.is_required() and NoneType in get_args(field.annotation)
    ]

    assert not required
