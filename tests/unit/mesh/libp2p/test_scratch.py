"""Folders for the moment: kept while their owner lives, swept when it was killed, and nobody else's touched."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from waggle.mesh.libp2p.p2pd.scratch import LOCK, PREFIX, scratch_folder, sweep

OWNER = """
import time
from waggle.mesh.libp2p.p2pd.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "key").write_text("secret")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files of this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def begin() -> tuple["subprocess.Popen[str]", Path]:
    """A process that owns a folder, and the folder."""
    process = subprocess.Popen((sys.executable, "-c", OWNER), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_private_and_gone_at_the_end(place: Path) -> None:
    with scratch_folder() as folder:
        (folder / "key").write_text("secret")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.parent == place
    assert list(place.iterdir()) == []


def test_the_folder_of_a_killed_process_is_swept_and_that_of_a_live_one_is_not(place: Path) -> None:
    dead, left = begin()
    live, kept = begin()
    with dead, live:
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert (left / "key").exists()
        with scratch_folder() as own:
            sweep()
            assert sorted(place.iterdir()) == sorted([kept, own])
            assert (kept / "key").read_text() == "secret"
        live.kill()


def test_what_is_not_known_to_be_a_dead_ones_is_left_alone(place: Path) -> None:
    (place / f"{PREFIX}unlocked").mkdir()
    (place / f"{PREFIX}file").write_text("a file")
    (place / "waggle-0").mkdir()
    (place / "waggle-0" / LOCK).touch()
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    (place / f"{PREFIX}linked-lock").mkdir()
    (place / f"{PREFIX}linked-lock" / LOCK).symlink_to(elsewhere / LOCK)
    before = sorted(place.rglob("*"))
    sweep()
    assert sorted(place.rglob("*")) == before


def test_folders_of_another_user_are_left_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = place / f"{PREFIX}theirs"
    theirs.mkdir()
    (theirs / LOCK).touch()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    sweep()
    assert theirs.exists()
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    sweep()
    assert not theirs.exists()
