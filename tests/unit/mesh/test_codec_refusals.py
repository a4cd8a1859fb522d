"""An envelope that says what is not so and a message outside its types are refused, though they are rightly signed."""

import pytest

from tests.unit.mesh.forger import BALLOT, CAST, OTHER, forged, refusal, saying, sealed
from tests.unit.mesh.wire_samples import KEY, NODE, ROUND, SAMPLES, SEQ, packed
from waggle.core.round_values import Ballot
from waggle.mesh.codec import DOMAIN, VERSION, Envelope, open_envelope, signed_bytes, unseal
from waggle.mesh.messages import CastBallot


def test_a_frame_made_by_hand_is_read_like_any_other() -> None:
    """Without this the refusals below would prove nothing."""
    assert unseal(forged(), sender=NODE, round_id=ROUND, seq=SEQ) == SAMPLES["ballot"]
    assert unseal(saying(BALLOT), sender=NODE, round_id=ROUND, seq=SEQ) == CastBallot(
        ballot=Ballot(judge=NODE, first=0, second=1, p=0.5)
    )


# --- what an envelope says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 1}, "version 1 of the protocol; we speak 2"),
        ({"version": 3}, "version 3"),
        ({"version": "1"}, "as its type demands"),
        ({"version": True}, "as its type demands"),
        ({"version": -1}, "version -1"),
        ({"kind": "unheard"}, "kind that we do not know"),
        ({"kind": ""}, "kind that we do not know"),
        ({"kind": "CastBallot"}, "kind that we do not know"),
        ({"kind": "b" * 65}, "as its type demands"),
        ({"kind": "commit"}, "kind that its envelope says"),
        ({"round": "f" * 32}, "another round"),
        ({"round": ROUND.upper()}, "as its type demands"),
        ({"round": ROUND + "\n"}, "as its type demands"),
        ({"round": ""}, "as its type demands"),
        ({"sender": OTHER.node_id}, "somebody else"),
        ({"sender": "1" + NODE}, "as its type demands"),
        ({"seq": SEQ - 1}, "number 2 where 3 is due"),
        ({"seq": SEQ + 1}, "number 4 where 3 is due"),
        ({"seq": 2**63 - 1}, "is due"),
        ({"seq": -1, "signature": bytes(64)}, "as its type demands"),
        ({"seq": 3.0}, "as its type demands"),
        ({"signature": bytes(64)}, "signature"),
        ({"signature": b""}, "as its type demands"),
        ({"signature": bytes(65)}, "as its type demands"),
        ({"signature": "x" * 64}, "as its type demands"),
    ],
    ids=repr,
)
def test_an_envelope_that_says_what_is_not_so_is_refused(changes: dict[str, object], words: str) -> None:
    assert words in refusal(forged(**changes))


def test_an_envelope_with_more_or_fewer_fields_or_as_a_map_is_refused() -> None:
    fields = [VERSION, "ballot", ROUND, NODE, SEQ, packed(BALLOT), bytes(64)]
    for wrong in ([*fields, None], fields[:-1], [fields], dict(zip(Envelope.__struct_fields__, fields, strict=True))):
        refusal(packed(wrong))


@pytest.mark.parametrize("field", ["kind", "round", "seq", "sender"])
def test_a_signature_does_not_serve_another_envelope(field: str) -> None:
    """The signature was made for these fields; one of them is swapped for another honest value."""
    swapped = {"kind": "commit", "round": "f" * 32, "seq": 7, "sender": OTHER.node_id}
    signature = open_envelope(sealed(SAMPLES["ballot"]), sender=NODE).signature
    body = open_envelope(sealed(SAMPLES["commit"]), sender=NODE).body if field == "kind" else None
    changes = {field: swapped[field], "signature": signature} | ({"body": body} if body else {})
    frame = forged(**changes)
    sender, seq = (OTHER.node_id if field == "sender" else NODE), (7 if field == "seq" else SEQ)
    round_id = "f" * 32 if field == "round" else ROUND
    assert refusal(frame, sender=sender, round_id=round_id, seq=seq) == "the signature is not right"


def test_a_signature_by_another_key_or_under_another_tag_is_refused() -> None:
    body = packed(BALLOT)
    signed = signed_bytes("ballot", ROUND, NODE, SEQ, body)
    assert refusal(forged(body=body, signature=OTHER.sign(signed))) == "the signature is not right"
    for tag in (b"", b"waggle/1/", b"waggle/2", b"Waggle/2/", b"waggle/2/advert/"):
        signature = KEY.sign(tag + signed.removeprefix(DOMAIN))
        assert refusal(forged(body=body, signature=signature)) == "the signature is not right"


def test_a_sender_that_is_no_peer_id_is_refused() -> None:
    impostor = "1" * 52
    assert refusal(forged(sender=impostor), sender=impostor) == "the signature is not right"


# --- what a body says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"unheard": 1},
        {"first": -1},
        {"first": 64},
        {"first": 2**63},
        {"first": 2**64 - 1},
        {"first": 0.0},
        {"first": "0"},
        {"first": True},
        {"first": None},
        {"p": float("nan")},
        {"p": float("inf")},
        {"p": -0.001},
        {"p": 1.001},
        {"p": "0.5"},
        {"seconds": float("nan")},
        {"seconds": 1e308},
        {"seconds": -1.0},
        {"tokens": 2**41},
        {"reason": "x" * 4097},
        {"reason": b"bytes"},
        {"reason": ["x"]},
    ],
    ids=repr,
)
def test_a_value_outside_its_types_is_refused(changes: dict[str, object]) -> None:
    refusal(saying(BALLOT | {"ballot": CAST | changes}))


@pytest.mark.parametrize(
    "changes", [{"type": "commit"}, {"type": None}, {"type": ["ballot"]}, {"unheard": 1}], ids=repr
)
def test_a_body_outside_its_types_is_refused(changes: dict[str, object]) -> None:
    refusal(saying(BALLOT | changes))


@pytest.mark.parametrize("missing", ["judge", "first", "second", "p"])
def test_a_value_without_a_field_is_refused(missing: str) -> None:
    refusal(saying(BALLOT | {"ballot": {name: value for name, value in CAST.items() if name != missing}}))


@pytest.mark.parametrize("missing", ["type", "ballot"])
def test_a_body_without_a_field_is_refused(missing: str) -> None:
    refusal(saying({name: value for name, value in BALLOT.items() if name != missing}))


OPEN = packed({"type": "ballot"}).replace(b"\x81", b"\x82", 1) + packed("ballot") + b"\x81"
"""A body up to where the ballot's one field begins."""


@pytest.mark.parametrize(
    "text", [b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80", b"\xa4\xf5\x80\x80\x80", b"\xa1\xe2"]
)
def test_text_that_is_not_unicode_is_refused_in_bodies_and_envelopes(text: bytes) -> None:
    assert "UTF-8" in refusal(
        forged(
            body=packed({"type": "ballot"}).replace(b"\x81", b"\x82", 1)
            + packed("ballot")
            + b"\x81"
            + packed("reason")
            + text
        )
    )
    assert "UTF-8" in refusal(b"\x97\x01" + text + b"\xc0" * 5)


@pytest.mark.parametrize("where", ["strength", "confidence", "features", "at"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused_wherever_it_hides(where: str, number: float) -> None:
    """These fields have no bounds of their own."""
    ballots = {"asked": 0, "cast": 0, "refused": 0, "unparseable": 0}
    outcome = {
        "answer": None, "confidence": number if where == "confidence" else 0.0, "abstained": True,
        "candidates": [{"number": 0, "answer": "", "supporters": [], "strength": number, "support": 0.0}]
        if where == "strength" else [],
        "runner_up": None, "confusion_p": None, "ballots": ballots, "connected": False, "failures": {}, "spent": {},
        "reason": "", "features": {"x": number} if where == "features" else {},
    }  # fmt: skip
    if where == "at":
        frame = saying({"type": "happened", "event": {"type": "round_started", "at": number}}, "happened")
    else:
        frame = saying({"type": "answered", "outcome": outcome}, "answered")
    assert refusal(frame) == "the message has a number that is not finite"


def test_an_error_never_quotes_the_message() -> None:
    secret = "the password is swordfish"
    for changes in ({secret: 1}, {"type": secret}):
        assert "swordfish" not in refusal(saying(BALLOT | changes))
    for inside in ({secret: 1}, {"first": secret}, {"reason": [secret]}, {"p": {secret: secret}}):
        assert "swordfish" not in refusal(saying(BALLOT | {"ballot": CAST | inside}))
    assert "swordfish" not in refusal(forged(kind=secret))
