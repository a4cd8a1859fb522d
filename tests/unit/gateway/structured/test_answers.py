"""Answers that have to be JSON: what is given out fits, and what does not is never an answer."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from waggle.core.chat_values import Role, Turn
from waggle.gateway.errors import ApiError
from waggle.gateway.structured.answers import JsonFormat, answer_in_json, read_format, read_json, with_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GOOD = '{"name": "Ada", "age": 36}'
ASKED = (Turn(role=Role.USER, content="Who?"),)


@dataclass(frozen=True)
class Said:
    text: str | None


def saying(*texts: str | None) -> Callable[[tuple[Turn, ...], tuple[Said, ...]], Awaitable[Said | None]]:
    """Writes these texts one after the other, and nothing after the last."""

    async def write(turns: tuple[Turn, ...], written: tuple[Said, ...]) -> Said | None:
        return Said(texts[len(written)]) if len(written) < len(texts) else None

    return write


async def test_an_answer_that_fits_is_given_out() -> None:
    made = await answer_in_json(JsonFormat(PERSON), ASKED, saying(GOOD))
    assert (made.text, made.value) == (GOOD, {"name": "Ada", "age": 36})
    assert made.written == (Said(GOOD),)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"Here it is:\n```\n{GOOD}\n```\nAs you wished.",
        f"  {GOOD}\n",
        f"<think>```json\n{{}}\n``` or so?</think>\n{GOOD}",
    ],
)
def test_json_is_taken_out_of_a_fence_and_after_a_thought(text: str) -> None:
    assert read_json(text, JsonFormat(PERSON))[0] == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "36",
        "The answer is " + GOOD,
        '{"name": "Ada"}',
        '{"name": "Ada", "age": -1}',
        '{"name": "Ada", "age": 36, "more": 1}',
        '{"name": "Ada", "age": 36, "age": 37}',
        '{"name": "Ada", "age": NaN}',
        '{"name": "Ada", "age": 1e999}',
        '{"name": "Ada", "age": 1' + "0" * 400 + "}",
        '{"name": "Ada", "age": 36',
        '{"name": "Ada", "age": 36}}',
        "[" * 100_000,
        "[" * 40 + "]" * 40,
        '{"name": "' + "a" * 70_000 + '", "age": 1}',
        "\ud800",
    ],
)
async def test_an_answer_that_does_not_fit_is_never_given_out(text: str) -> None:
    with pytest.raises(ApiError) as failed:
        await answer_in_json(JsonFormat(PERSON), ASKED, saying(text, text, text))
    assert (failed.value.status, failed.value.code) == (422, "json_invalid")


async def test_it_is_asked_again_and_told_what_was_wrong() -> None:
    shown: list[tuple[Turn, ...]] = []
    say = saying('{"name": "Ada"}', GOOD)

    async def write(turns: tuple[Turn, ...], written: tuple[Said, ...]) -> Said | None:
        shown.append(turns)
        return await say(turns, written)

    made = await answer_in_json(JsonFormat(PERSON), ASKED, write)
    assert made.text == GOOD
    assert len(made.written) == 2
    assert "refused" not in shown[0][0].content
    assert "'required' does not hold" in shown[1][0].content
    assert all(turns[-1] == ASKED[0] for turns in shown)


async def test_it_is_asked_as_often_as_allowed_and_no_more() -> None:
    asked = []

    async def write(turns: tuple[Turn, ...], written: tuple[Said, ...]) -> Said | None:
        asked.append(len(written))
        return Said("no")

    with pytest.raises(ApiError, match="in 2 tries"):
        await answer_in_json(JsonFormat(), ASKED, write, tries=2)
    assert asked == [0, 1]


async def test_it_ends_where_the_budget_does() -> None:
    with pytest.raises(ApiError, match="in 1 try:"):
        await answer_in_json(JsonFormat(), ASKED, saying("no"), tries=9)


async def test_without_a_schema_any_object_will_do_and_nothing_else() -> None:
    made = await answer_in_json(JsonFormat(), ASKED, saying("[1]", '"{}"', '{"a": [1]}'))
    assert made.value == {"a": [1]}


def test_the_schema_joins_the_instructions_that_are_there() -> None:
    told = with_schema((Turn(role=Role.SYSTEM, content="Be brief."), *ASKED), JsonFormat(PERSON, "One of the crew."))
    assert "What it is for: One of the crew." in told[0].content
    assert [turn.role for turn in told] == [Role.SYSTEM, Role.USER]
    assert told[0].content.startswith("Be brief.\n\n")
    assert json.dumps(PERSON) in told[0].content


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        ({"type": "json_object"}, None),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": PERSON}}, PERSON),
        ({"type": "json_schema", "name": "a", "schema": PERSON}, PERSON),
    ],
)
async def test_both_ways_to_ask_for_a_form_are_read(form: object, schema: object) -> None:
    found = await read_format(form, "response_format")
    assert found == JsonFormat(schema)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_schema", "json_schema": {"name": "p", "description": "One.", "schema": PERSON}},
        {"type": "json_schema", "name": "p", "description": "One.", "schema": PERSON},
    ],
)
async def test_what_a_form_is_for_is_kept(form: object) -> None:
    assert await read_format(form, "response_format") == JsonFormat(PERSON, "One.")


@pytest.mark.parametrize("form", [None, {"type": "text"}])
async def test_plain_text_is_no_form(form: object) -> None:
    assert await read_format(form, "response_format") is None


@pytest.mark.parametrize(
    "form", [{"type": "json_schema"}, {"type": "json_schema", "json_schema": {"name": "a"}}, {"type": "xml"}, {}, 3]
)
async def test_a_form_that_is_none_is_refused(form: object) -> None:
    with pytest.raises(ApiError) as failed:
        await read_format(form, "response_format")
    assert (failed.value.status, failed.value.param) == (400, "response_format")


async def test_a_bad_schema_is_refused_before_anybody_is_asked() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "objekt"}}}
    with pytest.raises(ApiError) as failed:
        await read_format(form, "response_format")
    assert (failed.value.status, failed.value.code) == (400, "invalid_json_schema")
