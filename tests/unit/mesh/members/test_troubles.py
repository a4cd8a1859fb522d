"""Troubles are told once in the log, kept for some minutes, and no peer can crowd ours out."""

import logging

import pytest

from waggle.mesh.members.troubles import MAX_TROUBLES, MAX_WORDS, TROUBLE_SECONDS, Troubles


def test_a_trouble_is_logged_once_and_forgotten_when_it_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()
    with caplog.at_level(logging.WARNING):
        troubles.note("a twin", 0.0)
        troubles.note("a twin", 100.0)
    assert [record.getMessage() for record in caplog.records] == ["a twin"]
    assert troubles.current(100.0 + TROUBLE_SECONDS - 1) == ("a twin",)
    assert troubles.current(100.0 + TROUBLE_SECONDS) == ()


def test_peers_that_talk_much_hide_nothing_and_cost_little() -> None:
    troubles = Troubles()
    for number in range(1_000):
        troubles.hear(f"junk {number}" * 1_000, 0.0)
    troubles.note("a twin", 0.0)
    current = troubles.current(0.0)
    assert current[0] == "a twin"
    assert len(current) == 1 + MAX_TROUBLES
    assert all(len(trouble) < MAX_WORDS + 20 for trouble in current)
    troubles.hear("news", 2 * TROUBLE_SECONDS)
    assert troubles.current(2 * TROUBLE_SECONDS) == ("a peer says: news",)


def test_what_a_peer_says_is_shown_inert() -> None:
    troubles = Troubles()
    troubles.hear("\x1b[31m\nnode up: all is well", 0.0)
    (shown,) = troubles.current(0.0)
    assert shown.isprintable()
