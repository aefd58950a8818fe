"""What the test runners ask for, gathered: on the same server, behind the same gate."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp_types import CallToolResult, InputRequiredResult
from mcp_types import Tool as ListedTool
from pydantic import ConfigDict, Field

from kyros_collab_server.mcp_face.catalog.resources import ResourceSpec
from kyros_collab_server.mcp_face.prompts import PromptSpec

Asked = Context[Any, Any]
Outcome = CallToolResult | InputRequiredResult
Answer = Callable[[Mapping[str, Any], Asked], Awaitable[Outcome]]

NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}


class FixtureTool(Tool):
    """A tool that the runners call; the SDK only carries its answer."""

    answer: Answer = Field(exclude=True)
    is_streaming: bool = Field(default=False, exclude=True)
    model_config = ConfigDict(arbitrary_types_allowed=True)

    async def run(
        self, arguments: dict[str, Any], context: Asked, convert_result: bool = False
    ) -> Outcome:
        """One call."""
        return await self.answer(arguments, context)

    @property
    def listed(self) -> ListedTool:
        """Its entry in `tools/list`."""
        return ListedTool(
            name=self.name, description=self.description, input_schema=self.parameters
        )


def fixture(
    name: str,
    description: str,
    answer: Answer,
    schema: Mapping[str, Any] = NO_ARGUMENTS,
    *,
    is_streaming: bool = False,
) -> FixtureTool:
    """A fixture tool of this name. A streaming one sends before it answers."""
    return FixtureTool(
        fn=answer,
        name=name,
        description=description,
        parameters=dict(schema),
        fn_metadata=FuncMetadata(arg_model=ArgModelBase),
        is_async=True,
        answer=answer,
        is_streaming=is_streaming,
    )


@dataclass(frozen=True)
class Fixtures:
    """What is served beside the product's own; nothing by default."""

    tools: tuple[FixtureTool, ...] = ()
    resources: tuple[ResourceSpec, ...] = ()
    prompts: tuple[PromptSpec, ...] = ()
    streaming: frozenset[bytes] = field(default_factory=frozenset)

    def schema_of(self, name: str) -> dict[str, Any] | None:
        """The schema whose arguments are mirrored into headers; of no tool of the product."""
        return next((tool.parameters for tool in self.tools if tool.name == name), None)
