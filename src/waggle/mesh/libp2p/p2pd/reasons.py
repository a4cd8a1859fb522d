"""Why a dial failed, in words for people; the daemon says it in those of go-libp2p 0.32 and of the system. Pure."""

import re

MAX_UNKNOWN = 80
"""Characters of a reason that we have no words for."""
MAX_REASONS = 4

NO_WAY = "there is no way to its network from here"
NO_LOOPBACK = "the loopback interface of this machine is down"
SILENT = "no answer in time"
WORDS = (
    ("error opening hop stream", "the node in between does not relay"),
    ("no_reservation", "it holds no place at that relay any longer"),
    ("resource_limit_exceeded", "the relay is full"),
    ("permission_denied", "the relay refuses us"),
    ("connection_failed", "the relay does not reach it"),
    ("peer id mismatch", "another node is at that address, or it has a new key"),
    ("no good addresses", "its name is not known, or no address of it can be used from here"),
    ("connection refused", "nothing listens at its address"),
    ("connection reset", "it hung up"),
    ("no route to host", NO_WAY),
    ("network is unreachable", NO_WAY),
    ("operation not permitted", "a firewall of this machine forbids it"),
    ("permission denied", "a firewall of this machine forbids it"),
    ("deadline exceeded", SILENT),
    ("i/o timeout", SILENT),
    ("no recent network activity", SILENT),
    ("handshake did not complete", SILENT),
    ("message did not have trailing newline", "what answers there is no waggle node"),
    ("security protocol: eof", "it hung up at once: is it a waggle node?"),
    ("security protocol: unexpected eof", "what answers there is no waggle node"),
    ("failed to negotiate security protocol", "what answers there is no waggle node of our kind"),
    ("dial backoff", "it could not be reached a moment ago"),
)
"""What the daemon's text has in it, and what that means; the first that fits."""

_ATTEMPT = re.compile(r"\s*\* \[([^\]]*)\] ")
_LOOPBACK = re.compile(r"/ip4/127\.|/ip6/::1/")
_HEAD = re.compile(r"(failed to dial(:| \S+:)\s*)+")


def plain(reason: str) -> str:
    """All that the daemon's text says, each thing once, in one line."""
    _, *found = _ATTEMPT.split(reason)
    attempts = list(zip(found[::2], found[1::2], strict=True)) or [("", reason)]
    said = dict.fromkeys(_meaning(address, text) for address, text in attempts)
    if len(said) > 1:
        said.pop(WORDS[-1][1], None)  # it repeats what was said the moment before
    return "; ".join(list(said)[:MAX_REASONS])


def _meaning(address: str, text: str) -> str:
    """What was said of the attempt at one address; "" where the daemon names none."""
    known = next((words for sign, words in WORDS if sign in text.lower()), None)
    if known == NO_WAY and _LOOPBACK.match(address):
        return NO_LOOPBACK
    return known or " ".join(_HEAD.sub("", _printable(text)).split())[:MAX_UNKNOWN] or "no reason is known"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:1_000])
