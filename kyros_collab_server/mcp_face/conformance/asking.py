"""Fixtures that ask the client: by a request of their own, or by an answer that needs input."""

import json
from collections.abc import Mapping
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

from kyros_collab_server.mcp_face.conformance.contents import text
from kyros_collab_server.mcp_face.conformance.fixtures import (
    Answer,
    Asked,
    FixtureTool,
    Outcome,
    fixture,
)

Schema = dict[str, Any]


def fields(**properties: Schema) -> Schema:
    """The schema of a form; fields with a default may be left out."""
    needed = [name for name, one in properties.items() if "default" not in one]
    return {"type": "object", "properties": properties, "required": needed}


STRING: Schema = {"type": "string"}
USER = fields(
    username={"type": "string", "description": "User's response"},
    email={"type": "string", "description": "User's email address"},
)
DEFAULTS = fields(
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)
_TITLED = [{"const": f"value{n}", "title": f"{n}. option"} for n in (1, 2, 3)]
ENUMS = fields(
    untitledSingle={"type": "string", "enum": ["option1", "option2", "option3"]},
    titledSingle={"type": "string", "oneOf": _TITLED},
    legacyEnum={
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti={
        "type": "array",
        "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
    },
    titledMulti={"type": "array", "items": {"anyOf": _TITLED}},
)


def form(message: str, schema: Schema) -> ElicitRequest:
    """A form for the person behind the client."""
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str, tokens: int = 100) -> CreateMessageRequest:
    """A question for the client's model."""
    content = TextContent(type="text", text=words)
    message = SamplingMessage(role="user", content=content)
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=[message], max_tokens=tokens)
    )


NAME = form("What is your name?", fields(name=STRING))
ROOTS = ListRootsRequest()


async def sampled(given: Mapping[str, Any], asked: Asked) -> CallToolResult:
    """The client's model has answered, on the handshake leg."""
    params = sample(str(given.get("prompt", ""))).params
    answer = await asked.session.create_message(
        params.messages, max_tokens=params.max_tokens, related_request_id=asked.request_id
    )
    return text(f"LLM response: {getattr(answer.content, 'text', '')}")


def elicits(schema: Schema, message: str | None = None) -> Answer:
    """The person has answered a form, on the handshake leg."""

    async def answer(given: Mapping[str, Any], asked: Asked) -> CallToolResult:
        words = message or str(given.get("message", ""))
        said = await asked.session.elicit_form(words, schema, asked.request_id)
        content = json.dumps(said.content)
        if message is None:
            return text(f"User response: action: {said.action}, content: {content}")
        return text(f"Elicitation completed: action={said.action}, content={content}")

    return answer


async def needs_sampling(given: Mapping[str, Any], asked: Asked) -> CallToolResult:  # noqa: ARG001
    """Refused unless the client has said that it samples."""
    declared = asked.client_capabilities
    if declared is None or declared.sampling is None:
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            "The tool samples",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return text("The client samples.")


def asks(questions: Mapping[str, Any], state: str | None = None) -> Answer:
    """An answer that needs these answered first, under this state when one is named."""

    async def answer(given: Mapping[str, Any], asked: Asked) -> Outcome:  # noqa: ARG001
        answers = asked.input_responses or {}
        known = state is None or asked.request_state == state
        if known and all(_is_answer(answers.get(key)) for key in questions):
            said = [json.dumps(answers[key].model_dump(mode="json")) for key in questions]
            return text(f"{'state-ok ' if state else ''}Hello: {' '.join(said)}")
        return InputRequiredResult(input_requests=dict(questions), request_state=state)

    return answer


def _is_answer(one: Any) -> bool:
    return one is not None and getattr(one, "action", "accept") == "accept"


async def in_two_steps(given: Mapping[str, Any], asked: Asked) -> Outcome:  # noqa: ARG001
    """Two forms one after the other; the state says which."""
    answers = asked.input_responses or {}
    if asked.request_state == "step2" and "step2" in answers:
        return text("Both steps are done.")
    if asked.request_state == "step1" and "step1" in answers:
        color = form("Step 2: What is your favorite color?", fields(color=STRING))
        return InputRequiredResult(input_requests={"step2": color}, request_state="step2")
    name = form("Step 1: What is your name?", fields(name=STRING))
    return InputRequiredResult(input_requests={"step1": name}, request_state="step1")


async def asks_what_the_client_can(given: Mapping[str, Any], asked: Asked) -> Outcome:  # noqa: ARG001
    """Only questions that the client has said it answers."""
    can = asked.client_capabilities
    questions: dict[str, Any] = {}
    if can is not None and can.sampling is not None:
        questions["greeting"] = sample("Generate a greeting", 50)
    if can is not None and can.elicitation is not None:
        questions["user_name"] = NAME
    if not questions:
        raise MCPError(INVALID_PARAMS, "The client answers no questions")
    if all(key in (asked.input_responses or {}) for key in questions):
        return text("Answered.")
    return InputRequiredResult(input_requests=questions)


def tools() -> tuple[FixtureTool, ...]:
    """The tools that need something from the client."""
    confirm = form("Please confirm", fields(ok={"type": "boolean"}))
    capital = sample("What is the capital of France?")
    several = {
        "user_name": NAME,
        "greeting": sample("Generate a greeting", 50),
        "client_roots": ROOTS,
    }
    required = "test_input_required_result_"
    return (
        fixture("test_sampling", "Asks the client's model.", sampled, fields(prompt=STRING)),
        fixture("test_elicitation", "Asks the person.", elicits(USER), fields(message=STRING)),
        fixture(
            "test_elicitation_sep1034_defaults",
            "Asks with defaults.",
            elicits(DEFAULTS, "Please review."),
        ),
        fixture(
            "test_elicitation_sep1330_enums", "Asks with choices.", elicits(ENUMS, "Please choose.")
        ),
        fixture("test_missing_capability", "Needs sampling.", needs_sampling),
        fixture(
            "test_streaming_elicitation",
            "Asks in its answer.",
            asks({"user_name": NAME}),
            is_streaming=True,
        ),
        fixture(f"{required}elicitation", "Asks a name.", asks({"user_name": NAME})),
        fixture(f"{required}sampling", "Asks a model.", asks({"capital_question": capital})),
        fixture(f"{required}list_roots", "Asks for roots.", asks({"client_roots": ROOTS})),
        fixture(f"{required}request_state", "Keeps state.", asks({"confirm": confirm}, "asked")),
        fixture(f"{required}tampered_state", "Keeps state.", asks({"confirm": confirm}, "sealed")),
        fixture(f"{required}multiple_inputs", "Asks thrice.", asks(several, "several")),
        fixture(f"{required}multi_round", "Asks twice.", in_two_steps),
        fixture(f"{required}capabilities", "Asks what it may.", asks_what_the_client_can),
    )
