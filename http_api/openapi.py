"""The OpenAPI 3.1 document, made from the route table and the models."""

import copy
import http
from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from http_api.endpoint import FENCING_HEADER, MUTATING, Endpoint
from http_api.problems import (
    BodyTooLarge,
    HeadersTooLarge,
    MalformedJson,
    Misdirected,
    OriginRefused,
    Problem,
    UnsupportedMediaType,
    status_of,
)
from kyros_collab_server.kernel.errors import (
    IdempotencyConflict,
    InProgress,
    InsufficientScope,
    Invalid,
    KyrosError,
    RateLimited,
    StorageFull,
    StoreUnavailable,
    Unauthenticated,
    UnknownField,
    WriterStalled,
)

REF = "#/components/schemas/{model}"
ALWAYS: tuple[type[KyrosError], ...] = (Misdirected, OriginRefused, HeadersTooLarge, BodyTooLarge)
WITH_CREDENTIALS: tuple[type[KyrosError], ...] = (
    Unauthenticated,
    InsufficientScope,
    RateLimited,
    Invalid,
    UnknownField,
    StoreUnavailable,
)
WITH_BODY: tuple[type[KyrosError], ...] = (
    MalformedJson,
    UnsupportedMediaType,
    IdempotencyConflict,
    InProgress,
    WriterStalled,
    StorageFull,
)
DESCRIPTION = """The coordination server for fleets of LLM agents.

Every answer carries `X-Request-Id`. Errors are RFC 9457 problems whose `code` is stable; each code
has a page in `docs/problems/`. Bodies are JSON; unknown fields are refused. Each POST and PATCH
takes an `Idempotency-Key`: the same key with the same call gives the same answer for 24 hours,
marked `Idempotent-Replayed: true`."""


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """The document of these endpoints, in the order of their paths."""
    listed = sorted(endpoints, key=lambda one: (one.path, one.method))
    schemas = _Schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kyros", "version": version, "description": DESCRIPTION},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": _problems(listed),
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `ky_…`. Never in the query.",
                }
            },
        },
        "security": [{"apiKey": []}],
    }


class _Schemas:
    """The models' schemas, shared, and the shapes that single operations show of them."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        wanted: list[tuple[Any, JsonSchemaMode]] = [(Problem, "serialization")]
        wanted += [(one.input_model, "validation") for one in endpoints if one.takes_body]
        self._refs, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=REF)
        self.components: dict[str, Any] = definitions.get("$defs", {})
        self._answers: dict[int, Any] = {}
        for endpoint in endpoints:
            if endpoint.answer_type is not None:
                self._answers[id(endpoint)] = self._answer(endpoint.answer_type)

    def _answer(self, answer_type: Any) -> dict[str, Any]:
        schema = TypeAdapter(answer_type).json_schema(mode="serialization", ref_template=REF)
        for name, definition in schema.pop("$defs", {}).items():
            known = self.components.setdefault(name, definition)
            if known != definition:
                self.components.setdefault(f"{name}Answer", definition)
                schema = _renamed(schema, name, f"{name}Answer")
        name = getattr(answer_type, "__name__", "").replace("[", "").replace("]", "")
        if schema.get("type") != "object" or not name:
            return schema
        self.components.setdefault(name, schema)
        return {"$ref": REF.format(model=name)}

    def answer(self, endpoint: Endpoint) -> dict[str, Any]:
        """The schema of the endpoint's answer."""
        found: dict[str, Any] = self._answers.get(id(endpoint), {})
        return found

    def body(self, endpoint: Endpoint) -> dict[str, Any]:
        """The schema of the endpoint's body: its model without what comes from elsewhere."""
        ref = self._refs[(endpoint.input_model, "validation")]
        name = ref["$ref"].rsplit("/", 1)[-1]
        schema = self.components[name]
        if not endpoint.hidden & set(schema.get("properties", {})):
            return dict(ref)
        shown = copy.deepcopy(schema)
        shown["properties"] = {
            field: part
            for field, part in shown["properties"].items()
            if field not in endpoint.hidden
        }
        required = [field for field in shown.pop("required", []) if field not in endpoint.hidden]
        if required:
            shown["required"] = required
        body_name = f"{name}Body"
        self.components[body_name] = {**shown, "title": body_name}
        return {"$ref": REF.format(model=body_name)}


def _renamed(schema: Any, old: str, new: str) -> Any:
    if isinstance(schema, dict):
        return {
            key: REF.format(model=new)
            if key == "$ref" and value == REF.format(model=old)
            else _renamed(value, old, new)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_renamed(value, old, new) for value in schema]
    return schema


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "tags": [endpoint.path.strip("/").split("/")[0] or "server"],
        "summary": endpoint.summary,
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.op is not None:
        operation["description"] = (endpoint.op.__doc__ or "").split("\n\n    Raises:")[0].strip()
        operation["x-kyros-operation"] = endpoint.op.name
        operation["x-kyros-scopes"] = sorted(scope.value for scope in endpoint.op.scopes)
    operation["x-kyros-problems"] = sorted({refusal.code for refusal in _refusals(endpoint)})
    if endpoint.is_open:
        operation["security"] = []
    if endpoint.takes_body:
        schema = schemas.body(endpoint)
        operation["requestBody"] = {
            "required": _needs_body(schema, schemas),
            "content": {media: {"schema": schema} for media in endpoint.body_types},
        }
    return operation


def _needs_body(schema: dict[str, Any], schemas: _Schemas) -> bool:
    resolved = schemas.components[schema["$ref"].rsplit("/", 1)[-1]]
    return bool(resolved.get("required")) or "anyOf" in resolved


def _operation_id(endpoint: Endpoint) -> str:
    words = endpoint.path.strip("/").replace("{", "by_").replace("}", "").replace("-", "_")
    return f"{endpoint.method.lower()}_{words.replace('/', '_').replace('.', '_') or 'root'}"


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    fields: dict[str, Any] = {}
    if not endpoint.takes_body:
        schema = endpoint.input_model.model_json_schema(ref_template=REF)
        fields = _inlined(schema.get("properties", {}), schema.get("$defs", {}))
    listed = [_path_parameter(endpoint, name, fields.get(name)) for name in endpoint.path_fields]
    for name in () if endpoint.takes_body else endpoint.input_fields:
        parameter = {"name": name, "in": "query", "required": False, "schema": fields[name]}
        if name in endpoint.lists:
            parameter |= {"style": "form", "explode": False}
        listed.append(parameter)
    headers = list(endpoint.headers)
    if endpoint.takes_if_match:
        headers.append("If-Match")
    if endpoint.tagged and endpoint.method == "GET":
        headers.append("If-None-Match")
    if endpoint.takes_fencing_token:
        headers.append(FENCING_HEADER)
    if endpoint.method in MUTATING and not endpoint.is_open:
        headers.append("Idempotency-Key")
    if not endpoint.is_open:
        headers += ["X-Kyros-Agent", "X-Kyros-Workspace"]
    return listed + [_header_parameter(name) for name in headers]


def _path_parameter(endpoint: Endpoint, name: str, schema: dict[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        model = endpoint.command_model.model_json_schema(ref_template=REF)
        properties = _inlined(model.get("properties", {}), model.get("$defs", {}))
        schema = properties.get(name, {"type": "string", "minLength": 1})
    return {"name": name, "in": "path", "required": True, "schema": schema}


_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "If-Match": {"type": "string", "maxLength": 256},
    "If-None-Match": {"type": "string"},
    "Last-Event-ID": {"type": "string", "pattern": "^[0-9]{1,16}$"},
    FENCING_HEADER: {"type": "string", "pattern": "^[0-9]{1,16}$"},
    "X-Kyros-Agent": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
    "X-Kyros-Workspace": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"},
}


def _header_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": _HEADERS[name]}


def _inlined(properties: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    def resolve(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return resolve(definitions[part["$ref"].rsplit("/", 1)[-1]])
            return {key: resolve(value) for key, value in part.items()}
        return [resolve(value) for value in part] if isinstance(part, list) else part

    return {name: resolve(part) for name, part in properties.items()}


def _responses(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": {"schema": {"type": "string"}}}
    if endpoint.tagged:
        headers["ETag"] = {"schema": {"type": "string"}}
    if endpoint.method in MUTATING and endpoint.op is not None and not endpoint.op.read:
        headers["Idempotent-Replayed"] = {"schema": {"type": "string", "const": "true"}}
    content = {
        media: {
            "schema": schemas.answer(endpoint) if media.endswith("/json") else {"type": "string"}
        }
        for media in endpoint.answer_types
    }
    found: dict[str, Any] = {
        str(endpoint.status): {"description": "Success", "headers": headers, "content": content}
    }
    if endpoint.tagged and endpoint.method == "GET":
        found["304"] = {"description": "Not modified", "headers": headers}
    for status in sorted({status_of(refusal) for refusal in _refusals(endpoint)}):
        found[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    found["default"] = {"$ref": "#/components/responses/Problem"}
    return found


def _refusals(endpoint: Endpoint) -> tuple[type[KyrosError], ...]:
    refusals = ALWAYS + endpoint.errors
    if not endpoint.is_open:
        refusals += WITH_CREDENTIALS
    if endpoint.takes_body:
        refusals += WITH_BODY
    return refusals


def _problems(endpoints: list[Endpoint]) -> dict[str, Any]:
    codes: dict[int, set[str]] = {}
    for endpoint in endpoints:
        for refusal in _refusals(endpoint):
            codes.setdefault(status_of(refusal), set()).add(refusal.code)
    made = {"Problem": _problem("Any other problem.")}
    for status, known in sorted(codes.items()):
        listed = ", ".join(f"`{code}`" for code in sorted(known))
        made[f"Problem{status}"] = _problem(f"{http.HTTPStatus(status).phrase}: {listed}.")
    return made


def _problem(described: str) -> dict[str, Any]:
    return {
        "description": described,
        "content": {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}},
    }
