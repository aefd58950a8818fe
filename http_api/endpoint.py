"""The route table's one kind of line: `Endpoint(...)` is a route and its OpenAPI operation."""

import asyncio
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from http_api.face import Face
from http_api.problems import problem, refusal_of, shown
from http_api.reply import NO_STORE, Answering, Headers, Reply, none_match, not_modified
from http_api.request import JSON_TYPES, Call, Gone, integer_header
from kyros_collab_server.kernel.errors import Invalid, KyrosError, UnknownField
from kyros_collab_server.kernel.operation import Operation

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)
FENCING_HEADER = "X-Kyros-Fencing-Token"
MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


Respond = Callable[[Call], Awaitable[Answering]]


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One method of one path.

    With an operation alone its command's fields come from the path, from `If-Match` (`if_match`)
    and `X-Kyros-Fencing-Token` (`fencing_token`), and the rest from the query or, where there is
    a body, from the body; its result is the answer. `body` and `command`, `answer` and `shape`
    put another shape before or after it; `respond` does the whole itself.
    """

    method: str
    path: str
    op: Operation[Any, Any] | None = None
    summary: str = ""
    status: int = 200
    body: type[BaseModel] | None = None
    command: Callable[[Any, Mapping[str, Any]], BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: Any = None
    shape: Callable[[Any], BaseModel] | None = None
    respond: Respond | None = None
    errors: tuple[type[KyrosError], ...] = ()
    is_open: bool = False
    takes_if_match: bool = False
    needs_if_match: bool = False
    tagged: bool = False
    drops_nulls: bool = False
    body_types: tuple[str, ...] = JSON_TYPES
    answer_types: tuple[str, ...] = ("application/json",)
    headers: tuple[str, ...] = ()
    things: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def operation(self) -> Operation[Any, Any]:
        """The operation behind this endpoint; only those with a `respond` have none."""
        if self.op is None:
            raise TypeError(f"{self.method} {self.path} has no operation")
        return self.op

    @cached_property
    def takes_body(self) -> bool:
        """True for the methods that carry one here."""
        return self.method in {"POST", "PUT", "PATCH"}

    @cached_property
    def command_model(self) -> type[BaseModel]:
        """The command of the operation, as its service function declares it."""
        if self.op is None:
            return self.query or self.body or _Nothing
        hints = typing.get_type_hints(self.op.run)
        return typing.cast("type[BaseModel]", hints["command"])

    @cached_property
    def answer_type(self) -> Any:
        """What the answer's body is, for the document."""
        if self.answer is not None or self.op is None:
            return self.answer
        return typing.get_type_hints(self.op.run)["return"]

    @cached_property
    def path_fields(self) -> tuple[str, ...]:
        """The names in the path's template."""
        return tuple(compile_path(self.path)[2])

    @cached_property
    def input_model(self) -> type[BaseModel]:
        """The model whose visible fields the query or the body may carry."""
        if self.takes_body:
            return self.body or self.command_model
        return self.query or self.command_model

    @cached_property
    def hidden(self) -> frozenset[str]:
        """Fields of the input model that come from elsewhere than the query or body."""
        return frozenset({*self.path_fields, "if_match"})

    @cached_property
    def input_fields(self) -> tuple[str, ...]:
        """The fields that a caller may send in the query or body, as they are spelled there."""
        fields = self.input_model.model_fields
        return tuple(one.alias or name for name, one in fields.items() if name not in self.hidden)

    @cached_property
    def takes_fencing_token(self) -> bool:
        """True when the fencing token may come as a header."""
        return self.takes_body and "fencing_token" in self.input_model.model_fields

    @cached_property
    def lists(self) -> frozenset[str]:
        """The query's fields that are lists."""
        if self.takes_body:
            return frozenset()
        fields = self.input_model.model_fields
        return frozenset(
            one.alias or name
            for name, one in fields.items()
            if name not in self.hidden and _is_list(one.annotation)
        )

    async def __call__(self, call: Call) -> Answering:
        """Answer the call.

        Raises:
            KyrosError: whatever refuses it.
        """
        if not self.is_open:
            call.principal = await call.face.callers.of(call)
        if self.respond is not None:
            return await self.respond(call)
        return await self.answer_to(call)

    async def answer_to(self, call: Call) -> Answering:
        """Perform the operation through the door, and spell its result."""
        command = await self.command_of(call)
        if self.operation.read:
            return self.reply(await self.perform(call, self.operation, command), call)
        work = call.face.kyros.answer(
            self.operation, command, actor=call.principal, key=call.idempotency_key
        )
        answer = await waiting(call, command, work)
        return self.reply(answer.value, call, replayed=answer.replayed)

    async def perform(self, call: Call, op: Operation[Any, R], command: BaseModel) -> R:
        """The result of another operation, for the same caller."""
        work = call.face.kyros.perform(op, command, actor=call.principal)
        return await waiting(call, command, work)

    async def command_of(self, call: Call) -> BaseModel:
        """The command that the request's parts spell, or what refuses it."""
        sent = await self.input_of(call)
        elsewhere: dict[str, Any] = dict(call.path)
        if self.takes_if_match and (tag := call.headers.get("if-match")) is not None:
            elsewhere["if_match"] = tag
        make = self.command
        if make is not None:
            model = self.validated(self.input_model, sent)
            return self.validating(lambda: make(model, elsewhere))
        given = self.body or self.command_model
        return self.validated(given, {**sent, **elsewhere})

    async def input_of(self, call: Call) -> dict[str, Any]:
        """The fields of the query or body; unknown ones are refused here when they hide others."""
        if not self.takes_body:
            sent = call.query(self.lists)
        else:
            sent = await call.json(self.body_types)
            if call.scope["query_string"]:
                for name in call.query():
                    raise UnknownField(shown(name), [])
            if self.takes_fencing_token:
                _merge_token(sent, call.headers)
        for name in sent:
            if name in self.hidden:
                raise UnknownField(shown(name), sorted(self.input_fields))
        return sent

    def validated(self, model: type[M], values: Mapping[str, Any]) -> M:
        """The model of these values, or the refusal of their first fault."""
        return self.validating(lambda: model.model_validate(values))

    def validating(self, make: Callable[[], T]) -> T:
        """What `make` gives; its validation error becomes a refusal that names fields."""
        try:
            return make()
        except ValidationError as error:
            raise refusal_of(error, self.input_fields, self._path_things) from None

    @cached_property
    def _path_things(self) -> dict[str, str]:
        return {name: name.removesuffix("_id").replace("_", " ") for name in self.path_fields} | {
            **self.things
        }

    def reply(self, value: Any, call: Call, *, replayed: bool = False) -> Reply:
        """The value on the wire, tagged and marked as this endpoint says."""
        headers: Headers = [(b"idempotent-replayed", b"true")] if replayed else []
        shaped: BaseModel = value if self.shape is None else self.shape(value)
        etag: str | None = getattr(shaped, "etag", None) if self.tagged else None
        if etag and self.method == "GET" and none_match(call.headers.get("if-none-match"), etag):
            return not_modified(etag)
        text = shaped.model_dump_json(exclude_none=self.drops_nulls)
        reply = Reply(self.status, text.encode(), headers=headers)
        if etag:
            return reply.tag(etag)
        reply.headers.append(NO_STORE)
        return reply


class _Nothing(BaseModel):
    """No fields at all."""

    model_config = {"extra": "forbid"}


class Dispatch:
    """The ASGI application of one path: picks the endpoint by method, and sends its answer."""

    def __init__(self, face: Face, endpoints: Mapping[str, Endpoint]) -> None:
        self._face = face
        self._endpoints = dict(endpoints)
        if "GET" in self._endpoints:
            self._endpoints.setdefault("HEAD", self._endpoints["GET"])

    @property
    def methods(self) -> list[str]:
        """The methods of this path."""
        return list(self._endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(self._face, scope, receive)
        try:
            answer = await self._endpoints[scope["method"]](call)
        except Gone:
            return
        except KyrosError as refusal:
            answer = problem(refusal, call.request_id)
        await answer(scope, receive, send)


def _is_list(annotation: Any) -> bool:
    if typing.get_origin(annotation) is list:
        return True
    return any(_is_list(part) for part in typing.get_args(annotation))


def _merge_token(sent: dict[str, Any], headers: Mapping[str, str]) -> None:
    token = integer_header(headers, FENCING_HEADER)
    if token is None:
        return
    if sent.setdefault("fencing_token", token) != token:
        raise Invalid("fencing_token", f"differs from {FENCING_HEADER}")


async def waiting(call: Call, command: BaseModel, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; work that waits is given up when its client leaves.

    Raises:
        Gone: the client left first.
    """
    if not getattr(command, "wait_seconds", 0):
        return await work
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(call.receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Gone
        return doing.result()
    finally:
        leaving.cancel()
        if not doing.done():
            doing.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
