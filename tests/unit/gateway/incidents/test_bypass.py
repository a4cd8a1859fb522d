"""Doors that other gateways left open: crafted hosts, paths and headers, odd keys, routes that nobody closed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.gateway.incidents.gateway import Gateway, running
from tests.unit.gateway.raw_http import exchange


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(tmp_path, keys=True) as gateway:
        yield gateway


@pytest.fixture
async def keyless(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(tmp_path, keys=False) as gateway:
        yield gateway


def targets(path: str) -> list[str]:
    """One path in many spellings, most of them an attempt to be taken for another one."""
    encoded = "".join(f"%{ord(letter):02x}" for letter in path)
    live = "/health/live"
    return [
        path, f"/{path}", f"//{path}", f"{path}/", f"{path}//", f"{path}/.", f"{path}/..", f"/.{path}", f"/..{path}",
        f"/%2e{path}", f"/%2e%2e{path}", f"/%2E%2E{path}", f"/%252e%252e{path}", f"{path}%2e", f"{path}%2f..",
        f"{live}/..{path}", f"{live}/../..{path}", f"{live}/%2e%2e/%2e%2e{path}", f"{live}%2f..%2f..{path}",
        f"{live};{path}", f"{live};/../..{path}", f"{live}?{path}", f"{live}#{path}", f"{live}%23{path}",
        f"{live}%3f{path}", f"{live}%00{path}", f"{live}{path}", f"/login{path}", f"/login/..{path}", f"/#@{path}",
        f"/#@{live}", f"{path}#", f"{path}#{live}", f"{path}#@127.0.0.1{live}", f"{path}?{live}", f"{path}?x=#@",
        f"{path}%00", f"{path}%20", f"{path}%09", f"{path}%0d%0a", f"{path}%23", f"{path}%3f", f"{path};x=1",
        f"{path}.json", path.upper(), path.title(), f"/{encoded[3:]}", f"/{path[1:].replace('/', '%2f')}",
        f"/{path[1:].replace('/', '%5c')}", path.replace("/", "\\"), f"/\\{path}", f"\\{path}",
        f"http://127.0.0.1{path}", f"http://evil.example{path}", f"http://127.0.0.1@evil.example{path}",
        f"http://127.0.0.1{live}#{path}", f"//127.0.0.1{path}", f"//evil.example{path}", f"/@{path}", f"@{path}",
        f"{path}@", f"{path}:80", f"/v1/..;{path}", "*", f"/{'a/../' * 50}{path[1:]}", f"{path}{'/' * 2_000}",
    ]  # fmt: skip


HOSTS = [
    "127.0.0.1:{port}/#@", "/#@", "127.0.0.1/#@evil.example", "127.0.0.1:{port}/health/live?", "127.0.0.1#/health/live",
    "evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.", "LOCALHOST.evil.example", "0.0.0.0",
    "127.0.0.1@evil.example", "evil.example@127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "",
    "127.0.0.1:{port}:80", "127.0.0.1, evil.example", "127.0.0.1\t", "127.0.0.1 evil.example",
    "127.0.0.1\\@evil.example",
    "localhost/../health/live", "%6cocalhost", "localhost%00.evil.example", "[localhost]", "[127.0.0.1]", "[::1",
    "127.0.0.1\r\nHost: evil.example", "evil.example\r\nHost: 127.0.0.1", "127.0.0.1:{port}\r\nhost: 127.0.0.1:{port}",
]  # fmt: skip

OTHERS = [
    "X-Original-URL: /health/live", "X-Rewrite-URL: /health/live", "X-Forwarded-Path: /health/live",
    "X-Forwarded-Prefix: /health/live", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost",
    "Forwarded: for=127.0.0.1;host=localhost", "X-Real-IP: 127.0.0.1", "X-HTTP-Method-Override: OPTIONS",
    "X-Forwarded-User: ruler", "Remote-User: ruler", "X-Api-Key: wk-", "Authorization:", "Authorization: Bearer",
    "Authorization: Bearer null", "Authorization: Bearer undefined", "Authorization: Basic cnVsZXI6",
    "Cookie: waggle_session=",
    "Authorization: Bearer a\r\nAuthorization: Bearer b", "Authorization: Bearer ' OR '1'='1",
    "Cookie: waggle_session=..",
    "Authorization: Bearer wk-" + "A" * 43, "Authorization: Bearer " + "A" * 20_000, "Origin: http://localhost",
    "Access-Control-Request-Method: POST", "Content-Length: 0\r\nTransfer-Encoding: chunked",
    "Sec-Fetch-Site: same-origin",
    "Upgrade: h2c\r\nConnection: Upgrade", "Expect: 100-continue", "Connection: Authorization, close",
]  # fmt: skip


def request(method: str, target: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")


async def statuses(gateway: Gateway, requests: list[bytes]) -> list[int]:
    room = asyncio.Semaphore(16)

    async def send(data: bytes) -> int:
        async with room:
            return (await exchange(gateway.port, data)).status

    return await asyncio.gather(*(send(data) for data in requests))


def crafted(gateway: Gateway, method: str, path: str) -> list[bytes]:
    host = f"Host: 127.0.0.1:{gateway.port}"
    asked = [request(method, target, host) for target in targets(path)]
    asked += [request(method, path, f"Host: {name.format(port=gateway.port)}") for name in HOSTS]
    asked += [request(method, path, host, other) for other in OTHERS]
    asked += [request(word, path, host) for word in ("OPTIONS", "HEAD", "TRACE", "PATCH", "QUERY", method.lower())]
    return [*asked, request(method, path, version="1.0"), request(method, path, host, version="1.0")]


@pytest.mark.timeout(240)
async def test_no_crafted_request_gets_past_the_guard_without_a_key(closed: Gateway) -> None:
    routes = closed.routes()
    assert len(routes) >= 14
    requests = {data for method, path in routes for data in crafted(closed, method, path)}
    assert len(requests) > 100 * len(routes)
    answers = await statuses(closed, sorted(requests))
    assert set(closed.passed) <= {"/health/live"}  # /health/live?... and /health/live#... are that route
    assert set(answers) - {200, 0} <= {400, 401, 403, 404, 405, 414, 421, 431}
    assert answers.count(200) == len(closed.passed)


async def test_the_same_requests_do_pass_with_a_key(closed: Gateway) -> None:
    """Else the test above could not fail."""
    host, key = f"Host: 127.0.0.1:{closed.port}", f"Authorization: Bearer {closed.admin}"
    answers = await statuses(closed, [request(method, path, host, key) for method, path in closed.routes()])
    assert len(closed.passed) == len(closed.routes())
    assert 401 not in answers


async def test_a_gateway_without_keys_answers_to_no_foreign_name(keyless: Gateway) -> None:
    asked = [
        request(method, path, f"Host: {name.format(port=keyless.port)}")
        for method, path in keyless.routes()
        for name in HOSTS
        if name != "127.0.0.1\t"  # white space around a header's value does not count
    ]
    answers = await statuses(keyless, asked)
    assert keyless.passed == []
    assert set(answers) <= {0, 400, 421}


async def test_a_web_page_cannot_drive_a_gateway_without_keys(keyless: Gateway) -> None:
    host, origin = f"Host: 127.0.0.1:{keyless.port}", "Origin: https://evil.example"
    plain = ("Content-Type: text/plain", "Content-Length: 2")
    asked = []
    for method, path in keyless.routes():
        asked.append(request(method, path, host, origin))
        asked.append(request(method, path, host, "Origin: null"))
        asked.append(request(method, path, host, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"))
        asked.append(request("POST", path, host, origin, *plain) + b"{}")
        asked.append(request("OPTIONS", path, host, origin, "Access-Control-Request-Method: POST"))
    assert set(await statuses(keyless, asked)) == {403}
    assert keyless.passed == []


async def test_closed_by_default_with_keys_and_readable_without(closed: Gateway) -> None:
    asked = [request("GET", path, "Host: localhost") for path in ("/metrics", "/docs", "/openapi.json", "/")]
    assert await statuses(closed, asked) == [401, 401, 401, 401]
    asker = f"Authorization: Bearer {closed.ask}"
    asked = [request("GET", path, "Host: localhost", asker) for path in ("/metrics", "/docs", "/openapi.json", "/")]
    assert await statuses(closed, asked) == [403, 403, 403, 403]
    assert closed.passed == []


def odd_keys(key: str) -> list[str]:
    return [
        "", "wk-", key[:8], key[:-1], key + "A", key.upper(), key.lower(), key.swapcase(), key[3:], key + "\t" + key,
        key * 100, "null", "None", "undefined", "true", "0", "*", "%", "_" * 46, "wk-" + "_" * 43, "wk-" + "%" * 43,
        key.replace("-", "_", 1), key[:20] + "\0" + key[21:], key + "\0", "é" * 46, '"' + key + '"', "'" + key + "'",
        f"{key},{key}", f"{key} {key}", "' OR 1=1 --", f"{key}' --", "../keys.sqlite",
        "eyJhbGciOiJub25lIn0.e30.", key[::-1],
    ]  # fmt: skip


async def test_no_odd_key_is_accepted(closed: Gateway) -> None:
    asked = [
        request("GET", "/v1/models", "Host: localhost", f"Authorization: Bearer {odd}".rstrip())
        for key in (closed.ask, closed.admin)
        for odd in odd_keys(key)
    ]
    answers = await statuses(closed, asked)
    assert set(answers) <= {400, 401, 431}
    assert closed.passed == []
    good = request("GET", "/v1/models", "Host: localhost", f"Authorization: Bearer {closed.ask}")
    assert await statuses(closed, [good]) == [200]
