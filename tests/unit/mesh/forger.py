"""Frames as a dishonest peer makes them: rightly signed by its own key, with anything inside."""

from typing import Any

import pytest

from tests.unit.mesh.wire_samples import KEY, NODE, ROUND, SAMPLES, SEQ, packed
from waggle.core.errors import RemoteProtocolError
from waggle.mesh.codec import VERSION, Envelope, open_envelope, seal, signed_bytes, unseal
from waggle.mesh.messages import Message
from waggle.trust.keys import NodeKey

OTHER = NodeKey.from_seed(bytes(32))
"""Another node."""


def refusal(frame: bytes, *, sender: str = NODE, round_id: str = ROUND, seq: int = SEQ) -> str:
    """The text with which a frame is refused; fails where it is not."""
    with pytest.raises(RemoteProtocolError) as caught:
        unseal(frame, sender=type(NODE)(sender), round_id=round_id, seq=seq)
    text = str(caught.value)
    assert text.startswith(f"{sender}: ")
    assert len(text) < 250
    assert caught.value.__cause__ is None
    return text.removeprefix(f"{sender}: ")


def sealed(message: Message) -> bytes:
    return seal(KEY, message, round_id=ROUND, seq=SEQ)


def forged(**changes: Any) -> bytes:  # noqa: ANN401  # fields of any type, right or wrong
    """A frame whose envelope says what we like; the signature is right for it unless given."""
    body = changes.pop("body", open_envelope(sealed(SAMPLES["ballot"]), sender=NODE).body)
    fields = {"version": VERSION, "kind": "ballot", "round": ROUND, "sender": NODE, "seq": SEQ, "body": body} | changes
    if "signature" not in fields:
        signed = signed_bytes(str(fields["kind"]), str(fields["round"]), NODE, int(fields["seq"]), body)
        fields["signature"] = KEY.sign(signed)
    return packed([fields[name] for name in Envelope.__struct_fields__])


def saying(value: object, kind: str = "ballot") -> bytes:
    """A rightly signed frame with any body."""
    return forged(kind=kind, body=packed(value))


CAST: dict[str, object] = {"judge": NODE, "first": 0, "second": 1, "p": 0.5}
BALLOT: dict[str, object] = {"type": "ballot", "ballot": CAST}
