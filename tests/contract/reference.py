"""`python -m tests.contract.reference` writes docs/reference/*.md anew, from the code."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import http_api
import kyros_collab_server
from http_api.problems import status_of
from kyros_collab_server.features.events import model as events_model
from kyros_collab_server.features.events.model import (
    CLIENT_EVENTS,
    RESERVED_PREFIXES,
    Event,
    EventName,
)
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.mcp_face.catalog.resources import RESOURCES
from kyros_collab_server.mcp_face.server import CATALOG
from kyros_collab_server.mcp_face.toolbox import ToolSpec
from kyros_collab_server.settings import settings_reference
from tests.contract.command_reference import cell, cli, table
from tests.contract.openapi_snapshot import made
from tests.house.tree import ROOT

DIRECTORY: Path = ROOT / "docs" / "reference"
NOT_IMPORTED = ("__main__", ".migrations.", ".cli.", ".conformance.")
WRITTEN = (
    "<!-- Written by `make reference` from the code; a test compares. Change it there. -->\n\n"
)
FRAMES = {
    "hello": "first on every stream: `server_time`, `head_seq`, `epoch`",
    "caught_up": "after a replay: `from`, `to`, `sent`, `filtered`; `sent + filtered = to - from`",
    "reset": "the cursor is not of this log: `oldest_seq`, `head_seq`, `epoch`",
    "beat": "a heartbeat: `lock_id`, `holder`, `heartbeat_at`; at most one per lease and second",
    "call": "a tool call: `client`, `version`, `transport`, `agent`, `tool`, `ms`, `ok`",
}
MOST_CALLS = 8
"""Calls that a problem's row names; above that it says how many there are."""


def refusals(base: type[KyrosError] = KyrosError) -> Iterator[type[KyrosError]]:
    """Every refusal that is imported, the product's own only."""
    for one in base.__subclasses__():
        if one.__module__.split(".")[0] in {"http_api", "kyros_collab_server"}:
            yield one
        yield from refusals(one)


def by_code() -> dict[str, list[type[KyrosError]]]:
    """Every refusal of the product by its code; imports all of it first."""
    for package in (kyros_collab_server, http_api):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in f"{module.name}." for part in NOT_IMPORTED):
                importlib.import_module(module.name)
    found: dict[str, list[type[KyrosError]]] = {}
    for refusal in refusals():
        found.setdefault(refusal.code, []).append(refusal)
    return dict(sorted(found.items()))


# ---- tools


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [
        f"{sign} {schema[name]}"
        for name, sign in (
            ("minimum", "≥"),
            ("maximum", "≤"),
            ("minLength", "≥"),
            ("maxLength", "≤"),
        )
        if name in schema
    ]
    return f"{kind} {', '.join(bounds)}".strip()


def _tool(spec: ToolSpec) -> str:
    required = set(spec.schema.get("required", ()))
    rows = [
        [
            f"`{name}`" + (" *" if name in required else ""),
            cell(_type(part)),
            cell(part.get("description", "")),
        ]
        for name, part in spec.schema["properties"].items()
    ]
    hints = {
        "read-only": spec.read_only,
        "destructive": "D" in spec.hints,
        "idempotent": "I" in spec.hints,
    }
    said = ", ".join(name for name, is_true in hints.items() if is_true) or "changes the board"
    scopes = ", ".join(f"`{scope}`" for scope in sorted(spec.scopes)) or "none"
    operations = ", ".join(f"`{op.name}`" for op in spec.operations)
    head = f"### {spec.name}\n\n{cell(spec.description)}\n\n"
    facts = f"{said.capitalize()}. Scopes: {scopes}. Operations: {operations}.\n"
    return head + facts + ("\n" + table(["argument", "type", ""], rows) if rows else "")


def tools() -> str:
    """`docs/reference/tools.md`."""
    parts = [
        (
            "# MCP tools\n\nAt `/mcp` and over stdio. `core` is listed by default; the others by "
            "toolset, header or path, and callable either way. Arguments with * are required.\n"
        )
    ]
    for toolset in dict.fromkeys(spec.toolset for spec in CATALOG):
        parts.append(f"## Toolset {toolset}\n")
        parts += [_tool(spec) for spec in CATALOG if spec.toolset == toolset]
    rows = [[f"`{one.uri}`", cell(one.description), one.mime_type] for one in RESOURCES]
    parts += ["## Resources\n", table(["URI", "", "type"], rows)]
    return "\n".join(parts)


# ---- events


def meanings() -> dict[str, str]:
    """What each of the server's event names means: the text under its declaration."""
    tree = ast.parse(inspect.getsource(events_model))
    names = next(
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "EventName"
    )
    found: dict[str, str] = {}
    last = ""
    for node in names.body:
        if isinstance(node, ast.Assign):
            last = ast.literal_eval(node.value)
        elif isinstance(node, ast.Expr) and last:
            found[last] = ast.literal_eval(node.value)
    return found


def events() -> str:
    """`docs/reference/events.md`."""
    said = meanings()
    fields = [
        [f"`{name}`", cell(_type(part))]
        for name, part in Event.model_json_schema(mode="serialization")["properties"].items()
    ]
    plain = ", ".join(f"`{name}`" for name in CLIENT_EVENTS)
    families = ", ".join(f"`{name}*`" for name in RESERVED_PREFIXES)
    return "\n".join(
        [
            (
                "# Events\n\nThe log is append-only; `seq` has no gap and its order is the order "
                "of commits. Events that tell of a thing carry its new `version` and `etag`, and "
                "in `changes` each changed field `before` and `after`.\n"
            ),
            table(["field", "type"], fields),
            "`hash = sha256(prev_hash || JCS(event without hash))`, in lower-case hex.\n",
            "## Names that the server writes\n",
            table(["event", "means"], [[f"`{one}`", cell(said[one])] for one in EventName]),
            f"Reserved for the server, too: {families}.\n",
            f"## Names of one's own\n\n{plain}, or a dotted name such as `build.finished`.\n",
            "## Frames of the tail that are not in the log\n",
            table(["frame", "says"], [[f"`{name}`", says] for name, says in FRAMES.items()]),
        ]
    )


# ---- problems


def problems() -> str:
    """`docs/reference/problems.md`."""
    calls: dict[str, list[str]] = {}
    for path, methods in made()["paths"].items():
        for method, operation in methods.items():
            for code in operation["x-kyros-problems"]:
                calls.setdefault(code, []).append(f"`{method.upper()} {path}`")
    rows = []
    for code, known in by_code().items():
        statuses = sorted({status_of(one) for one in known})
        titles = sorted({one.__doc__.splitlines()[0] for one in known if one.__doc__})
        where = calls.get(code, [])
        named = "<br>".join(where) if len(where) <= MOST_CALLS else f"{len(where)} calls"
        rows.append(
            [
                f"[`{code}`](../problems/{code}.md)",
                ", ".join(map(str, statuses)),
                known[0].kind.value,
                "yes" if any(one.retryable for one in known) else "no",
                cell(" ".join(titles)),
                named or "not over REST, or outside any call",
            ]
        )
    return "\n".join(
        [
            (
                "# Problems\n\nEvery refusal of every face. Codes are stable. Those that may "
                "refuse more than eight REST calls are counted, the others named.\n"
            ),
            table(["code", "status", "kind", "retryable", "means", "refuses"], rows),
        ]
    )


# ---- settings


def settings() -> str:
    """`docs/reference/settings.md`."""
    rows = [
        [f"`{name}`", f"`{default}`" if default not in (None, "") else "", cell(description)]
        for name, default, description in settings_reference()
    ]
    return "\n".join(
        [
            "# Settings\n\nEach is a variable of the environment; all are optional.\n",
            table(["setting", "default", "means"], rows),
        ]
    )


PAGES: dict[str, Callable[[], str]] = {
    "tools": tools,
    "events": events,
    "problems": problems,
    "settings": settings,
    "cli": cli,
}


def text(page: str) -> str:
    """A whole page as it is committed."""
    head, _, rest = PAGES[page]().partition("\n\n")
    return f"{head}\n\n{WRITTEN}{rest}".rstrip() + "\n"


def path_of(page: str) -> Path:
    """Where a page lies."""
    return DIRECTORY / f"{page}.md"


def main() -> None:
    """Every page says what the code says."""
    DIRECTORY.mkdir(exist_ok=True)
    for page in PAGES:
        path_of(page).write_text(text(page))


if __name__ == "__main__":
    main()
