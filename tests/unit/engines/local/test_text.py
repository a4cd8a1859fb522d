"""A finished job is read as any engine's completion: cut, split, and with the confidence of the answer's own tokens."""

import math

import pytest
from tokenizers import Tokenizer

from tests.unit.models.tiny import vocabulary
from waggle.core.engine_values import Finish, Sampling
from waggle.core.errors import EngineRefused
from waggle.engines.local.jobs import GenerateJob
from waggle.engines.local.text import MOST_TEXT, Writer, encoded, finished_generation
from waggle.models.tokenizer import ChatTokenizer

TOKENIZER = ChatTokenizer(Tokenizer.from_str(vocabulary()), end_tokens=frozenset({3}), template=None)


def finished(text: str, *, answer: str, ended: bool = True) -> GenerateJob:
    """A job that wrote `text` with log-probability -2, `answer` with -1, and -0.5 for the end."""
    job = GenerateJob([5, 6], max_tokens=99, end_tokens=frozenset({3}), sampling=Sampling())
    for token in TOKENIZER.encode(text):
        job.accept(token, -2.0, is_last_place=False)
    for token in TOKENIZER.encode(answer):
        job.accept(token, -1.0, is_last_place=False)
    if ended:
        job.accept(3, -0.5, is_last_place=False)
    return job


def test_confidence_is_that_of_the_answers_tokens_and_its_end() -> None:
    done = finished_generation(
        finished("working\nAnswer: ", answer="432"), TOKENIZER, stops=(), marker="\nAnswer:", seconds=2.0
    )
    assert (done.trace, done.answer) == ("working", "432")
    assert done.self_confidence == pytest.approx(math.exp((-3 - 0.5) / 4))
    assert (done.prompt_tokens, done.completion_tokens, done.finish) == (2, len(done.logprobs), Finish.STOP)


def test_without_the_marker_there_is_no_answer_and_no_confidence() -> None:
    done = finished_generation(finished("who knows", answer=""), TOKENIZER, stops=(), marker="\nAnswer:", seconds=1.0)
    assert (done.answer, done.self_confidence) == ("", None)


def test_a_stop_string_over_several_tokens_is_cut_off() -> None:
    job = finished("one 2345 three", answer="", ended=False)
    done = finished_generation(job, TOKENIZER, stops=("x", "34"), marker=None, seconds=1.0)
    assert (done.text, done.finish) == ("one 2", Finish.STOP)
    assert done.completion_tokens == len(job.written)


def test_an_unfinished_character_at_the_end_is_shown_as_such() -> None:
    job = GenerateJob([5], max_tokens=2, end_tokens=frozenset({3}), sampling=Sampling())
    for token in TOKENIZER.encode("日")[:2]:
        job.accept(token, -1.0, is_last_place=False)
    done = finished_generation(job, TOKENIZER, stops=(), marker=None, seconds=1.0)
    assert (done.text, done.finish) == ("\N{REPLACEMENT CHARACTER}", Finish.LENGTH)


def test_a_writer_stops_at_the_token_that_completes_a_stop_string() -> None:
    shown: list[str] = []
    writer = Writer(TOKENIZER, ("34",), lambda text, logprob: shown.append(text))
    assert [writer(token, -1.0) for token in TOKENIZER.encode("12345")] == [False, False, False, True, True]
    assert "".join(shown) + writer.rest() == "12"


def test_a_writer_gives_out_what_turned_out_to_be_no_stop_string() -> None:
    shown: list[str] = []
    writer = Writer(TOKENIZER, ("5678",), lambda text, logprob: shown.append(text))
    assert not any(writer(token, -1.0) for token in TOKENIZER.encode("12567"))
    assert "".join(shown) == "12"
    assert writer.rest() == "567"


async def test_long_and_impossible_texts() -> None:
    assert await encoded("z" * 9_000, TOKENIZER.encode) == TOKENIZER.encode("z" * 9_000)
    with pytest.raises(EngineRefused, match="characters"):
        await encoded("z" * (MOST_TEXT + 1), TOKENIZER.encode)
    with pytest.raises(EngineRefused, match="cannot be encoded"):
        await encoded("\ud800", TOKENIZER.encode)
