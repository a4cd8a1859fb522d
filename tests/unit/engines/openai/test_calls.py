"""Conversations and tools on their way to a server, and calls of tools on their way back."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.chat_values import MAX_TOOL_CALLS, Role, Tool, ToolCall, Turn
from waggle.core.engine_values import Finish, GenerateRequest, Generation
from waggle.core.errors import EngineError, EngineRefused
from waggle.engines.openai.asking import chat_ask
from waggle.engines.openai.calls import MAX_ALL_ARGUMENTS, CallReader
from waggle.engines.openai.stream import StreamReader
from waggle.engines.openai.wire import MAX_ARGUMENTS, CallDelta, Chunk, FunctionDelta, read_as, written

SCHEMA = '{"type": "object", "properties": {"place": {"type": "string"}}}'
TOOL = Tool(name="weather", description="Tells the weather.", parameters=SCHEMA)
CALL = ToolCall(id="c1", name="weather", arguments='{"place": "hive"}')
TALK = (
    Turn(role=Role.SYSTEM, content="Be brief."),
    Turn(role=Role.USER, content="How is it?"),
    Turn(role=Role.ASSISTANT, content="", tool_calls=(CALL,)),
    Turn(role=Role.TOOL, content="rain", tool_call_id="c1"),
    Turn(role=Role.USER, content="And now?"),
)


def sent(request: GenerateRequest, instructions: str | None = None) -> dict[str, object]:
    body: dict[str, object] = json.loads(written(chat_ask("m", instructions, request)))
    return body


def asked(**changed: object) -> GenerateRequest:
    return msgspec.structs.replace(GenerateRequest(question="And now?"), **changed)


# --- there ------------------------------------------------------------------------------------------------------------


def test_a_question_alone_is_one_message() -> None:
    body = sent(asked())
    assert body["messages"] == [{"role": "user", "content": "And now?"}]
    assert not {"tools", "tool_choice"} & set(body)


def test_a_conversation_is_sent_as_it_is_behind_the_configured_instructions() -> None:
    assert sent(asked(turns=TALK), "Answer in English.")["messages"] == [
        {"role": "system", "content": "Answer in English.\n\nBe brief."},
        {"role": "user", "content": "How is it?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": CALL.arguments}}
            ],
        },
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        {"role": "user", "content": "And now?"},
    ]


def test_instructions_in_the_middle_stay_there() -> None:
    turns = (TALK[1], TALK[0], TALK[4])
    messages = sent(asked(turns=turns), "First.")["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "system", "user"]  # type: ignore[attr-defined]
    assert messages[0]["content"] == "First."  # type: ignore[index]


def test_tools_are_offered_with_their_schemas() -> None:
    body = sent(asked(tools=(TOOL,)))
    function = {"name": "weather", "description": "Tells the weather.", "parameters": json.loads(SCHEMA)}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", "none"),
        ("required", "required"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_the_choice_of_a_tool_is_sent(choice: str, expected: object) -> None:
    assert sent(asked(tools=(TOOL,), tool_choice=choice))["tool_choice"] == expected


@pytest.mark.parametrize("request_", [asked(tool_choice="required"), asked(tools=(TOOL,), tool_choice="rm")], ids=repr)
def test_a_tool_that_is_not_offered_cannot_be_demanded(request_: GenerateRequest) -> None:
    with pytest.raises(EngineRefused, match="not offered"):
        sent(request_)


@pytest.mark.parametrize(
    "schema",
    ["", "[]", "7", "{", '{}}], "model": "dear", "x": [{', "{\ud800}", "[" * 5_000 + "]" * 5_000, "null"],
    ids=lambda text: text[:24].encode(errors="replace").decode(),
)
def test_a_schema_that_is_no_json_object_is_refused(schema: str) -> None:
    with pytest.raises(EngineRefused):
        sent(asked(tools=(Tool(name="t", parameters=schema),)))


@settings(deadline=None)
@given(st.integers(1, 2_000))
def test_a_deep_schema_is_sent_or_refused(depth: int) -> None:
    schema = '{"a": ' * depth + "1" + "}" * depth
    try:
        written(chat_ask("m", None, asked(tools=(Tool(name="t", parameters=schema),))))
    except EngineError:
        assert depth > 50


# --- and back ---------------------------------------------------------------------------------------------------------


def delta(
    index: int | None = 0, call: str | None = None, name: str | None = None, more: str | None = None
) -> CallDelta:
    return CallDelta(index=index, id=call, function=FunctionDelta(name=name, arguments=more))


def called(*pieces: CallDelta, offered: tuple[str, ...] = ("weather", "time")) -> tuple[ToolCall, ...]:
    reader = CallReader(offered)
    for piece in pieces:
        reader.feed([piece])
    return reader.calls()


def test_a_call_is_put_together_from_its_pieces() -> None:
    pieces = [delta(call="c1", name="weather", more=""), delta(more='{"place"'), delta(more=': "hive"}')]
    assert called(*pieces) == (CALL,)


def test_calls_may_be_mixed() -> None:
    pieces = [delta(0, "a", "weather", "{"), delta(1, "b", "time", "{"), delta(0, more="1}"), delta(1, more="2}")]
    assert [(call.id, call.name, call.arguments) for call in called(*pieces)] == [
        ("a", "weather", "{1}"),
        ("b", "time", "{2}"),
    ]


def test_servers_that_number_all_calls_alike_or_not_at_all_are_understood() -> None:
    alike = called(delta(0, "a", "weather", "{1}"), delta(0, "b", "time", "{2}"), delta(0, more=" "))
    without = called(delta(None, "a", "weather", "{1}"), delta(None, "b", "time", "{2}"), delta(None, more=" "))
    assert [(call.id, call.arguments) for call in alike] == [("a", "{1}"), ("b", "{2} ")]
    assert alike == without


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    first, second = called(delta(0, name="weather", more="{}"), delta(1, name="weather", more="{}"))
    assert first.id != second.id
    assert first.id.startswith("call_")
    assert called(delta(0, name="weather", more="{}")) == (first,)
    twins = called(delta(0, "x", "weather", "{}"), delta(1, "x", "weather", "{}"))
    assert len({call.id for call in twins}) == 2


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert called(delta(call="a", name="time"))[0].arguments == "{}"


def test_a_name_that_is_repeated_in_every_piece_counts_once() -> None:
    assert called(delta(0, "a", "time", "{"), delta(0, "a", "time", "}"))[0].name == "time"


@pytest.mark.parametrize(
    "pieces",
    [
        [delta(call="a", name="rm", more="{}")],
        [delta(call="a", more="{}")],
        [delta(call="a", name="weather"), delta(name="x" * 200), delta(name="y" * 200)],
        [delta(call="a", name="weather"), *[delta(more="x" * 60_000)] * 2],
        [delta(n % MAX_TOOL_CALLS, f"i{n}", "time") for n in range(MAX_TOOL_CALLS + 1)],
        [delta(n, f"i{n}", "time", "x" * 60_000) for n in range(MAX_ALL_ARGUMENTS // 60_000 + 1)],
        [delta(call="a", name="time"), *[delta()] * 100_001],
    ],
    ids=["not offered", "no name", "long name", "long arguments", "many calls", "many arguments", "many pieces"],
)
def test_calls_beyond_the_bounds_are_refused(pieces: list[CallDelta]) -> None:
    with pytest.raises(EngineRefused):
        called(*pieces)


@pytest.mark.parametrize(
    "piece",
    [
        {"index": -1},
        {"index": MAX_TOOL_CALLS},
        {"index": "0"},
        {"id": 7},
        {"function": {"arguments": {"place": "hive"}}},
        {"function": {"name": "x" * 300}},
        {"function": {"arguments": "x" * (MAX_ARGUMENTS + 1)}},
        {"function": None},
        "weather",
    ],
    ids=lambda piece: repr(piece)[:40],
)
def test_a_piece_of_another_shape_is_refused(piece: object) -> None:
    body = json.dumps({"choices": [{"delta": {"tool_calls": [piece]}}]}).encode()
    with pytest.raises(EngineRefused):
        read_as(body, Chunk)


def chunk(*pieces: CallDelta, content: str | None = None, finish: str | None = None) -> Chunk:
    made = {"content": content, "tool_calls": msgspec.to_builtins(pieces) or None}
    return read_as(msgspec.json.encode({"choices": [{"delta": made, "finish_reason": finish}]}), Chunk)


def read(*chunks: Chunk, max_tokens: int = 50, must_call: bool = False, stops: tuple[str, ...] = ()) -> Generation:
    reader = StreamReader(
        prompt="?", max_tokens=max_tokens, stops=stops, marker="Answer:", tools=["weather"], must_call=must_call
    )
    for item in chunks:
        reader.feed(item)
        if reader.done:
            break
    last = reader.end(1.0).generation
    assert last is not None
    return last


PIECES = (chunk(delta(call="c1", name="weather", more='{"place": ')), chunk(delta(more='"hive"}')))


@pytest.mark.parametrize("finish", ["tool_calls", "function_call", "stop"])
def test_a_stream_of_calls_ends_with_them(finish: str) -> None:
    made = read(*PIECES, chunk(finish=finish))
    assert (made.tool_calls, made.finish, made.text, made.answer) == ((CALL,), Finish.TOOL_CALLS, "", "")
    assert (made.completion_tokens, made.self_confidence) == (2, None)


def test_text_before_a_call_is_kept() -> None:
    made = read(chunk(content="Let me look."), *PIECES, chunk(finish="tool_calls"))
    assert (made.text, made.tool_calls) == ("Let me look.", (CALL,))


def test_calls_that_were_cut_off_are_not_given() -> None:
    assert (made := read(*PIECES, chunk(finish="length"))).finish is Finish.LENGTH
    assert made.tool_calls == ()
    assert (made := read(*PIECES, chunk(finish="tool_calls"), max_tokens=1)).finish is Finish.LENGTH
    assert (made.tool_calls, made.completion_tokens) == ((), 1)
    assert read(chunk(content="END"), *PIECES, chunk(finish="tool_calls"), stops=("END",)).tool_calls == ()


def test_an_end_by_calls_without_any_is_refused() -> None:
    with pytest.raises(EngineRefused, match="calls none"):
        read(chunk(content="hm"), chunk(finish="tool_calls"))


def test_a_server_that_must_call_and_does_not_is_refused() -> None:
    with pytest.raises(EngineRefused, match="though it had to"):
        read(chunk(content="no"), chunk(finish="stop"), must_call=True)
    assert read(chunk(content="no"), chunk(finish="length"), must_call=True).finish is Finish.LENGTH


names = st.sampled_from(["weather", "time", "rm", "", None])
short = st.one_of(st.none(), st.text(max_size=5))
deltas = st.builds(delta, st.one_of(st.none(), st.integers(0, 3)), short, names, short)


@settings(deadline=None)
@given(st.lists(deltas, max_size=12))
def test_whatever_pieces_come_calls_are_whole_or_refused(pieces: list[CallDelta]) -> None:
    try:
        calls = called(*pieces)
    except EngineRefused:
        return
    assert all(call.name in ("weather", "time") and call.id for call in calls)
    assert len({call.id for call in calls}) == len(calls)
