"""Requests for responses that cannot be honoured, and fields that change nothing."""

import pytest
from openai.types.responses import Response

from tests.unit.gateway.asking import RESPONSES, sent
from tests.unit.gateway.told import WEATHER
from waggle.node.services.local import LocalService

REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "an earlier response": ({"previous_response_id": "resp_1"}, "previous_response_id"),
    "a conversation": ({"conversation": "conv_1"}, "conversation"),
    "a conversation by object": ({"conversation": {"id": "conv_1"}}, "conversation"),
    "background": ({"background": True}, "background"),
    "storing": ({"store": True}, "store"),
    "a stored prompt": ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    "a picture": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://169.254.169.254/"}]}]},
        "input[0].content[0]",
    ),
    "a file": (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "http://127.0.0.1/"}]}]},
        "input[0].content[0]",
    ),
    "an item that is not known": ({"input": [{"type": "computer_call", "id": "1"}]}, "input[0]"),
    "a role that is not known": ({"input": [{"role": "root", "content": "a"}]}, "input[0].role"),
    "searching": ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    "a tool server": ({"tools": [{"type": "mcp", "server_url": "http://127.0.0.1"}]}, "tools[0]"),
    "two tools of a name": ({"tools": [WEATHER, WEATHER]}, "tools[1].name"),
    "a tool that is not there": ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
    "a call out of nowhere": (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        "input",
    ),
    "a strict tool without end": (
        {"tools": [{**WEATHER, "strict": True, "parameters": {"type": "object", "$ref": "http://127.0.0.1/"}}]},
        "tools[0].parameters",
    ),
    "options of a stream that is none": ({"stream": False, "stream_options": {}}, "stream_options"),
    "nothing": ({"input": ""}, "input"),
    "nothing in it": ({"input": []}, "input"),
    "an answer last": ({"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "input"),
    "thinking": ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
    "cutting": ({"truncation": "auto"}, "truncation"),
    "including": ({"include": ["message.output_text.logprobs"]}, "include"),
    "padding": (
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        "stream_options.include_obfuscation",
    ),
    "a better place": ({"service_tier": "priority"}, "service_tier"),
    "more words": ({"text": {"verbosity": "high"}}, "text.verbosity"),
    "a field that nobody knows": ({"colour": "blue"}, "colour"),
    "too hot": ({"temperature": 3}, "temperature"),
    "no tokens": ({"max_output_tokens": 0}, "max_output_tokens"),
    "a schema elsewhere": (
        {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"$ref": "http://127.0.0.1/"}}}},
        "text.format",
    ),
    "a schema that is none": ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format"),
}


@pytest.mark.parametrize(("body", "param"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_honoured_is_refused_by_name(
    service: LocalService, body: dict[str, object], param: str, stream: bool
) -> None:
    refused = await sent(service, RESPONSES, **{"stream": stream, **body})
    assert refused.status_code == 400, refused.text
    error = refused.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(param)
    assert not any(word in error["message"] for word in ("constrained", "tag", "literal[", "using"))  # the machinery's


UNSUPPORTED = ("thinking", "cutting", "including", "padding", "a better place", "more words")


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_a_known_field_that_cannot_be_honoured_is_told_as_in_a_chat(service: LocalService, name: str) -> None:
    body, param = REFUSED[name]
    error = (await sent(service, RESPONSES, **body)).json()["error"]
    assert (error["code"], error["message"]) == (
        "unsupported_parameter",
        f"{param} is not supported here: leave it out",
    )


async def test_an_unknown_model_is_not_found(service: LocalService) -> None:
    refused = await sent(service, RESPONSES, model="gpt-5")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {"store": False},
        {"store": None, "background": False, "previous_response_id": None, "conversation": None, "prompt": None},
        {"reasoning": {"effort": None}, "include": [], "truncation": "disabled", "service_tier": "auto"},
        {"metadata": {"a": "b"}, "user": "me", "parallel_tool_calls": False, "text": {"format": {"type": "text"}}},
    ],
)
async def test_fields_that_change_nothing_are_taken(service: LocalService, body: dict[str, object]) -> None:
    made = await sent(service, RESPONSES, **body)
    assert made.status_code == 200, made.text
    Response.model_validate_json(made.text)
