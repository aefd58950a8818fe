"""All fixtures together."""

from kyros_collab_server.mcp_face.conformance import asking, contents
from kyros_collab_server.mcp_face.conformance.fixtures import Fixtures
from kyros_collab_server.mcp_face.subscriptions import Subscriptions


def fixtures_on(subscriptions: Subscriptions) -> Fixtures:
    """Every tool, resource and prompt that the runners ask for."""
    tools = (*contents.tools(subscriptions), *asking.tools())
    return Fixtures(
        tools=tools,
        resources=contents.RESOURCES,
        prompts=contents.PROMPTS,
        streaming=frozenset(tool.name.encode() for tool in tools if tool.is_streaming),
    )
