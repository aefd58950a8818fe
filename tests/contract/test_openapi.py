"""The OpenAPI document: valid, committed, and complete."""

import json
from typing import Any

import openapi_spec_validator

from http_api.app import ENDPOINTS
from http_api.endpoint import MUTATING
from tests.contract.openapi_snapshot import SNAPSHOT, made, text


def operations(openapi: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method.upper(), operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_is_valid_openapi_3_1() -> None:
    openapi = made()
    assert openapi["openapi"].startswith("3.1")
    openapi_spec_validator.validate(openapi)


def test_the_committed_document_is_the_one_the_code_makes() -> None:
    assert SNAPSHOT.read_text() == text(made()), "python -m tests.contract.openapi_snapshot"


def test_every_endpoint_is_one_operation_of_its_own_name() -> None:
    listed = operations(made())
    assert {(path, method) for path, method, _ in listed} == {
        (endpoint.path, endpoint.method) for endpoint in ENDPOINTS
    }
    names = [operation["operationId"] for _, _, operation in listed]
    assert len(names) == len(set(names))


def test_every_change_takes_an_idempotency_key() -> None:
    for path, method, operation in operations(made()):
        headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        assert ("Idempotency-Key" in headers) == (method in MUTATING), path


def test_every_operation_has_a_summary_and_only_problems_beside_its_answer() -> None:
    for path, _, operation in operations(made()):
        assert operation["summary"], path
        assert operation["x-kyros-problems"], path
        for status, response in operation["responses"].items():
            if status == "default" or status >= "400":
                assert response["$ref"].startswith("#/components/responses/Problem"), path


def test_only_what_is_open_names_no_security() -> None:
    is_open = {path for path, _, one in operations(made()) if one.get("security") == []}
    assert is_open == {"/healthz", "/readyz"}


def test_no_schema_is_named_without_being_there() -> None:
    openapi = made()
    for kind, known in openapi["components"].items():
        parts = json.dumps(openapi).split(f'"#/components/{kind}/')[1:]
        assert {part.split('"')[0] for part in parts} <= set(known)
