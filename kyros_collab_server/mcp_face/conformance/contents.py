"""Fixtures that answer with contents: tools of each kind, resources, prompts."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.shared.subscriptions import PromptsListChanged, ServerEvent, ToolsListChanged
from mcp_types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    PromptArgument,
    PromptMessage,
    TextContent,
    TextResourceContents,
)

from kyros_collab_server.mcp_face.caller import CALLER
from kyros_collab_server.mcp_face.catalog.resources import ResourceSpec, Variables
from kyros_collab_server.mcp_face.conformance.fixtures import Answer, Asked, FixtureTool, fixture
from kyros_collab_server.mcp_face.prompts import PromptSpec
from kyros_collab_server.mcp_face.subscriptions import Subscriptions
from kyros_collab_server.mcp_face.toolbox import Call

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="  # noqa: E501
"""One red pixel."""
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
PAUSE_SECONDS = 0.05
"""The runners want to see messages arrive one after the other."""
SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
HEADER_SCHEMA = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    "required": ["region"],
}


def text(words: str, *, is_error: bool = False) -> CallToolResult:
    """An answer of one text."""
    return CallToolResult(content=[TextContent(type="text", text=words)], is_error=is_error)


def embedded(uri: str, mime_type: str, words: str) -> EmbeddedResource:
    """A resource inside a message."""
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    return EmbeddedResource(type="resource", resource=contents)


def always(*content: ContentBlock, is_error: bool = False) -> Answer:
    """The answer that is the same at every call."""

    async def answer(given: Mapping[str, Any], asked: Asked) -> CallToolResult:  # noqa: ARG001
        return CallToolResult(content=list(content), is_error=is_error)

    return answer


async def log_three_lines(given: Mapping[str, Any], asked: Asked) -> CallToolResult:  # noqa: ARG001
    """Three log lines while it runs, to those who asked for them."""
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await asked.session.send_log_message("info", line, related_request_id=asked.request_id)
        await anyio.sleep(PAUSE_SECONDS)
    return text("Logged three lines.")


async def progress(given: Mapping[str, Any], asked: Asked) -> CallToolResult:  # noqa: ARG001
    """Progress from nothing to all."""
    for done in (0, 50, 100):
        await asked.report_progress(done, 100)
        await anyio.sleep(PAUSE_SECONDS)
    return text("Progressed to 100.")


def tells(subscriptions: Subscriptions, kind: ServerEvent) -> Answer:
    """The answer of a tool that says that a list has changed."""

    async def answer(given: Mapping[str, Any], asked: Asked) -> CallToolResult:  # noqa: ARG001
        subscriptions.tell(CALLER.get().principal.workspace, kind)
        return text("Told.")

    return answer


def tools(subscriptions: Subscriptions) -> tuple[FixtureTool, ...]:
    """The tools that need nothing from the client."""
    simple = TextContent(type="text", text="This is a simple text response for testing.")
    image = ImageContent(type="image", data=PNG, mime_type="image/png")
    audio = AudioContent(type="audio", data=WAV, mime_type="audio/wav")
    resource = embedded(
        "test://embedded-resource", "text/plain", "This is an embedded resource content."
    )
    several = (
        TextContent(type="text", text="Multiple content types test:"),
        image,
        embedded(
            "test://mixed-content-resource", "application/json", '{"test":"data","value":123}'
        ),
    )
    wrong = TextContent(type="text", text="This tool intentionally returns an error for testing")
    return (
        fixture("test_simple_text", "Answers with a text.", always(simple)),
        fixture("test_image_content", "Answers with an image.", always(image)),
        fixture("test_audio_content", "Answers with a sound.", always(audio)),
        fixture("test_embedded_resource", "Answers with a resource.", always(resource)),
        fixture("test_multiple_content_types", "Answers with several.", always(*several)),
        fixture("test_error_handling", "Always fails.", always(wrong, is_error=True)),
        fixture("test_reconnection", "Answers on its stream.", always(simple)),
        fixture("test_tool_with_logging", "Logs.", log_three_lines, is_streaming=True),
        fixture("test_logging_tool", "Logs.", log_three_lines, is_streaming=True),
        fixture("test_tool_with_progress", "Progresses.", progress, is_streaming=True),
        fixture("json_schema_2020_12_tool", "Has a rich schema.", always(simple), SCHEMA_2020_12),
        fixture("test_header_argument", "Mirrors a header.", always(simple), HEADER_SCHEMA),
        fixture(
            "test_trigger_tool_change",
            "Says that the tools have changed.",
            tells(subscriptions, ToolsListChanged()),
        ),
        fixture(
            "test_trigger_prompt_change",
            "Says that the prompts have changed.",
            tells(subscriptions, PromptsListChanged()),
        ),
    )


async def read_static_text(call: Call, variables: Variables) -> str:  # noqa: ARG001
    """A text."""
    return "This is the content of the static text resource."


async def read_static_binary(call: Call, variables: Variables) -> bytes:  # noqa: ARG001
    """An image."""
    return base64.b64decode(PNG)


async def read_template(call: Call, variables: Variables) -> str:  # noqa: ARG001
    """JSON with the variable in it."""
    found = variables["id"]
    return json.dumps({"id": found, "templateTest": True, "data": f"Data for ID: {found}"})


RESOURCES = (
    ResourceSpec(
        "test://static-text", "static-text", "A text.", read_static_text, (), "text/plain"
    ),
    ResourceSpec(
        "test://static-binary", "static-binary", "An image.", read_static_binary, (), "image/png"
    ),
    ResourceSpec(
        "test://watched-resource", "watched", "A text.", read_static_text, (), "text/plain"
    ),
    ResourceSpec("test://template/{id}/data", "template", "A template.", read_template, ()),
)


def _message(content: ContentBlock) -> PromptMessage:
    return PromptMessage(role="user", content=content)


def _words(words: str) -> PromptMessage:
    return _message(TextContent(type="text", text=words))


def with_arguments(params: GetPromptRequestParams) -> GetPromptResult:
    """The arguments inside a text."""
    given = params.arguments or {}
    words = f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"
    return GetPromptResult(messages=[_words(words)])


def with_resource(params: GetPromptRequestParams) -> GetPromptResult:
    """A resource of the URI that was given."""
    uri = (params.arguments or {})["resourceUri"]
    resource = embedded(uri, "text/plain", "Embedded resource content for testing.")
    asked = _words("Please process the embedded resource above.")
    return GetPromptResult(messages=[_message(resource), asked])


def asks_for_context(params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    """A prompt that wants to know something first."""
    answer = (params.input_responses or {}).get("user_context")
    content = getattr(answer, "content", None)
    if content:
        return GetPromptResult(messages=[_words(f"Use this context: {content.get('context')}")])
    schema = {
        "type": "object",
        "properties": {"context": {"type": "string"}},
        "required": ["context"],
    }
    question = ElicitRequest(
        params=ElicitRequestFormParams(
            message="What context should the prompt use?", requested_schema=schema
        )
    )
    return InputRequiredResult(input_requests={"user_context": question})


PROMPTS = (
    PromptSpec(
        "test_simple_prompt",
        "A text.",
        lambda params: GetPromptResult(messages=[_words("This is a simple prompt for testing.")]),
    ),
    PromptSpec(
        "test_prompt_with_arguments",
        "A text with arguments.",
        with_arguments,
        (
            PromptArgument(name="arg1", description="First test argument", required=True),
            PromptArgument(name="arg2", description="Second test argument", required=True),
        ),
    ),
    PromptSpec(
        "test_prompt_with_embedded_resource",
        "A resource.",
        with_resource,
        (PromptArgument(name="resourceUri", description="URI to embed", required=True),),
    ),
    PromptSpec(
        "test_prompt_with_image",
        "An image.",
        lambda params: GetPromptResult(
            messages=[
                _message(ImageContent(type="image", data=PNG, mime_type="image/png")),
                _words("Please analyze the image above."),
            ]
        ),
    ),
    PromptSpec("test_input_required_result_prompt", "Asks first.", asks_for_context),
)
