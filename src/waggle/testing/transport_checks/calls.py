"""Checks on calls: replies, callers, refusals, bounds, cancellation."""

import asyncio
from functools import partial

from waggle.core.errors import LocalProtocolError, PeerBusy, PeerRefused, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.limits import MAX_CALL_BYTES
from waggle.testing.transport_checks.subject import (
    LONG_S,
    SECRET,
    SETTLE_S,
    Gate,
    Trio,
    echo,
    eventually,
    fresh_protocol,
    keeps_secret,
    met,
    raises,
)


async def check_a_call_is_answered(trio: Trio) -> None:
    """The reply is what the handler gave, empty or long."""
    a, b, _ = trio
    peer, protocol = await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, echo)
    for request in (b"", b"\x00", b"bee", bytes(range(256)) * 1024):
        reply = await a.call(peer, protocol, request)
        assert reply == request, f"asked with {len(request)} bytes, answered with {len(reply)} others"


async def check_calls_at_once_get_their_own_replies(trio: Trio) -> None:
    """Replies that come in another order than the requests went find their callers."""
    a, b, _ = trio
    peer, protocol = await met(a, b), fresh_protocol()

    async def reply_backwards(_: NodeId, request: bytes) -> bytes:
        await asyncio.sleep(0.05 * (10 - request[0]))
        return request

    await b.serve_calls(protocol, reply_backwards)
    replies = await asyncio.gather(*(a.call(peer, protocol, bytes([number])) for number in range(10)))
    assert replies == [bytes([number]) for number in range(10)], f"mixed up: {replies}"


async def check_the_handler_is_told_the_true_caller(trio: Trio) -> None:
    """Each caller is known by its own id."""
    a, b, c = trio
    protocol = fresh_protocol()

    async def name_caller(caller: NodeId, _: bytes) -> bytes:
        return caller.encode()

    await b.serve_calls(protocol, name_caller)
    for caller in (a, c):
        named = await caller.call(await met(caller, b), protocol, c.node_id.encode())
        assert named.decode() == caller.node_id, f"{caller.node_id} was taken for {named!r}"


async def check_calls_go_both_ways_on_a_link(trio: Trio) -> None:
    """Whoever was dialled can call back, even from within its handler."""
    a, b, c = trio
    protocol = fresh_protocol()

    async def ask_the_caller(caller: NodeId, request: bytes) -> bytes:
        return b"via b: " + await b.call(caller, protocol, request)

    await a.serve_calls(protocol, echo)
    await b.serve_calls(protocol, ask_the_caller)
    await met(c, a)
    reply = await a.call(await met(a, b), protocol, b"bee")
    assert reply == b"via b: bee", f"the call within a call gave {reply!r}"


async def check_an_unknown_protocol_is_refused(trio: Trio) -> None:
    """Nobody serves it: PeerRefused, at once; and so for a protocol that is served for streams only."""
    a, b, _ = trio
    peer = await met(a, b)
    await raises(PeerRefused, a.call(peer, fresh_protocol(), b""), "a call nobody serves", within=SETTLE_S)


async def check_a_failing_handler_refuses_and_tells_nothing(trio: Trio) -> None:
    """Whatever a handler raises is PeerRefused for its caller, without a word of it."""
    a, b, _ = trio
    peer = await met(a, b)
    for failure in (ValueError(SECRET), RemoteProtocolError(SECRET), LocalProtocolError(SECRET), TimeoutError(SECRET)):
        protocol = fresh_protocol()
        await b.serve_calls(protocol, partial(_raise, failure))
        error = await raises(PeerRefused, a.call(peer, protocol, b""), f"a handler with {type(failure).__name__}")
        assert keeps_secret(error), f"the handler's words reached its caller: {error}"


async def _raise(failure: Exception, _: NodeId, __: bytes) -> bytes:
    raise failure


async def check_a_busy_handler_is_busy_for_its_caller(trio: Trio) -> None:
    """PeerBusy travels as itself, its words do not."""
    a, b, _ = trio
    peer, protocol = await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, partial(_raise, PeerBusy(SECRET)))
    error = await raises(PeerBusy, a.call(peer, protocol, b""), "a busy handler")
    assert keeps_secret(error), f"the handler's words reached its caller: {error}"


async def check_the_largest_call_passes_and_a_larger_one_does_not(trio: Trio) -> None:
    """MAX_CALL_BYTES both ways; one more is our own error in a request, and a refusal in a reply."""
    a, b, _ = trio
    peer, protocol, seen = await met(a, b), fresh_protocol(), list[int]()

    async def reply_as_long_as_asked(_: NodeId, request: bytes) -> bytes:
        seen.append(len(request))
        return bytes(int(request)) if len(request) < 10 else request

    await b.serve_calls(protocol, reply_as_long_as_asked)
    largest = await a.call(peer, protocol, bytes(MAX_CALL_BYTES))
    assert len(largest) == MAX_CALL_BYTES, f"the largest request came back as {len(largest)} bytes"
    await raises(LocalProtocolError, a.call(peer, protocol, bytes(MAX_CALL_BYTES + 1)), "an oversize request")
    await raises(PeerRefused, a.call(peer, protocol, b"%d" % (MAX_CALL_BYTES + 1)), "an oversize reply")
    assert MAX_CALL_BYTES + 1 not in seen, "the oversize request reached the handler"
    assert await a.call(peer, protocol, b"3") == bytes(3), "no calls after an oversize one"


async def check_a_silent_handler_times_out_and_is_cancelled(trio: Trio) -> None:
    """PeerUnreachable when the caller's seconds are over, not before and not long after; the handler stops."""
    a, b, _ = trio
    gate, peer, protocol = Gate(), await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, gate.answer)
    began = asyncio.get_running_loop().time()
    await raises(PeerUnreachable, a.call(peer, protocol, b"", seconds=1.0), "a silent handler", within=SETTLE_S)
    took = asyncio.get_running_loop().time() - began
    assert 0.9 <= took <= 7.0, f"a bound of 1 s took {took:.2f} s"
    await eventually(lambda: gate.cancelled == 1, "the handler whose caller ran out of time is cancelled")


async def check_cancelling_a_call_cancels_its_handler(trio: Trio) -> None:
    """And only that one."""
    a, b, _ = trio
    gate, peer, protocol = Gate(), await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, gate.answer)
    stays, goes = (asyncio.create_task(a.call(peer, protocol, bytes([n]), seconds=LONG_S)) for n in range(2))
    await eventually(lambda: gate.running == 2, "both handlers run")
    goes.cancel()
    await asyncio.wait([goes], timeout=SETTLE_S)
    assert goes.cancelled(), "the cancelled call did not end by CancelledError"
    await eventually(lambda: gate.cancelled == 1, "the handler of the cancelled call is cancelled")
    assert gate.running == 1, "another call's handler was cancelled with it"
    gate.opened.set()
    assert await stays == b"\x00", "the call that was not cancelled got another's reply"


async def check_a_second_handler_is_a_local_error(trio: Trio) -> None:
    """One protocol, one handler; the first one stays. Calls and streams are told apart."""
    _, b, _ = trio
    gate, protocol = Gate(), fresh_protocol()
    await b.serve_calls(protocol, gate.answer)
    await b.serve_streams(protocol, gate.attend)
    await raises(LocalProtocolError, b.serve_calls(protocol, echo), "a second handler of calls")
    await raises(LocalProtocolError, b.serve_streams(protocol, gate.attend), "a second handler of streams")


CALL_CHECKS = (
    check_a_call_is_answered,
    check_calls_at_once_get_their_own_replies,
    check_the_handler_is_told_the_true_caller,
    check_calls_go_both_ways_on_a_link,
    check_an_unknown_protocol_is_refused,
    check_a_failing_handler_refuses_and_tells_nothing,
    check_a_busy_handler_is_busy_for_its_caller,
    check_the_largest_call_passes_and_a_larger_one_does_not,
    check_a_silent_handler_times_out_and_is_cancelled,
    check_cancelling_a_call_cancels_its_handler,
    check_a_second_handler_is_a_local_error,
)
