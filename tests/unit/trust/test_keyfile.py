"""Key files: made whole and closed to others, refused in words where anything is wrong with them."""

import os
import subprocess
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from waggle.core.errors import UsageError
from waggle.trust import base58
from waggle.trust.keys import ID_PREFIX, NodeKey, node_id_of, verify

SPEC_FILE = bytes.fromhex(
    "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d"
    "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
)
"""The Ed25519 private key in the libp2p specification's peer id document."""

imports_hivemind = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node" / "key"


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_is_made_once_and_then_found(path: Path) -> None:
    made = NodeKey.load_or_create(path)
    assert NodeKey.load_or_create(path).node_id == NodeKey.load(path).node_id == made.node_id
    assert verify(made.node_id, NodeKey.load(path).sign(b"data"), b"data")


def test_a_new_key_is_closed_to_others_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        NodeKey.load_or_create(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == ["key"]


def test_the_specifications_own_key_file_is_read(path: Path) -> None:
    key = NodeKey.load(write(path, SPEC_FILE))
    assert node_id_of(SPEC_FILE[36:]) == key.node_id
    assert base58.decode(key.node_id) == ID_PREFIX + SPEC_FILE[36:]


@imports_hivemind
def test_the_file_has_the_form_that_the_daemon_reads(path: Path) -> None:
    crypto = import_module("hivemind.proto.crypto_pb2")
    NodeKey.load_or_create(path)
    parsed = crypto.PrivateKey.FromString(path.read_bytes())
    assert parsed.key_type == crypto.Ed25519
    assert NodeKey.from_seed(parsed.data[:32]).node_id == node_id_of(parsed.data[32:]) == NodeKey.load(path).node_id


def test_the_daemon_gives_the_file_the_same_id(path: Path, tmp_path: Path) -> None:
    """The real libp2p daemon, listening on nothing but its control socket."""
    hivemind = find_spec("hivemind")
    assert hivemind is not None
    assert hivemind.origin is not None
    daemon = Path(hivemind.origin).parent / "hivemind_cli" / "p2pd"
    key = NodeKey.load_or_create(path)
    command = [str(daemon), "-id", str(path), "-noListenAddrs", "-listen", f"/unix{tmp_path}/control"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]
        process.terminate()
    assert said[1] == f"Peer ID: {key.node_id}\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o601, 0o620])
def test_a_file_open_to_others_is_refused_with_the_command_that_helps(path: Path, mode: int) -> None:
    with pytest.raises(UsageError, match=r"type: chmod 600 .*key"):
        NodeKey.load_or_create(write(path, SPEC_FILE, mode))


def test_the_command_that_helps_is_quoted(tmp_path: Path) -> None:
    path = write(tmp_path / "my node; rm" / "key", SPEC_FILE, 0o644)
    with pytest.raises(UsageError, match=r"chmod 600 '.*my node; rm/key'"):
        NodeKey.load(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (SPEC_FILE[:-1], "damaged"),
        (SPEC_FILE + b"\0", "damaged"),
        (b"\x08\x01\x12\x41" + SPEC_FILE[4:], "damaged"),
        (SPEC_FILE[:-1] + b"\0", "does not belong"),
        (SPEC_FILE[:10] + b"\0" + SPEC_FILE[11:], "does not belong"),
        (b"\x08\x00\x12\xa8\x09\x30\x82" + bytes(1200), "RSA"),
        (b"-----BEGIN PRIVATE KEY-----\n", "PEM"),
        (b"\x08\x02\x12\x20" + bytes(32), "damaged"),
        (bytes(5_000_000), "damaged"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_in_words_and_kept(path: Path, content: bytes, words: str) -> None:
    write(path, content)
    with pytest.raises(UsageError, match=words) as caught:
        NodeKey.load_or_create(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_no_single_bit_of_a_file_can_change(path: Path) -> None:
    for bit in range(8 * len(SPEC_FILE)):
        flipped = bytearray(SPEC_FILE)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UsageError):
            NodeKey.load(write(path, bytes(flipped)))


def test_what_is_no_plain_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(UsageError, match="plain file"):
        NodeKey.load_or_create(path)
    pipe = path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(UsageError, match="plain file"):
        NodeKey.load(pipe)


def test_a_missing_file_and_a_missing_place_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        NodeKey.load(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        NodeKey.load_or_create(tmp_path / "file" / "key")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="No such file"):
        NodeKey.load_or_create(tmp_path / "link")


def test_nodes_that_start_at_once_get_one_key(path: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def run() -> None:
        start.wait()
        found.append(NodeKey.load_or_create(path).node_id)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert os.listdir(path.parent) == ["key"]
