"""Bodies: bounded in bytes, in time and in all."""

import asyncio

import pytest
from starlette.types import Message, Receive

from tests.unit.gateway.door.inner import HOST, Inner, guarded
from tests.unit.gateway.raw_http import call
from waggle.gateway.door import body as body_module
from waggle.gateway.door.asked import Asked
from waggle.gateway.door.body import Bodies, CallerGone, replay
from waggle.gateway.errors import ApiError


async def test_a_body_comes_through_in_one_piece(inner: Inner) -> None:
    assert (await call(guarded(inner), "POST", body=[b"ab", b"", b"cd"])).status == 200
    assert inner.bodies == [b"abcd"]


async def test_a_body_of_the_largest_size_passes_and_one_byte_more_does_not(inner: Inner) -> None:
    guard = guarded(inner, max_body_bytes=10)
    assert (await call(guard, "POST", body=[b"12345", b"67890"])).status == 200
    reply = await call(guard, "POST", body=[b"12345", b"67890", b"1"])
    assert (reply.status, reply.code, reply.header("connection")) == (413, "body_too_large", "close")
    assert len(inner.seen) == 1


async def test_what_a_body_says_of_its_length_is_not_believed(inner: Inner) -> None:
    guard = guarded(inner, max_body_bytes=10)
    said = [HOST, ("content-length", "3")]
    assert (await call(guard, "POST", headers=said, body=[b"1" * 11])).status == 413
    for length, code in (
        ("11", "body_too_large"),
        ("9" * 30, "bad_length"),
        ("-1", "bad_length"),
        ("1_0", "bad_length"),
    ):
        assert (await call(guard, "POST", headers=[HOST, ("content-length", length)])).code == code
    both = [HOST, ("content-length", "3"), ("transfer-encoding", "chunked")]
    assert (await call(guard, "POST", headers=both)).code == "two_lengths"
    assert inner.seen == []


def asked(**headers: str) -> Asked:
    pairs = {name.replace("_", "-").encode(): [value.encode()] for name, value in headers.items()}
    return Asked(method="POST", path="/v1/x", scheme="http", server="127.0.0.1", headers=pairs)


def sending(*messages: Message) -> Receive:
    waiting = list(messages)

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return receive


def parts(*sizes: int, more: bool = False) -> list[Message]:
    sent: list[Message] = [{"type": "http.request", "body": b"x" * size, "more_body": True} for size in sizes]
    sent[-1]["more_body"] = more
    return sent


async def test_a_body_that_does_not_arrive_ends_in_time() -> None:
    bodies = Bodies(most_bytes=100, seconds=0.05, at_once=1)
    for _ in range(3):  # and what had arrived of it is not held any longer
        with pytest.raises(ApiError) as late:
            async with asyncio.timeout(30), bodies.held(asked(), sending(*parts(60, more=True))):
                pass
        assert (late.value.status, late.value.code) == (408, "body_timeout")


async def test_bodies_have_so_much_room_in_all_and_give_it_back() -> None:
    bodies = Bodies(most_bytes=100, at_once=1)
    for _ in range(3):
        async with bodies.held(asked(), sending(*parts(50, 30))):
            with pytest.raises(ApiError) as full:
                async with bodies.held(asked(), sending(*parts(15, 15))):
                    pass
            assert (full.value.status, full.value.code, full.value.retry_after) == (503, "no_room", 1.0)
            async with bodies.held(asked(), sending(*parts(20))) as body:
                assert len(body) == 20


@pytest.mark.parametrize("headers", [{}, {"content_length": "500000"}])
async def test_a_large_body_is_thrown_away_before_it_is_refused_and_takes_no_room(headers: dict[str, str]) -> None:
    bodies, receive = Bodies(most_bytes=1_000, at_once=1), sending(*parts(*([1_000] * 500)))
    with pytest.raises(ApiError) as large:
        async with bodies.held(asked(**headers), receive):
            pass
    assert large.value.status == 413
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receive(), 0.01)  # all of it has been read, so its sender reads the answer
    async with bodies.held(asked(), sending(*parts(1_000))) as body:
        assert len(body) == 1_000


async def test_a_large_body_that_never_ends_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "DRAIN_SECONDS", 0.05)
    monkeypatch.setattr(body_module, "DRAINED_BYTES", 5_000)
    bodies, endless = Bodies(most_bytes=10), parts(1_000, more=True)[0]
    for receive in (sending(*([endless] * 1_000)), sending(endless)):
        with pytest.raises(ApiError) as large:
            async with asyncio.timeout(30), bodies.held(asked(), receive):
                pass
        assert large.value.status == 413


async def test_a_caller_that_goes_away_while_sending_is_not_answered() -> None:
    gone = sending(*parts(3, more=True), {"type": "http.disconnect"})
    with pytest.raises(CallerGone):
        async with Bodies(most_bytes=10).held(asked(), gone):
            pass


async def test_after_the_body_the_application_hears_what_the_server_says() -> None:
    again = replay(b"whole", sending({"type": "http.disconnect"}))
    assert await again() == {"type": "http.request", "body": b"whole", "more_body": False}
    assert await again() == {"type": "http.disconnect"}
