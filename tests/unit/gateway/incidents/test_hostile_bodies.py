"""Bodies made to crash, to stall or to fill a gateway: each is refused clearly, and soon."""

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.unit.gateway.incidents.gateway import Gateway, running
from tests.unit.gateway.raw_http import Reply, exchange
from waggle.gateway.door import body as body_module

MOST_SECONDS = 3.0
"""Of processor time: some 0.12 where most is needed."""
USER = {"role": "user", "content": "What is 6 * 7?"}


def chat(**changes: object) -> bytes:
    return json.dumps({"model": "swarm", "messages": [USER], **changes}).encode()


def tool(schema: object, name: str = "f") -> bytes:
    return chat(tools=[offer(name, schema)])


def form(schema: object, model: str = "solo/ant") -> bytes:
    return chat(model=model, response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})


def nested(opening: str, closing: str, depth: int) -> bytes:
    return chat(metadata="@").replace(b'"@"', (opening * depth + closing * depth).encode())


def deep_schema(depth: int) -> str:
    return '{"properties":{"a":' * depth + "{}" + "}}" * depth


def argument(**schema: object) -> dict[str, object]:
    return {"type": "object", "properties": {"a": schema}}


def offer(name: str, schema: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def patterns(count: int) -> dict[str, object]:
    return {"properties": {f"a{number}": {"pattern": f"[a-z]{{1,{number}}}"} for number in range(1, count + 1)}}


def doubling(times: int) -> dict[str, object]:
    """Definitions of which each holds the next one twice; the last one holds nothing."""
    twice = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(times)}
    return {**twice, f"a{times}": {}}


LOOP = "{% for i in range(10**9) %}{% endfor %}"
BODIES: dict[str, Callable[[], bytes]] = {
    "10 MB prompt": lambda: chat(messages=[{"role": "user", "content": "x" * 10_000_000}]),
    "2 MB prompt": lambda: chat(messages=[{"role": "user", "content": "x" * 2_000_000}]),
    "a million messages": lambda: b'{"model":"swarm","messages":[' + b"0," * 1_000_000 + b"0]}",
    "half a million messages": lambda: b'{"model":"swarm","messages":[' + b"{}," * 500_000 + b"{}]}",
    "50,000 messages": lambda: chat(messages=[{"role": "user", "content": "a"}] * 50_000),
    "a million numbers": lambda: chat(stop=[0]).replace(b"[0]", b"[" + b"0," * 999_999 + b"0]"),
    "a million fields": lambda: chat(metadata={str(number): "" for number in range(100_000)}),
    "a million parts": lambda: chat(messages=[{"role": "user", "content": [0] * 500_000}]),
    "no messages": lambda: chat(messages=[]),
    "null messages": lambda: chat(messages=None),
    "an empty message": lambda: chat(messages=[{"role": "user", "content": ""}]),
    "an empty object as message": lambda: chat(messages=[{}]),
    "an unknown role": lambda: chat(messages=[{"role": "root", "content": "hi"}]),
    "a role that is a list": lambda: chat(messages=[{"role": ["user"], "content": "hi"}]),
    "only an assistant": lambda: chat(messages=[{"role": "assistant", "content": None}]),
    "a tool's answer to no call": lambda: chat(messages=[USER, {"role": "tool", "content": "x", "tool_call_id": "1"}]),
    "lists 100,000 deep": lambda: nested("[", "]", 100_000),
    "objects 100,000 deep": lambda: nested('{"a":', "}", 100_000),
    "lists 100,000 deep without an end": lambda: b"[" * 100_000,
    "n of a million": lambda: chat(n=1_000_000),
    "n of minus one": lambda: chat(n=-1),
    "n of a half": lambda: chat(n=0.5),
    "n of many digits": lambda: chat(n=0).replace(b'"n": 0', b'"n": ' + b"9" * 500_000),
    "a number out of range": lambda: chat(temperature=0).replace(b'"temperature": 0', b'"temperature": 1e999999'),
    "not a number": lambda: chat(temperature=float("nan")),
    "infinity": lambda: chat(waggle={"budget_seconds": float("inf")}),
    "best_of of a million": lambda: chat(best_of=1_000_000),
    "max_tokens of 10^18": lambda: chat(max_tokens=10**18),
    "max_tokens of 0": lambda: chat(max_tokens=0),
    "top_logprobs of a million": lambda: chat(logprobs=True, top_logprobs=10**6),
    "proposers of a million": lambda: chat(waggle={"proposers": 10**6}),
    "a chat template": lambda: chat(chat_template="{{ 1/0 }}", chat_template_kwargs={"a": 1}),
    "chat_template_kwargs": lambda: chat(chat_template_kwargs={"chat_template": LOOP}),
    "a grammar": lambda: chat(guided_regex="(a+)+$", guided_grammar="root ::= root"),
    "a bias for a million tokens": lambda: chat(logit_bias={str(number): 1 for number in range(100_000)}),
    "a tool that is text": lambda: chat(tools=["rm"]),
    "a tool without a name": lambda: chat(tools=[{"type": "function", "function": {}}]),
    "a tool whose arguments are text": lambda: tool({"type": "string"}),
    "a tool whose arguments are a list": lambda: tool([1]),
    "a tool with a pattern that looks ahead": lambda: tool(argument(type="string", pattern="(?=a)")),
    "a tool with a broken pattern": lambda: tool(argument(type="string", pattern="(")),
    "a tool with a pattern that is a number": lambda: tool(argument(pattern=5)),
    "a tool with an unknown type": lambda: tool(argument(type="something")),
    "a tool with a type that is an object": lambda: tool(argument(type=[{}])),
    "a tool from elsewhere": lambda: tool(argument(**{"$ref": "http://127.0.0.1:1/x"})),
    "a tool with 2,000 patterns": lambda: tool({"properties": {f"a{n}": {"pattern": "a{1,9}"} for n in range(2_000)}}),
    "128 tools with 64 patterns": lambda: chat(tools=[offer(f"f{n}", patterns(64)) for n in range(128)]),
    "a tool 150 deep": lambda: tool("@").replace(b'"@"', deep_schema(150).encode()),
    "a tool with an odd name": lambda: tool({}, name="../../x"),
    "a thousand tools": lambda: chat(tools=[{"type": "function", "function": {"name": "f"}}] * 1_000),
    "a schema of an unknown type": lambda: form({"type": "something"}),
    "a schema with a broken pattern": lambda: form({"type": "string", "pattern": "("}),
    "a schema with a pattern that looks back": lambda: form({"type": "string", "pattern": "(?<=a)b"}),
    "a schema with a large pattern": lambda: form({"type": "string", "pattern": "(.{1,99}){1,99}x"}),
    "a schema with a pattern of 100,000": lambda: form({"type": "string", "pattern": "a{1,9}" * 20_000}),
    "a schema with a huge repeat": lambda: form({"type": "string", "pattern": "((a{1,60000}){1,60000}){1,60000}"}),
    "a schema that is itself": lambda: form({"$ref": "#"}),
    "a schema that goes round": lambda: form({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
    "a schema that doubles": lambda: form(
        {"$ref": "#/$defs/a0", "$defs": doubling(40)}
    ),
    "a schema 10,000 deep": lambda: form("@").replace(b'"@"', deep_schema(10_000).encode()),
    "a schema with 100,000 choices": lambda: form({"enum": list(range(100_000))}),
    "a schema from elsewhere": lambda: form({"$ref": "http://127.0.0.1:1/x"}),
    "a schema that is a list": lambda: form([1]),
    "a schema that is text": lambda: form("string"),
    "no JSON": lambda: b"hello",
    "nothing": lambda: b"",
    "half a letter": lambda: chat().replace(b"What", b"\xff\xfe"),
    "half a pair": lambda: chat().replace(b"What", b"\\ud800"),
    "a zero": lambda: chat(model="a\0b"),
    "the same field twice": lambda: chat()[:-1] + b', "messages": []}',
    "a list": lambda: b"[]",
    "null": lambda: b"null",
    "a long name of a model": lambda: chat(model="x" * 1_000_000),
    "a stop of a million letters": lambda: chat(stop="x" * 1_000_000),
    "a million stops": lambda: chat(stop=["x"] * 100_000),
    "unknown fields": lambda: chat(**{f"field{number}": number for number in range(10_000)}),
}  # fmt: skip


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr(body_module, "DRAIN_SECONDS", 20.0)  # all of a large body is read before it is refused
    async with running(tmp_path, keys=False) as opened:
        yield opened


async def post(port: int, body: bytes, path: str = "/v1/chat/completions") -> tuple[Reply, float]:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    started = time.process_time()
    reply = await exchange(port, f"{head}\r\n\r\n".encode() + body)
    return reply, time.process_time() - started


@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_is_refused_clearly_and_soon(gateway: Gateway, name: str) -> None:
    body = BODIES[name]()
    reply, took = await post(gateway.port, body)
    assert reply.status in (400, 404, 413, 422), reply.body[:300]
    assert reply.code
    assert len(reply.body) < 2_000
    assert took < MOST_SECONDS
    reply, _ = await post(gateway.port, chat())
    assert reply.status == 200


OTHERS: list[tuple[str, dict[str, object]]] = [
    ("/v1/completions", {"model": "swarm", "prompt": ["x"] * 100_000}),
    ("/v1/completions", {"model": "swarm", "prompt": "x", "best_of": 10**6}),
    ("/v1/completions", {"model": "swarm", "prompt": ""}),
    ("/v1/completions", {"model": "swarm", "prompt": [[1, 2], [3]]}),
    ("/v1/embeddings", {"model": "ant", "input": ["x"] * 100_000}),
    ("/v1/embeddings", {"model": "ant", "input": []}),
    ("/v1/embeddings", {"model": "ant", "input": "x", "dimensions": 10**9}),
    ("/v1/embeddings", {"model": "ant", "input": [[0] * 100_000]}),
    ("/v1/responses", {"model": "swarm", "input": [{}] * 100_000}),
    ("/v1/responses", {"model": "swarm", "input": []}),
    ("/v1/responses", {"model": "swarm", "input": "x", "max_output_tokens": 10**18}),
    ("/v1/responses", {"model": "swarm", "input": "x", "previous_response_id": "../x"}),
]


@pytest.mark.parametrize(("path", "body"), OTHERS, ids=lambda part: str(part)[:50])
async def test_so_are_those_of_the_other_routes(gateway: Gateway, path: str, body: dict[str, object]) -> None:
    reply, took = await post(gateway.port, json.dumps(body).encode(), path)
    assert reply.status in (400, 404, 413, 422), reply.body[:300]
    assert reply.code
    assert took < MOST_SECONDS
