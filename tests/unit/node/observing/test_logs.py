"""Log lines: each with its request's id, none with a prompt, and nobody's words can forge one."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.errors import UsageError
from waggle.node.observing.logs import (
    MOST_FACT,
    MOST_MESSAGE,
    RecentLogs,
    configure_logs,
    facts,
    fault_of,
    line_of,
    logged_request,
    question_fact,
    request_id,
)

REQUEST = "0123456789abcdef" * 2
log = logging.getLogger("waggle.tests.logs")


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("waggle")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    configure_logs()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def written(level: str = "info", form: str = "json") -> tuple[io.StringIO, RecentLogs]:
    stream = io.StringIO()
    return stream, configure_logs(level, form, stream)  # type: ignore[arg-type]


def told(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_line_carries_the_request_of_its_task_and_of_no_other() -> None:
    stream, _ = written()

    async def work(request: str) -> None:
        with logged_request(request):
            await asyncio.sleep(0)
            await asyncio.create_task(inner())
        log.info("outside")

    async def inner() -> None:
        await asyncio.sleep(0)
        log.info("inside")

    await asyncio.gather(*(work(f"{n:032x}") for n in range(5)))
    assert sorted(str(line["request"]) for line in told(stream) if line["message"] == "inside") == [
        f"{n:032x}" for n in range(5)
    ]
    assert all("request" not in line for line in told(stream) if line["message"] == "outside")
    assert request_id() == ""


def test_one_request_within_another_leads_back_to_it() -> None:
    with logged_request("a"), logged_request("b"):
        assert request_id() == "b"
    with logged_request("a"):
        with logged_request("b"):
            pass
        assert request_id() == "a"


async def test_a_generator_closed_elsewhere_does_not_disturb() -> None:
    async def numbers() -> "asyncio.AsyncIterator[int]":  # type: ignore[name-defined]
        with logged_request(REQUEST):
            yield 1
            yield 2

    made = numbers()
    assert await anext(made) == 1
    await asyncio.create_task(made.aclose())
    with logged_request("other"):
        assert request_id() == "other"


def test_a_json_line_has_its_facts_beside_the_message() -> None:
    stream, _ = written()
    with logged_request(REQUEST):
        log.info("request ended", extra=facts(status=200, seconds=0.25, model=None, level="mine"))
    line = told(stream)[0]
    assert line.pop("at")
    assert line == {
        "level": "info",
        "logger": "waggle.tests.logs",
        "message": "request ended",
        "request": REQUEST,
        "status": 200,
        "seconds": 0.25,
    }


def test_a_pretty_line_says_the_same() -> None:
    stream, _ = written(form="pretty")
    with logged_request(REQUEST):
        log.info("request ended", extra=facts(status=200, seconds=0.25, cached=True, words="two words"))
    line = stream.getvalue()
    assert line.endswith(
        f'info    waggle.tests.logs: request ended status=200 seconds=0.25 cached=yes words="two words" [{REQUEST}]\n'
    )


@pytest.mark.parametrize("form", ["json", "pretty"])
@given(
    text=st.text(st.characters(exclude_categories=()), max_size=40)
    | st.sampled_from(["\n", "\r\n", "\x1b[31m", "\x85"])
)
def test_nobody_s_words_forge_a_line(form: str, text: str) -> None:
    stream, recent = written(form=form)
    log.info("node %s joined", text, extra=facts(name=text))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert len(recent.lines()) == 1


def test_lines_are_bounded() -> None:
    stream, _ = written()
    log.info("x" * 10_000, extra=facts(name="y" * 10_000))
    line = told(stream)[0]
    assert (len(str(line["message"])), len(str(line["name"]))) == (MOST_MESSAGE, MOST_FACT)


def test_an_exception_is_told_without_its_words() -> None:
    stream, _ = written()
    try:
        json.loads("[my secret prompt")
    except ValueError:
        log.exception("a fault")
    line = stream.getvalue()
    assert "JSONDecodeError at json/decoder.py:" in line
    assert "test_logs.py" in line
    assert "secret" not in line
    assert "Expecting" not in line
    assert "/usr" not in line
    assert "/work" not in line


def test_our_own_exceptions_speak_for_themselves() -> None:
    with pytest.raises(UsageError) as caught:
        raise UsageError("no model of that name")
    assert fault_of(caught.value).startswith("UsageError: no model of that name at observing/test_logs.py:")


def test_a_wrong_call_is_still_a_line() -> None:
    record = logging.makeLogRecord({"name": "waggle", "msg": "%d rounds", "args": ("many",)})
    assert line_of(record).message == "%d rounds"


def test_libraries_only_warn() -> None:
    stream, _ = written("debug")
    logging.getLogger("httpx").info("HTTP Request: POST http://user:password@host")
    logging.getLogger("httpx").warning("slow")
    log.debug("small")
    assert [line["message"] for line in told(stream)] == ["slow", "small"]


def test_the_latest_lines_are_kept_from_info_on_whatever_is_written() -> None:
    stream, recent = written("error")
    with logged_request(REQUEST):
        log.info("one")
    log.warning("two")
    log.debug("three")
    assert stream.getvalue() == ""
    assert [line.message for line in recent.lines()] == ["one", "two"]
    assert [line.message for line in recent.lines(request=REQUEST)] == ["one"]
    assert [line.message for line in recent.lines(level="warning")] == ["two"]
    assert recent.lines(0) == ()
    for number in range(3_000):
        log.info("%d", number)
    assert len(recent.lines(10_000)) == 1_000
    assert recent.lines(1)[0].message == "2999"


def test_a_second_call_takes_the_first_one_s_place() -> None:
    first, _ = written()
    second, _ = written()
    log.info("once")
    assert (first.getvalue(), len(told(second))) == ("", 1)


def test_prompts_are_logged_only_when_asked_for() -> None:
    configure_logs("info", stream=io.StringIO())
    assert question_fact("secret") is None
    configure_logs("info", stream=io.StringIO(), log_prompts=True)
    assert question_fact("no secret") == "no secret"
    assert len(question_fact("x" * 1_000) or "") == 200
