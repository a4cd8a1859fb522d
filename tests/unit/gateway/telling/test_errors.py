"""Whatever goes wrong is told in OpenAI's shape, and nothing of the inside is told with it."""

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from waggle.core.errors import (
    CheckpointError,
    EngineError,
    EngineRefused,
    EngineUnavailable,
    LocalProtocolError,
    MeshError,
    PeerBusy,
    PeerRefused,
    PeerUnreachable,
    UsageError,
    WaggleError,
)
from waggle.gateway.app import as_api_error
from waggle.gateway.chat.shapes import ChatRequest, CompletionRequest
from waggle.gateway.errors import ApiError, error_body, invalid, of_status, of_waggle, param_of, unknown_model

INSIDE = "/home/somebody/.waggle/key http://10.0.0.7:8080 sk-secret"
USER = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PeerBusy(INSIDE, 2.5), 429, "rate_limit_exceeded"),
        (EngineUnavailable(INSIDE), 503, "unavailable"),
        (EngineRefused(INSIDE), 422, "refused"),
        (EngineError(INSIDE), 503, "unavailable"),
        (PeerUnreachable(INSIDE), 503, "unavailable"),
        (PeerRefused(INSIDE), 503, "unavailable"),
        (MeshError(INSIDE), 503, "unavailable"),
        (TimeoutError(INSIDE), 408, "timeout"),
        (CheckpointError(INSIDE), 500, "internal_error"),
        (LocalProtocolError(INSIDE), 500, "internal_error"),
    ],
)
def test_an_error_of_the_house_has_a_status_and_keeps_its_words(error: WaggleError, status: int, code: str) -> None:
    told = of_waggle(error)
    assert (told.status, told.code) == (status, code)
    assert not any(word in str(error_body(told)) for word in INSIDE.split())


def test_a_wrong_request_is_told_what_is_wrong_with_it() -> None:
    told = of_waggle(UsageError("the question is empty"))
    assert (told.status, told.message, told.type) == (400, "the question is empty", "invalid_request_error")


@pytest.mark.parametrize(("seconds", "header"), [(2.5, "3"), (0.0, "1"), (None, "1"), (40.0, "40")])
def test_who_is_busy_says_when_to_come_again_in_whole_seconds(seconds: float | None, header: str) -> None:
    assert of_waggle(PeerBusy("busy", seconds)).headers == {"retry-after": header}


def test_a_body_has_all_four_of_openai_s_fields_and_no_endless_words() -> None:
    body = error_body(ApiError(400, "x" * 10_000, code="c", param="p"))["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert len(str(body["message"])) == 500
    assert len(str(error_body(unknown_model("m" * 10_000)))) < 400


@pytest.mark.parametrize(
    ("path", "param"),
    [
        (("body", "temperature"), "temperature"),
        (("messages", 0, "(user)", "content", "(parts)", 1, "type"), "messages[0].content[1].type"),
        (("body", "user"), "user"),
        (("body",), None),
        ((), None),
    ],
)
def test_a_place_in_a_body_is_named_as_openai_names_it(path: tuple[object, ...], param: str | None) -> None:
    assert param_of(path) == param


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"temperature": "hot"}, "invalid_value", "temperature"),
        ({"temperature": float("nan")}, "invalid_value", "temperature"),
        ({"n": 1_000_000}, "invalid_value", "n"),
        ({"n": True}, "invalid_value", "n"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"seed": 2**70}, "invalid_value", "seed"),
        ({"stop": ["a"] * 5}, "invalid_value", "stop"),
        ({"stop": ""}, "invalid_value", "stop"),
        ({"top_p": -0.1}, "invalid_value", "top_p"),
        ({"audio": {"voice": "alloy"}}, "unsupported_parameter", "audio"),
        ({"modalities": ["text", "audio"]}, "unsupported_parameter", "modalities"),
        ({"logit_bias": {"50256": -100}}, "unsupported_parameter", "logit_bias"),
        ({"web_search_options": {}}, "unsupported_parameter", "web_search_options"),
        ({"store": True}, "unsupported_parameter", "store"),
        ({"frequency_penalty": 0.5}, "unsupported_parameter", "frequency_penalty"),
        ({"presence_penalty": -1}, "unsupported_parameter", "presence_penalty"),
        ({"top_logprobs": 3}, "unsupported_parameter", "top_logprobs"),
        ({"reasoning_effort": "high"}, "unsupported_parameter", "reasoning_effort"),
        ({"prediction": {"type": "content"}}, "unsupported_parameter", "prediction"),
        ({"functions": []}, "unsupported_parameter", "functions"),
        ({"service_tier": "priority"}, "unsupported_parameter", "service_tier"),
        ({"chat_template_kwargs": {"x": 1}}, "unknown_parameter", "chat_template_kwargs"),
        ({"api_base": "http://169.254.169.254"}, "unknown_parameter", "api_base"),
        ({"best_of": 1_000_000}, "unknown_parameter", "best_of"),
        ({"waggle": {"budget": 1}}, "unknown_parameter", "waggle.budget"),
        ({"waggle": {"judges": -1}}, "invalid_value", "waggle.judges"),
        ({"waggle": {"budget_seconds": float("inf")}}, "invalid_value", "waggle.budget_seconds"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": [USER] * 513}, "invalid_value", "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "invalid_value", "messages[0]"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "invalid_value", "messages[0]"),
        ({"messages": ["Hello"]}, "invalid_value", "messages[0]"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
        ({"messages": [USER | {"colour": "red"}]}, "unknown_parameter", "messages[0].colour"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "invalid_value", "messages[0].content"),
        ({"tools": [{"type": "web_search"}]}, "invalid_value", "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "invalid_value", "tools[0].function.name"),
        ({"tool_choice": "sometimes"}, "invalid_value", "tool_choice"),
        ({"model": None}, "invalid_value", "model"),
    ],
)
def test_a_bad_field_is_a_400_that_names_it(fields: dict[str, object], code: str, param: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate({"model": "swarm", "messages": [USER], **fields})
    told = as_api_error(RequestValidationError(caught.value.errors(include_url=False)))
    assert (told.status, told.code, told.param) == (400, code, param)
    assert param.split("[")[0] in told.message


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "video_url"])
@pytest.mark.parametrize("role", ["user", "system", "assistant", "tool"])
def test_pictures_and_sounds_are_refused_in_every_message(role: str, kind: str) -> None:
    message = {"role": role, "content": [{"type": kind, kind: {"url": "http://169.254.169.254/"}}]}
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate(
            {"model": "swarm", "messages": [message | ({"tool_call_id": "1"} if role == "tool" else {})]}
        )
    told = as_api_error(RequestValidationError(caught.value.errors(include_url=False)))
    assert told.status == 400
    assert (told.param or "").startswith("messages[0].content[0]")
    assert "169.254" not in str(error_body(told))


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "me", "metadata": {"a": "b"}, "parallel_tool_calls": False, "service_tier": "auto"},
        {"safety_identifier": "x", "prompt_cache_key": "y", "prompt_cache_retention": "24h"},
        {"store": False, "logit_bias": {}, "frequency_penalty": 0, "presence_penalty": 0.0, "modalities": ["text"]},
        {
            "audio": None,
            "logit_bias": None,
            "stop": None,
            "n": None,
            "seed": None,
            "tools": None,
            "stream_options": None,
        },
        {"verbosity": "medium", "reasoning_effort": "none", "top_logprobs": 0, "logprobs": False},
        {"response_format": {"type": "text"}, "tool_choice": "auto", "stream": False},
    ],
)
def test_fields_that_change_nothing_are_taken(fields: dict[str, object]) -> None:
    ChatRequest.model_validate({"model": "swarm", "messages": [USER], **fields})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"best_of": 1_000_000}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 5}, "logprobs"),
        ({"prompt": [1, 2, 3]}, "prompt[0]"),
        ({"prompt": [[1, 2], [3]]}, "prompt[0]"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_a_legacy_field_that_cannot_be_honoured_is_a_400_that_names_it(fields: dict[str, object], param: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CompletionRequest.model_validate({"model": "swarm", "prompt": "Hello", **fields})
    told = as_api_error(RequestValidationError(caught.value.errors(include_url=False)))
    assert (told.status, told.param) == (400, param)


def test_a_message_does_not_repeat_what_was_sent() -> None:
    secret = "sk-very-secret"
    for fields in (
        {"temperature": secret},
        {"tool_choice": secret},
        {"messages": [{"role": secret}]},
        {"n": {secret: 1}},
    ):
        with pytest.raises(ValidationError) as caught:
            ChatRequest.model_validate({"model": "swarm", "messages": [USER], **fields})
        assert secret not in str(error_body(invalid(caught.value.errors(include_url=False))))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HTTPException(404), 404),
        (HTTPException(405), 405),
        (HTTPException(400, INSIDE), 400),
        (ValueError(INSIDE), 500),
    ],
)
def test_errors_of_the_framework_and_of_nobody_have_openai_s_shape_too(error: Exception, status: int) -> None:
    told = as_api_error(error)
    assert told.status == status
    assert not any(word in str(error_body(told)) for word in INSIDE.split())


def test_a_status_that_is_no_fault_of_the_client_is_a_bug_of_ours() -> None:
    assert of_status(502).status == 500
    assert invalid([]).status == 400
