"""Finished answers in the shapes of /v1/responses: pure functions that make dictionaries fit for JSON."""

from collections.abc import Sequence

from waggle.core.chat_values import ToolCall
from waggle.core.engine_values import Finish
from waggle.gateway.errors import ApiError
from waggle.gateway.jobs.values import Answer, Head, JsonObject
from waggle.gateway.responses.shapes import ResponsesRequest

RATE = "rate_limit_exceeded"
DETAILS: JsonObject = {
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
"""None are kept for later, and what was only thought is not counted apart."""
PLAIN = {"format": {"type": "text"}}


def response_of(body: ResponsesRequest, head: Head, answer: Answer, now: float) -> JsonObject:
    """The whole response; one that ran into `max_output_tokens` is incomplete."""
    complete = answer.finish is not Finish.LENGTH
    return _response(body, head) | {
        "status": "completed" if complete else "incomplete",
        "completed_at": now,
        "incomplete_details": None if complete else {"reason": "max_output_tokens"},
        "output": output_of(head, answer),
        "usage": usage_of(answer),
        "waggle": answer.waggle,
    }


def begun(body: ResponsesRequest, head: Head) -> JsonObject:
    """A response of which nothing is there yet."""
    return _response(body, head) | {"status": "in_progress", "output": []}


def failed(body: ResponsesRequest, head: Head, error: ApiError) -> JsonObject:
    """A response that there will not be."""
    code = RATE if error.status == 429 else "invalid_prompt" if error.status == 400 else "server_error"
    told = {"code": code, "message": error.message, "param": error.param, "type": error.type}
    beside = {"usage": {**DETAILS, **error.usage} if error.usage else None, "waggle": error.waggle}
    known = {name: value for name, value in beside.items() if value}
    return _response(body, head) | {"status": "failed", "error": told, "output": []} | known


def output_of(head: Head, answer: Answer) -> list[JsonObject]:
    """What was said, unless only tools are called, and then the calls."""
    said = [] if answer.tool_calls and not answer.text else [message_item(head, answer.text, status_of(answer))]
    return said + [call_item(head, number, call) for number, call in enumerate(answer.tool_calls)]


def message_item(head: Head, text: str | None, status: str) -> JsonObject:
    """The assistant's message; None = nothing of it is there yet."""
    content = [] if text is None else [text_part(text)]
    return {
        "id": message_id(head),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def call_item(head: Head, number: int, call: ToolCall, *, arguments: str | None = None) -> JsonObject:
    """A call of a function; with `arguments`, as it is while they are still being written."""
    return {
        "id": f"fc_{head.request}_{number}",
        "type": "function_call",
        "status": "completed" if arguments is None else "in_progress",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments if arguments is None else arguments,
    }


def text_part(text: str) -> JsonObject:
    """A part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message_id(head: Head) -> str:
    """What the message of a response is called."""
    return f"msg_{head.request}"


def status_of(answer: Answer) -> str:
    """Whether the message came to its end."""
    return "incomplete" if answer.finish is Finish.LENGTH else "completed"


def usage_of(answer: Answer) -> JsonObject:
    """Tokens of all calls."""
    tokens = {"input_tokens": answer.prompt_tokens, "output_tokens": answer.completion_tokens}
    return {**DETAILS, **tokens, "total_tokens": answer.tokens}


def _response(body: ResponsesRequest, head: Head) -> JsonObject:
    """What every state of a response repeats of the request."""
    asked = body.model_dump(by_alias=True, exclude_none=True)
    choice = asked.get("tool_choice", "auto")
    return {
        "id": f"resp_{head.request}",
        "object": "response",
        "created_at": head.created,
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": head.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "background": False,
        "store": False,
        "service_tier": "default",
        "temperature": body.temperature or 0.0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "text": PLAIN | asked.get("text", {}),
        "tool_choice": choice,
        "tools": _tools(asked.get("tools", ())),
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


def _tools(tools: Sequence[JsonObject]) -> list[JsonObject]:
    """Tools as OpenAI tells them back: with every field."""
    return [{"parameters": None, "strict": None} | tool for tool in tools]
