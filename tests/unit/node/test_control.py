"""Commands reach the node of their user, and nothing that a client does or leaves undone harms the node."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

import waggle.node.control.frames as frames
import waggle.node.control.server as server_module
from tests.adverts import alive
from waggle.core.errors import MeshError, PeerRefused, PeerUnreachable, RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, ModelOffer
from waggle.mesh.limits import MAX_ADVERT_BYTES
from waggle.node.control.client import ask_node
from waggle.node.control.messages import (
    MOST_PEERS,
    Asked,
    Done,
    Failed,
    Invite,
    InviteReply,
    Leave,
    Peers,
    PeersReply,
    Reply,
    Request,
    Share,
    Status,
    StatusReply,
    Unshare,
)
from waggle.node.control.server import MOST_CLIENTS, ControlServer

STATUS = StatusReply(
    node=NodeId("n"),
    name="node",
    network="w",
    version="1",
    addresses=("/ip4/1.2.3.4",),
    load=Load(),
    seconds=1,
    peers=0,
)
NOT_UNDERSTOOD = "does not understand"
PATIENCE_SECONDS = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture(autouse=True)
def no_crash_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The event loop only logs what a server's own task raises."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds short enough for a test to see them hold."""
    monkeypatch.setattr(frames, "FRAME_SECONDS", 0.5)
    monkeypatch.setattr(server_module, "FRAME_SECONDS", 0.5)
    monkeypatch.setattr(server_module, "LEAVE_SECONDS", 0.2)


async def obliging(request: Request) -> Reply:
    """A node that can do everything but share."""
    match request:
        case Status():
            return STATUS
        case Peers():
            return PeersReply(peers=(), total=request.skip)
        case Invite():
            return InviteReply(invites=("waggle:///ip4/1.2.3.4",))
        case Leave() | Unshare():
            return Done(note="as you wish")
        case Share():
            raise UsageError(f"{request.path} is no folder")


@asynccontextmanager
async def raw(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which a test says what it likes."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield reader, writer
    finally:
        writer.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it comes true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.01)


async def said(path: Path, data: bytes) -> bytes:
    """All that the node replies to these bytes."""
    async with raw(path) as (reader, writer):
        writer.write(data)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await reader.read()


async def test_every_request_has_its_reply(path: Path) -> None:
    async with ControlServer(path, obliging):
        assert await ask_node(path, Status(), StatusReply) == STATUS
        assert (await ask_node(path, Peers(skip=7), PeersReply)).total == 7
        assert (await ask_node(path, Invite(), InviteReply)).invites == ("waggle:///ip4/1.2.3.4",)
        assert (await ask_node(path, Leave(), Done)).note == "as you wish"
        assert (await ask_node(path, Unshare(name="m"), Done)).note == "as you wish"


async def test_a_sentence_of_the_node_reaches_the_command(path: Path) -> None:
    async def refusing(request: Request) -> Reply:
        raise ExceptionGroup("tasks", [PeerRefused("no relay wants us")])

    async with ControlServer(path, obliging):
        with pytest.raises(UsageError, match=r"^/x is no folder$"):
            await ask_node(path, Share(path="/x"), Done)
    async with ControlServer(path, refusing):
        with pytest.raises(PeerRefused, match=r"^no relay wants us$"):
            await ask_node(path, Leave(), Done)


async def test_a_crash_of_the_node_is_told_without_its_text(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def crashing(request: Request) -> Reply:
        raise KeyError("private")

    async with ControlServer(path, crashing):
        for _ in range(2):  # it goes on serving
            with pytest.raises(PeerRefused, match=r"^a fault in the node") as caught:
                await ask_node(path, Status(), StatusReply)
            assert "private" not in str(caught.value)
    assert "private" in caplog.text


async def test_another_kind_of_reply_is_refused(path: Path) -> None:
    async with ControlServer(path, obliging):
        with pytest.raises(RemoteProtocolError, match="StatusReply instead of Done"):
            await ask_node(path, Status(), Done)


GARBAGE = [
    b"\x00\x00\x00\x04\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x00\x00\x00\x01\xc1",
    (1024 * 1024 + 1).to_bytes(4, "big"),
    b"\xff\xff\xff\xff",
    b"GET / HTTP/1.1\r\n\r\n",
    (5_000).to_bytes(4, "big") + b"\x91" * 5_000,  # arrays in arrays
    frames.frame(Asked(request=Status(), seconds=-1.0)),
    frames.frame(Asked(request=Status(), seconds=float("nan"))),
    frames.frame(Asked(request=Status(), seconds=1e9)),
    frames.frame(Asked(request=Share(path="x" * 5_000), seconds=1.0)),
    frames.frame(Status()),
    frames.frame(Failed(reason="no")),
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_is_refused_and_the_node_goes_on(path: Path, data: bytes) -> None:
    async with ControlServer(path, obliging):
        assert NOT_UNDERSTOOD in (await said(path, data)).decode("latin-1")
        assert await ask_node(path, Status(), StatusReply) == STATUS


async def test_a_request_of_the_largest_size_is_read_to_its_end(path: Path) -> None:
    async with ControlServer(path, obliging):
        data = frames.MOST_BYTES.to_bytes(4, "big") + b"\xc0" * frames.MOST_BYTES
        assert NOT_UNDERSTOOD in (await said(path, data)).decode("latin-1")


async def test_a_reply_that_is_too_large_is_told_so(path: Path) -> None:
    async def verbose(request: Request) -> Reply:
        return Done(note="x" * 1024 * 1024)

    async with ControlServer(path, verbose):
        with pytest.raises(PeerRefused, match="1048576 are allowed"):
            await ask_node(path, Leave(), Done)


async def test_a_full_page_of_the_largest_adverts_fits_a_reply(path: Path) -> None:
    offer = ModelOffer(
        model="m" * 128, family="f" * 127, context_tokens=1, skills={f"{n:0>128}": 0.5 for n in range(2)}
    )
    peer = replace(alive("n" * 52, addresses=("a" * 256,) * 6, offers=(offer,) * 10), reason="r" * 100)
    assert MAX_ADVERT_BYTES - 1_000 < len(msgspec.msgpack.encode(peer.advert)) <= MAX_ADVERT_BYTES
    page = (peer,) * MOST_PEERS

    async def crowded(request: Request) -> Reply:
        return PeersReply(peers=page, total=5_000)

    async with ControlServer(path, crowded):
        assert await ask_node(path, Peers(), PeersReply) == PeersReply(peers=page, total=5_000)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("beginning", [b"", b"\x00\x00", b"\x00\x00\x00\x09half"])
async def test_a_command_that_never_finishes_is_dropped(
    path: Path, beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ControlServer(path, obliging), raw(path) as (reader, writer):
        writer.write(beginning)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await reader.read() == b""
        monkeypatch.undo()  # what comes now has all the time it needs
        assert await ask_node(path, Status(), StatusReply) == STATUS


@pytest.mark.usefixtures("impatient")
async def test_a_trickle_does_not_extend_the_time(path: Path) -> None:
    async with ControlServer(path, obliging), raw(path) as (reader, writer):
        closed = asyncio.create_task(reader.read())
        async with asyncio.timeout(PATIENCE_SECONDS):
            writer.write(b"\x00\x00\x00\xff")
            while not closed.done():
                writer.write(b".")
                await asyncio.sleep(0.02)
        assert closed.exception() is not None or closed.result() == b""


@pytest.mark.usefixtures("impatient")
async def test_a_command_that_does_not_read_its_reply_is_dropped(path: Path) -> None:
    asked = asyncio.Event()

    async def long(request: Request) -> Reply:
        asked.set()
        return Done(note="x" * 1_000_000)

    server = ControlServer(path, long)
    async with server:
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(str(path))
        deaf.sendall(frames.frame(Asked(request=Leave(), seconds=1.0)))
        await asked.wait()
        assert len(server._clients) == 1
        await until(lambda: not server._clients)
        deaf.close()


async def test_many_commands_are_served_at_once(path: Path) -> None:
    gate, waiting = asyncio.Event(), 0

    async def slow(request: Request) -> Reply:
        nonlocal waiting
        waiting += 1
        await gate.wait()
        return Done(note=str(request))

    async with ControlServer(path, slow):
        asks = [asyncio.create_task(ask_node(path, Share(path=str(n)), Done)) for n in range(MOST_CLIENTS)]
        await until(lambda: waiting == MOST_CLIENTS)
        with pytest.raises(PeerRefused, match="too many commands"):
            await ask_node(path, Status(), StatusReply)
        gate.set()
        assert [reply.note for reply in await asyncio.gather(*asks)] == [
            f"Share(path='{n}')" for n in range(MOST_CLIENTS)
        ]


async def test_work_that_takes_too_long_is_stopped_and_said_so(path: Path) -> None:
    stopped = asyncio.Event()

    async def endless(request: Request) -> Reply:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()
        return Done()

    async with ControlServer(path, endless):
        with pytest.raises(PeerRefused, match=r"within 0\.1 s"):
            await ask_node(path, Leave(), Done, seconds=0.1)
        assert stopped.is_set()


async def test_a_time_out_inside_the_handler_is_a_fault_of_the_node(path: Path) -> None:
    async def confused(request: Request) -> Reply:
        raise TimeoutError

    async with ControlServer(path, confused):
        with pytest.raises(PeerRefused, match="a fault in the node"):
            await ask_node(path, Leave(), Done)


async def test_a_reply_under_way_is_given_before_the_end(path: Path) -> None:
    leaving = asyncio.Event()

    async def leave(request: Request) -> Reply:
        leaving.set()
        await asyncio.sleep(0.05)
        return Done(note="bye")

    async with ControlServer(path, leave):
        ask = asyncio.create_task(ask_node(path, Leave(), Done))
        await leaving.wait()
    assert (await ask).note == "bye"
    assert not os.listdir(path.parent)


@pytest.mark.usefixtures("impatient")
async def test_the_end_does_not_wait_for_ever(path: Path) -> None:
    asked = asyncio.Event()

    async def endless(request: Request) -> Reply:
        asked.set()
        await asyncio.sleep(600)
        return Done()

    async with asyncio.timeout(PATIENCE_SECONDS):
        async with ControlServer(path, endless):
            ask = asyncio.create_task(ask_node(path, Leave(), Done, seconds=600))
            await asked.wait()
        with pytest.raises(PeerUnreachable, match="stopped before it replied"):
            await ask


async def test_without_a_node_the_command_says_how_to_start_one(path: Path) -> None:
    with pytest.raises(PeerUnreachable, match=r"no node listens .* waggle up"):
        await ask_node(path, Status(), StatusReply)
    with pytest.raises(PeerUnreachable, match="no node listens"):
        await ask_node(path / ("x" * 200), Status(), StatusReply)


async def serve_once(path: Path) -> int:
    """The permission bits of the socket while a node listens."""
    async with ControlServer(path, obliging):
        return stat.S_IMODE(os.stat(path).st_mode)


def bind(path: Path) -> None:
    """What `kill -9` leaves behind."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


async def test_the_socket_of_a_dead_node_is_no_node_and_is_replaced(path: Path) -> None:
    bind(path)
    with pytest.raises(PeerUnreachable, match="no node listens"):
        await ask_node(path, Status(), StatusReply)
    async with ControlServer(path, obliging):
        assert await ask_node(path, Status(), StatusReply) == STATUS


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(UsageError, match="cannot listen"):
        asyncio.run(serve_once(path))
    assert path.read_text() == "mine"


async def test_a_path_that_is_too_long_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot listen .* too long"):
        async with ControlServer(tmp_path / ("x" * 200), obliging):
            pass


def test_only_its_owner_may_connect(path: Path) -> None:
    old = os.umask(0)
    try:
        assert asyncio.run(serve_once(path)) == 0o600
    finally:
        os.umask(old)


async def reply_with(path: Path, data: bytes) -> asyncio.Server:
    """A node that replies with these bytes, whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(data)
        writer.close()

    return await asyncio.start_unix_server(serve, path)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", PeerUnreachable),
        (b"\x00\x00\x00\x09half", PeerUnreachable),
        (b"\xff\xff\xff\xff", RemoteProtocolError),
        (b"\x00\x00\x00\x01\xc1", RemoteProtocolError),
        (frames.frame(Status()), RemoteProtocolError),
    ],
)
async def test_a_reply_that_is_none_is_an_error(path: Path, data: bytes, error: type[MeshError]) -> None:
    async with await reply_with(path, data):
        with pytest.raises(error):
            await ask_node(path, Status(), StatusReply)


async def test_a_node_that_is_stuck_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waggle.node.control.client.FRAME_SECONDS", 0.1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    with listener, pytest.raises(PeerUnreachable, match="does not reply"):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ask_node(path, Status(), StatusReply, seconds=0.1)
