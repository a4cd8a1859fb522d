"""Joining the texts of several nodes: nothing twice, nothing taken back, nothing made up."""

from hypothesis import given
from hypothesis import strategies as st

from waggle.core.engine_values import Finish, Generation, StreamedToken
from waggle.node.solo.resume import BREAK, Resumption


def made(text: str, *, tokens: int = 3, trace: str = "") -> Generation:
    return Generation(
        text=text,
        answer=text.removeprefix(trace).strip(),
        trace=trace,
        prompt_tokens=5,
        completion_tokens=tokens,
        seconds=1.0,
        finish=Finish.STOP,
        logprobs=(-0.1,) * tokens,
    )


def written(joined: Resumption, pieces: list[str], end: Generation | None = None) -> list[StreamedToken]:
    """One node writes, and ends where `end` is given."""
    joined.begin()
    tokens = [StreamedToken(text=piece, logprob=-0.5) for piece in pieces]
    tokens += [] if end is None else [StreamedToken(text="", generation=end)]
    return [shown for token in tokens if (shown := joined.take(token)) is not None]


def text_of(tokens: list[StreamedToken]) -> str:
    return "".join(token.text for token in tokens)


def test_one_node_that_comes_to_its_end_is_passed_on_as_it_is() -> None:
    joined = Resumption()
    shown = written(joined, ["a ", "b ", "c"], made("a b c"))
    assert [token.text for token in shown] == ["a ", "b ", "c", ""]
    assert shown[0].logprob == -0.5
    assert shown[-1].generation == made("a b c")


def test_a_node_that_writes_the_same_goes_on_where_the_other_one_broke_off() -> None:
    joined = Resumption()
    written(joined, ["a ", "b "])
    shown = written(joined, ["a", " b ", "c", " d"], made("a b c d"))
    assert [token.text for token in shown] == ["c", " d", ""]
    assert shown[0].logprob == -0.5
    joined = Resumption()
    written(joined, ["a ", "b "])
    shown = written(joined, ["a", " b c", " d"], made("a b c d"))
    assert shown[0].logprob is None
    assert text_of(shown) == "c d"
    assert joined.given == "a b c d"
    assert shown[-1].generation == made("a b c d")
    assert not joined.broken


def test_a_node_that_writes_something_else_begins_anew_behind_an_empty_line() -> None:
    joined = Resumption()
    written(joined, ["a ", "b "])
    shown = written(joined, ["a ", "x", "y"], made("a xy", tokens=3, trace="a "))
    assert text_of(shown) == BREAK + "a xy"
    whole = shown[-1].generation
    assert whole is not None
    assert whole.text == joined.given == "a b " + BREAK + "a xy"
    assert (whole.trace, whole.answer) == ("a b " + BREAK + "a ", "xy")
    assert (whole.completion_tokens, whole.logprobs) == (5, ())


def test_a_node_that_ends_before_what_was_given_out_begins_anew() -> None:
    joined = Resumption()
    written(joined, ["a ", "b ", "c "])
    shown = written(joined, ["a "], made("a ", tokens=1))
    assert text_of(shown) == BREAK + "a "
    assert shown[-1].generation is not None
    assert shown[-1].generation.text == joined.given


def test_a_third_node_may_repeat_what_the_second_one_wrote_behind_the_break() -> None:
    joined = Resumption()
    written(joined, ["a ", "b "])
    written(joined, ["x ", "y "])
    shown = written(joined, ["x y z"], made("x y z", tokens=3))
    assert text_of(shown) == "z"
    assert joined.given == "a b " + BREAK + "x y z"
    assert shown[-1].generation is not None
    assert shown[-1].generation.text == joined.given


def test_a_node_that_dies_before_its_first_word_leaves_no_trace() -> None:
    joined = Resumption()
    written(joined, [])
    written(joined, [""])
    assert text_of(written(joined, ["a"], made("a"))) == "a"
    assert not joined.broken


def test_a_node_that_dies_while_it_repeats_changes_nothing() -> None:
    joined = Resumption()
    written(joined, ["a ", "b "])
    assert written(joined, ["a "]) == []
    assert text_of(written(joined, ["a b c"], made("a b c"))) == "c"


def test_all_was_given_out_and_only_the_end_is_missing() -> None:
    joined = Resumption()
    written(joined, ["a ", "b"])
    shown = written(joined, ["a b"], made("a b"))
    assert text_of(shown) == ""
    assert shown[-1].generation == made("a b")


pieces = st.lists(st.text(alphabet="ab ", max_size=3), max_size=6)


@given(st.lists(pieces, max_size=4), pieces)
def test_whatever_several_nodes_write_the_generation_is_what_was_given_out(
    attempts: list[list[str]], last: list[str]
) -> None:
    joined = Resumption()
    shown = [token for attempt in attempts for token in written(joined, attempt)]
    shown += written(joined, last, made("".join(last)))
    whole = shown[-1].generation
    assert whole is not None
    assert text_of(shown) == joined.given == whole.text
    assert whole.text.endswith("".join(last))
    assert joined.broken or whole.text == "".join(last)
