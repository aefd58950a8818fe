"""Arguments of tools: the schema that a model reads, and the refusal it gets for a wrong one."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from kyros_collab_server.kernel.errors import Invalid, KyrosError, TooLarge, UnknownField

MAX_DEPTH = 24
"""How deep objects and lists may lie in each other in arguments."""
_NOISE = {"title", "pattern", "maxLength", "minLength", "maxItems", "default", "propertyNames"}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")

Schema = dict[str, Any]


def schema_of(
    model: type[BaseModel], arguments: tuple[str, ...], notes: Mapping[str, str | Schema]
) -> Schema:
    """The lean JSON Schema of a call: what a model needs to write it, and nothing else.

    References are followed, titles and defaults dropped, `T or null` is `T`. Bounds on text are
    enforced but not shown. A note replaces an argument's description, or its whole schema.
    """
    full = model.model_json_schema()
    definitions = full.get("$defs", {})
    shown: Schema = {}
    for name in arguments:
        note = notes.get(name)
        if isinstance(note, dict):
            shown[name] = note
            continue
        shown[name] = _stripped(full["properties"][name], definitions)
        if note is not None:
            shown[name].pop("description", None)
            if note:
                shown[name]["description"] = note
    schema: Schema = {"type": "object", "properties": shown}
    if required := [name for name in full.get("required", []) if name in shown]:
        schema["required"] = required
    return schema


def _stripped(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_stripped(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if reference := node.get("$ref"):
        target = definitions[reference.rsplit("/", 1)[1]]
        return {**_stripped(target, definitions), **_stripped(_without(node, "$ref"), definitions)}
    if choices := node.get("anyOf"):
        present = [choice for choice in choices if choice.get("type") != "null"]
        if len(present) == 1:
            inner = _stripped(present[0], definitions)
            return {**inner, **_stripped(_without(node, "anyOf"), definitions)}
    clean: Schema = {}
    for key, value in node.items():
        if key == "properties":
            clean[key] = {name: _stripped(item, definitions) for name, item in value.items()}
        elif not _is_noise(key, value, node):
            clean[key] = _stripped(value, definitions)
    return clean


def _is_noise(key: str, value: Any, node: Schema) -> bool:
    """True for what no caller needs: titles, defaults, docstrings of nested models and enums."""
    if key == "description":
        return "properties" in node or "enum" in node
    return key in _NOISE or (key == "additionalProperties" and isinstance(value, bool))


def _without(node: Schema, key: str) -> Schema:
    return {name: value for name, value in node.items() if name != key}


def refuse_unknown(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Pass when every argument is one that the tool takes.

    Raises:
        UnknownField: names the first that is not, and the nearest one that is.
    """
    for name in given:
        if name not in known:
            raise UnknownField(_spoken(name), list(known), _nearest(name, known))


def refuse_depth(value: Any, depth: int = MAX_DEPTH) -> None:
    """Pass when objects and lists lie at most `MAX_DEPTH` deep in each other.

    Raises:
        TooLarge: they lie deeper.
    """
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value  # type: ignore[assignment]
    else:
        return
    if depth == 0:
        raise TooLarge("arguments", MAX_DEPTH, "levels of nesting")
    for item in inner:
        if isinstance(item, (dict, list)):
            refuse_depth(item, depth - 1)


def refusal_of(error: ValidationError, model: type[BaseModel]) -> KyrosError:
    """The refusal for a field that does not exist, else for the first broken rule.

    Says field, rule and what is allowed, never the input.
    """
    broken = error.errors(include_url=False, include_input=False)
    first = next((one for one in broken if one["type"] == "extra_forbidden"), broken[0])
    path = first["loc"]
    field = ".".join(_spoken(str(part)) for part in path) or "arguments"
    if first["type"] == "extra_forbidden":
        known = _known_at(model, path[:-1])
        return UnknownField(field, known, _nearest(str(path[-1]), known))
    context = first.get("ctx", {})
    allowed = {
        name: bound
        for name, bound in context.items()
        if name in ("ge", "gt", "le", "lt", "max_length", "min_length", "pattern", "expected")
    }
    return Invalid(field, _rule(first["type"], first["msg"]), allowed=allowed or None)


def _rule(kind: str, message: str) -> str:
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "string_unicode":
        return "is not valid Unicode text"
    return message.removeprefix("Input ").rstrip(".")


def _known_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The fields that the object at this place of a call takes."""
    node: Any = _stripped((full := model.model_json_schema()), full.get("$defs", {}))
    for part in path:
        if not isinstance(node, dict):
            return []
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part, node)
        for choice in node.get("anyOf", []):
            if "properties" in choice:
                node = choice
    return list(node.get("properties", {})) if isinstance(node, dict) else []


def _nearest(name: str, known: "tuple[str, ...] | list[str]") -> str | None:
    if close := difflib.get_close_matches(name[:64].lower(), known, n=1, cutoff=0.5):
        return close[0]
    inside = [one for one in known if name[:64].lower() in one.split("_")]
    return inside[0] if inside else None


def _spoken(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) or name.isdecimal() else "(not a name)"
