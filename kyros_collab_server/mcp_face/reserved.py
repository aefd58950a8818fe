"""Tools whose names are taken for later: nobody is shown them, and a call says so."""

from typing import Any

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp_types import CallToolResult

from kyros_collab_server.kernel.errors import NotAvailable
from kyros_collab_server.mcp_face.caller import CALLER
from kyros_collab_server.mcp_face.tool_errors import refused

RESERVED = {
    "job_submit": "",
    "job_get": "R",
    "job_list": "R",
    "job_cancel": "",
    "variant_accept": "",
}
"""Each with R when it will change nothing."""


class ReservedTool(Tool):
    """A tool that this server does not offer."""

    @classmethod
    def of(cls, name: str) -> "ReservedTool":
        """The tool that holds this name."""
        return cls(
            fn=cls.of,
            name=name,
            description="Not available.",
            parameters={"type": "object"},
            fn_metadata=FuncMetadata(arg_model=ArgModelBase),
            is_async=True,
        )

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,
    ) -> CallToolResult:
        """The refusal, whatever the arguments."""
        refusal = NotAvailable(self.name, "Do the work yourself: task_claim.")
        return refused(refusal, CALLER.get().principal.request_id)
