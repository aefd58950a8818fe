"""Tools: what one is, how a call of one runs, and which of them a caller is shown."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from mcp_types import Tool as ListedTool
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kyros_collab_server.application import Kyros
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import ReadHead
from kyros_collab_server.kernel.errors import Invalid, KyrosError
from kyros_collab_server.kernel.operation import Operation
from kyros_collab_server.kernel.principal import Principal, Scope
from kyros_collab_server.mcp_face import arguments, tool_errors
from kyros_collab_server.mcp_face.aside import Beside, with_beside
from kyros_collab_server.mcp_face.caller import CALLER, Caller
from kyros_collab_server.mcp_face.wording import MAX_TEXT, capped

log = logging.getLogger(__name__)

C = TypeVar("C", bound=BaseModel)
R = TypeVar("R")

REQUEST_ID = "request_id"
TRANSPORTS = {"mcp": "http", "stdio": "stdio"}
MAX_WAIT_SECONDS = 25
"""Several clients give up on a call at 30 s."""
ALWAYS_LOAD = {"anthropic/alwaysLoad": True}
_NO_ARGUMENTS = FuncMetadata(arg_model=ArgModelBase)
_KEY_SCHEMA = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in both forms, each enough alone. `structured` holds no nulls."""

    text: str
    structured: Mapping[str, Any]


@dataclass(slots=True)
class Call:
    """One call of one tool: who, under which key, and the way through the door."""

    kyros: Kyros
    caller: Caller
    key: str | None
    replayed: bool = False
    beside: Beside = field(default_factory=Beside)

    @property
    def actor(self) -> Principal:
        """The principal that calls."""
        return self.caller.principal

    async def perform(self, op: Operation[C, R], command: C) -> R:
        """The operation is done, or its first success is given back."""
        key = None if op.read else self.key
        answer = await self.kyros.answer(op, command, actor=self.actor, key=key)
        if not op.read:
            self.replayed = answer.replayed
        if answer.aside is not None:
            self.beside.note(answer.aside)
        return answer.value


Run = Callable[[Call, Any], Awaitable[Reply]]


@dataclass(frozen=True)
class ToolSpec:
    """A tool as a product: its words, its arguments, its hints, and what it does.

    `takes` is the command that the arguments make; `arguments` names those that are offered, in
    order; `required` says more than the command does, where its own refusal teaches more. `hints`
    holds the letters R, D, I, O of the hints that are true. `operations` are what it performs;
    the scopes they need are the tool's.
    """

    name: str
    description: str
    takes: type[BaseModel]
    arguments: tuple[str, ...]
    answer: type
    run: Run
    operations: tuple[Operation[Any, Any], ...]
    hints: str = ""
    toolset: Literal["core", "team"] = "core"
    always_load: bool = False
    notes: Mapping[str, str | dict[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    @property
    def read_only(self) -> bool:
        """True when it changes nothing."""
        return "R" in self.hints

    @cached_property
    def scopes(self) -> frozenset[Scope]:
        """All that its operations need."""
        return frozenset().union(*(op.scopes for op in self.operations))

    @cached_property
    def known(self) -> tuple[str, ...]:
        """Every argument that it takes."""
        return self.arguments if self.read_only else (*self.arguments, REQUEST_ID)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The lean schema of its arguments."""
        schema = arguments.schema_of(self.takes, self.arguments, self.notes)
        if self.required:
            schema["required"] = list(self.required)
        if not self.read_only:
            schema["properties"][REQUEST_ID] = dict(_KEY_SCHEMA)
        return schema

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The schema of its structured answer, for the clients that ask for it."""
        return with_beside(TypeAdapter(self.answer).json_schema(mode="serialization"))

    @cached_property
    def annotations(self) -> ToolAnnotations:
        """All four hints, always said."""
        return ToolAnnotations(
            read_only_hint="R" in self.hints,
            destructive_hint="D" in self.hints,
            idempotent_hint="I" in self.hints,
            open_world_hint="O" in self.hints,
        )

    @property
    def meta(self) -> dict[str, Any] | None:
        """Its `_meta`: whether hosts show it without being asked."""
        return dict(ALWAYS_LOAD) if self.always_load else None

    def listed(self, *, with_output: bool) -> ListedTool:
        """Its entry in `tools/list`."""
        return ListedTool(
            name=self.name,
            description=self.description,
            input_schema=self.schema,
            output_schema=self.output_schema if with_output else None,
            annotations=self.annotations,
            _meta=self.meta,
        )


class KyrosTool(Tool):
    """A tool of ours: its own arguments, refusals and results; the SDK only carries them."""

    spec: ToolSpec = Field(exclude=True)
    kyros: Kyros = Field(exclude=True)
    model_config = ConfigDict(arbitrary_types_allowed=True)

    @classmethod
    def of(cls, spec: ToolSpec, kyros: Kyros) -> "KyrosTool":
        """The tool that runs this spec through this door."""
        return cls(
            fn=spec.run,
            name=spec.name,
            description=spec.description,
            parameters=spec.schema,
            fn_metadata=_NO_ARGUMENTS,
            is_async=True,
            annotations=spec.annotations,
            meta=spec.meta,
            spec=spec,
            kyros=kyros,
        )

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,
    ) -> CallToolResult:
        """One call: its answer, its refusal, or an incident; and a `call` frame for the console."""
        caller = CALLER.get()
        actor = caller.principal
        started = time.perf_counter()
        ok = False
        try:
            actor.require(self.spec.scopes)
            call = Call(self.kyros, caller, _key_of(self.spec, arguments))
            reply = await self.spec.run(call, command_of(self.spec, arguments))
            ok = True
            return _answered(reply, call)
        except KyrosError as refusal:
            lines = (await self._beside(actor)).lines()
            return tool_errors.refused(refusal, actor.request_id, beside=lines)
        except Exception:
            incident = tool_errors.Incident()
            extra = {
                "tool": self.name,
                "incident": incident.incident_id,
                "request_id": actor.request_id,
            }
            log.exception("tool_crashed", extra=extra)
            return tool_errors.refused(incident, actor.request_id)
        finally:
            frame = {
                "client": actor.client,
                "version": caller.version,
                "transport": TRANSPORTS.get(actor.face),
                "agent": actor.agent,
                "tool": self.name,
                "ms": round((time.perf_counter() - started) * 1000, 3),
                "ok": ok,
            }
            self.kyros.feed.publish(actor.workspace, "call", frame)

    async def _beside(self, actor: Principal) -> Beside:
        """What a refusal tells beside itself; nothing when it cannot be read."""
        beside = Beside()
        with suppress(KyrosError):
            answer = await self.kyros.answer(events.head, ReadHead(), actor=actor)
            if answer.aside is not None:
                beside.note(answer.aside)
        return beside


def command_of(spec: ToolSpec, given: Mapping[str, Any]) -> BaseModel:
    """The command that these arguments make.

    Raises:
        UnknownField: an argument that the tool does not take.
        Invalid: an argument breaks its rule.
        TooLarge: arguments lie too deep in each other.
    """
    arguments.refuse_unknown(given, spec.known)
    arguments.refuse_depth(given)
    if REQUEST_ID in given:
        given = {name: value for name, value in given.items() if name != REQUEST_ID}
    try:
        return spec.takes.model_validate(given)
    except ValidationError as error:
        raise arguments.refusal_of(error, spec.takes) from None


def _key_of(spec: ToolSpec, given: Mapping[str, Any]) -> str | None:
    key = given.get(REQUEST_ID)
    if key is None or spec.read_only:
        return None
    if not isinstance(key, str) or not 1 <= len(key) <= 200 or not _is_visible(key):
        raise Invalid(REQUEST_ID, "must be 1 to 200 visible ASCII characters")
    return key


def _is_visible(key: str) -> bool:
    return key.isascii() and key.isprintable()


def _answered(reply: Reply, call: Call) -> CallToolResult:
    structured, beside = reply.structured, call.beside.structured
    if call.replayed:
        structured = {**structured, "replayed": True}
    text = reply.text
    if beside:
        # An answer about the inbox says itself what is unread, maybe less than before it.
        structured = {**beside, **structured}
        lines = "\n".join(call.beside.lines(unread="unread" not in reply.structured))
        text = f"{capped(text, MAX_TEXT - len(lines) - 1)}\n{lines}" if lines else text
    content = TextContent.model_construct(type="text", text=capped(text, MAX_TEXT))
    return CallToolResult.model_construct(
        content=[content], structured_content=structured, is_error=False, result_type="complete"
    )
