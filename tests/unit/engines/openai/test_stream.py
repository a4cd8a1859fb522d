"""A streamed completion is put together rightly from whatever a server sends, or refused."""

import math
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.engine_values import Finish, Generation
from waggle.core.errors import EngineError, EngineRefused, EngineUnavailable
from waggle.engines.openai.stream import LEAST_BELIEVED, StreamReader
from waggle.engines.openai.wire import (
    ChatAsk,
    ChatMessage,
    Chunk,
    ChunkChoice,
    Delta,
    EmbeddingList,
    Model,
    ModelMeta,
    SwarmModel,
    Usage,
    read_as,
    written,
)


def event(
    content: str | None = None,
    *,
    finish: str | None = None,
    logprob: float | None = None,
    token: str | None = None,
) -> Chunk:
    choice: dict[str, object] = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    if logprob is not None:
        choice["logprobs"] = {"content": [{"token": content if token is None else token, "logprob": logprob}]}
    return read_as(msgspec.json.encode({"id": "x", "choices": [choice], "usage": None}), Chunk)


def read(
    *chunks: Chunk, max_tokens: int = 99, stops: tuple[str, ...] = (), marker: str | None = None
) -> tuple[list[str], Generation]:
    reader = StreamReader(prompt="a question of words", max_tokens=max_tokens, stops=stops, marker=marker)
    shown = [token.text for chunk in chunks if (token := reader.feed(chunk)) is not None]
    last = reader.end(1.5)
    assert last.generation is not None
    return [*shown, last.text], last.generation


def test_chunks_add_up_to_the_text() -> None:
    shown, done = read(event("So: "), event("Answer:"), event(" 42"), event(finish="stop"), marker="Answer:")
    assert "".join(shown) == done.text == "So: Answer: 42"
    assert (done.trace, done.answer, done.finish, done.seconds) == ("So: ", "42", Finish.STOP, 1.5)
    assert (done.completion_tokens, done.logprobs, done.self_confidence) == (3, (), None)
    assert done.prompt_tokens == 4


def test_the_servers_counts_are_taken() -> None:
    usage = Chunk(usage=Usage(prompt_tokens=7, completion_tokens=5))
    done = read(event("42"), event(finish="length"), usage)[1]
    assert (done.prompt_tokens, done.completion_tokens, done.finish) == (7, 5, Finish.LENGTH)


def test_a_server_behind_which_are_many_calls_is_believed_what_they_took() -> None:
    done = read(event("42"), event(finish="stop"), Chunk(usage=Usage(195, 341)), max_tokens=256)[1]
    assert (done.prompt_tokens, done.completion_tokens) == (195, 341)
    done = read(event("42"), event(finish="stop"), Chunk(usage=Usage(3, 400_000)), max_tokens=8_192)[1]
    assert done.completion_tokens == 400_000


def test_a_server_is_not_believed_a_count_beyond_reason() -> None:
    done = read(event("42"), event(finish="stop"), Chunk(usage=Usage(9_999_999, 9_999_999)), max_tokens=5)[1]
    assert (done.prompt_tokens, done.completion_tokens) == (LEAST_BELIEVED, LEAST_BELIEVED)


def test_what_was_used_so_far_is_known_at_any_time() -> None:
    reader = StreamReader(prompt="a question of words", max_tokens=99, stops=(), marker=None)
    assert reader.used == (0, 0)
    reader.feed(event("4"))
    reader.feed(event("2"))
    assert reader.used == (4, 2)


def test_confidence_is_that_of_the_answers_own_tokens() -> None:
    chunks = [event("Answer:", logprob=-3.0), event(" 4", logprob=math.log(0.5)), event("2", logprob=math.log(0.5))]
    done = read(*chunks, event(finish="stop"), marker="Answer:")[1]
    assert done.self_confidence == pytest.approx(0.5)
    assert done.logprobs == pytest.approx((-3.0, math.log(0.5), math.log(0.5)))


def test_log_probabilities_that_spell_another_text_give_no_confidence() -> None:
    done = read(event("42", logprob=-0.1, token="41"), event(finish="stop"))[1]
    assert done.self_confidence is None


def test_log_probabilities_that_are_not_one_a_token_are_left_out() -> None:
    done = read(event("42", logprob=-0.1), event(finish="stop"), Chunk(usage=Usage(1, 2)))[1]
    assert done.logprobs == ()
    assert done.self_confidence == pytest.approx(math.exp(-0.1))


def test_an_end_token_without_text_counts_as_a_token() -> None:
    done = read(event("42", logprob=-0.1), event("", logprob=-0.2, finish="stop", token="<|end|>"))[1]
    assert done.text == "42"
    assert len(done.logprobs) == done.completion_tokens == 2
    assert done.self_confidence == pytest.approx(math.exp(-0.1))


def test_rounding_above_probability_one_is_cut_off() -> None:
    assert read(event("42", logprob=1e-6), event(finish="stop"))[1].logprobs == (0.0,)


def test_a_server_that_ignores_stop_strings_is_cut_by_us() -> None:
    reader = StreamReader(prompt="?", max_tokens=99, stops=("##",), marker=None)
    shown = [reader.feed(event(text)) for text in ("4", "2#", "# and so on", " for ever")]
    assert [token.text for token in shown if token] == ["4", "2", ""]
    assert reader.done
    end = reader.end(1.0).generation
    assert end is not None
    assert (end.text, end.finish) == ("42", Finish.STOP)


def test_a_server_that_ignores_max_tokens_is_cut_by_us() -> None:
    reader = StreamReader(prompt="?", max_tokens=2, stops=(), marker=None)
    texts = [token.text for text in ("a", "b", "c", "d") if (token := reader.feed(event(text)))]
    assert texts == ["a", "b"]
    assert reader.done
    end = reader.end(1.0).generation
    assert end is not None
    assert (end.text, end.finish, end.completion_tokens) == ("ab", Finish.LENGTH, 2)


def test_text_held_back_for_a_stop_string_that_did_not_come_is_shown_at_the_end() -> None:
    shown, done = read(event("42#"), event(finish="stop"), stops=("##",))
    assert [text for text in shown if text] == ["42", "#"]
    assert done.text == "42#"


def test_a_stream_that_breaks_off_is_an_error() -> None:
    with pytest.raises(EngineUnavailable, match="broke off"):
        read(event("42"))
    with pytest.raises(EngineUnavailable, match="broke off"):
        read()


def test_an_error_in_the_stream_is_an_error_without_its_text() -> None:
    chunk = read_as(b'{"error": {"message": "secret"}}', Chunk)
    with pytest.raises(EngineUnavailable, match="reported an error") as caught:
        read(event("42"), chunk)
    assert "secret" not in str(caught.value)
    assert read(read_as(b'{"error": null}', Chunk), event("42", finish="stop"))[1].text == "42"


@pytest.mark.parametrize("reason", ["content_filter", "abort", ""])
def test_an_end_for_another_reason_is_not_usable(reason: str) -> None:
    with pytest.raises(EngineRefused, match="for a reason other"):
        read(event("42", finish=reason))


def end_of_a_swarm(**note: object) -> Chunk:
    body = {"choices": [{"delta": {}, "finish_reason": "stop"}], "waggle": note}
    return read_as(msgspec.json.encode(body), Chunk)


def test_the_sentence_of_a_swarm_that_abstained_is_no_answer() -> None:
    sentence = event("The swarm abstained: it is not sure enough of any answer.")
    early = read_as(b'{"choices": [], "waggle": {"abstained": true}}', Chunk)
    for chunks in ([end_of_a_swarm(abstained=True, confidence=0.01, best_guess="1")], [early, event(finish="stop")]):
        with pytest.raises(EngineRefused, match="abstained"):
            read(sentence, *chunks)
    assert read(sentence, end_of_a_swarm(abstained=False))[1].answer.startswith("The swarm abstained")


def test_a_swarm_is_as_sure_as_it_says_unless_log_probabilities_say_more() -> None:
    assert read(event("42"), end_of_a_swarm(abstained=False, confidence=0.9))[1].self_confidence == 0.9
    assert read(event("42"), end_of_a_swarm(confidence=None))[1].self_confidence is None
    told = read(event("42", logprob=math.log(0.5)), end_of_a_swarm(confidence=0.99))[1]
    assert told.self_confidence == pytest.approx(0.5)


@pytest.mark.parametrize(
    "body",
    [
        b'{"waggle": "yes"}',
        b'{"waggle": [1]}',
        b'{"waggle": {"confidence": 7}}',
        b'{"waggle": {"confidence": -0.1}}',
        b'{"waggle": {"abstained": "no"}}',
        b"",
        b"{",
        b"\xff\xfe",
        b'{"choices": "many"}',
        b'{"choices": [{"delta": {"content": 7}}]}',
        b'{"usage": {"prompt_tokens": -1}}',
        b'{"usage": {"completion_tokens": 1e99}}',
        b'{"choices": [{"logprobs": {"content": [{"token": "x", "logprob": NaN}]}}]}',
        b'{"choices": [{"logprobs": {"content": [{"token": "x", "logprob": 1e999}]}}]}',
        b'{"choices": [' + b"{}," * 50 + b"{}]}",
        b"[" * 100_000,
    ],
)
def test_what_has_the_wrong_shape_is_refused_and_not_repeated(body: bytes) -> None:
    with pytest.raises(EngineRefused, match="wrong shape") as caught:
        read_as(body, Chunk)
    assert "many" not in str(caught.value)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_chunk_or_an_engine_error(body: bytes) -> None:
    with suppress(EngineError):
        assert isinstance(read_as(body, Chunk), Chunk)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Chunk,
            choices=st.tuples(
                st.builds(
                    ChunkChoice,
                    delta=st.builds(Delta, content=st.none() | st.text("ab#", max_size=3)),
                    finish_reason=st.sampled_from([None, None, "stop", "length", "abort"]),
                )
            ),
            usage=st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
        ),
        max_size=8,
    )
)
def test_whatever_is_streamed_the_texts_add_up_and_the_limits_hold(chunks: list[Chunk]) -> None:
    try:
        shown, done = read(*chunks, max_tokens=4, stops=("#a", "bb"))
    except EngineError:
        return
    assert "".join(shown) == done.text
    assert "#a" not in done.text
    assert "bb" not in done.text
    assert done.completion_tokens <= (4 if all(chunk.usage is None for chunk in chunks) else 9)


def test_only_what_is_set_is_sent() -> None:
    ask = ChatAsk(model="m", messages=(ChatMessage("user", "?"),), max_tokens=1, temperature=0.0, top_p=1.0, seed=0)
    assert set(msgspec.json.decode(written(ask))) == {
        "model", "messages", "max_tokens", "temperature", "top_p", "seed", "stream",
    }  # fmt: skip


def test_a_question_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(EngineRefused, match="Unicode"):
        written(ChatAsk(model="m", messages=(ChatMessage("user", "\ud800"),)))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model(id="m"), None),
        (Model(id="m", max_model_len=8), 8),
        (Model(id="m", context_length=9), 9),
        (Model(id="m", meta=ModelMeta(n_ctx_train=7)), 7),
        (Model(id="m", max_model_len=0, meta=ModelMeta(n_ctx=6, n_ctx_train=7)), 6),
        (Model(id="m", waggle=SwarmModel(context_tokens=256)), 256),
        (Model(id="m", waggle=SwarmModel()), None),
    ],
)
def test_the_context_length_is_found_under_any_of_its_names(model: Model, expected: int | None) -> None:
    assert model.context_tokens() == expected


def test_an_embedding_without_numbers_is_refused() -> None:
    with pytest.raises(EngineRefused):
        read_as(b'{"data": [{"index": 0, "embedding": []}]}', EmbeddingList)
