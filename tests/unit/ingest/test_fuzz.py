"""The endpoint, asked all that its OpenAPI document allows, and what that does not."""

from typing import Any

import schemathesis
from hypothesis import settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.ingest.site import site
from tests.unit.ingest.conftest import KeptRecords, KnownTokens, parts_of

SENDER = KeptRecords()
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", site(parts_of(KnownTokens(), SENDER)))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@SCHEMA.parametrize()
@settings(max_examples=60, derandomize=True, database=None)
def test_whatever_is_asked_is_answered_as_the_document_says(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(headers={"authorization": "Bearer anybody"}, checks=CHECKS)
