"""One node's signed description of itself, and how each reader gets only the addresses that are fit for it.

The body is signed once; it holds the public addresses as they are, and for the loopback and the private ones only a
hash. The lists behind the hashes travel beside the body. Whoever passes an advert on leaves out the lists that are not
fit for the link it goes over, and whoever gets one leaves out those that could not be fit for the link it came by. So
one advert with one number serves every reader, no private address reaches a remote peer that did not have it, and no
remote peer can point us at our own machine. Each list is hashed with a secret salt: a reader cannot guess it.

(Two adverts with the same number, one per scope, would cost two signatures and let an author tell two stories.)
"""

from collections import OrderedDict
from hashlib import sha256
from typing import Annotated, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Address, Advert
from waggle.mesh.addresses import MAX_ADDRESSES, Scope, fit_addresses, parse_address
from waggle.mesh.limits import MAX_ADVERT_BYTES, MAX_ADVERT_SECONDS, MAX_CLOCK_SKEW_SECONDS
from waggle.mesh.packing import decode_as, encode
from waggle.trust.keys import SIGNATURE_BYTES, NodeKey, verify

DOMAIN = b"waggle/1/advert/"
HIDDEN = (Scope.LOOPBACK, Scope.PRIVATE)
"""The scopes whose addresses travel beside the body; the bit of a scope in `scopes` is `1 << scope`."""
MAX_INCARNATION_AHEAD = 1000.0 * 2 * MAX_CLOCK_SKEW_SECONDS
"""How far, in milliseconds, an incarnation may lie after the advert's date."""

Remembered = TypeVar("Remembered")
Hash = Annotated[bytes, Meta(max_length=32)]


class HiddenAddresses(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The addresses of one scope with the salt that was hashed with them."""

    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    addresses: Annotated[tuple[Address, ...], Meta(max_length=MAX_ADDRESSES)]


class Body(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is signed. `advert.addresses` are the public ones; the hashes are empty where there is no such list."""

    advert: Advert
    loopback: Hash = b""
    private: Hash = b""


class SignedAdvert(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An advert as it travels; the lists are empty where they were left out."""

    body: Annotated[bytes, Meta(max_length=MAX_ADVERT_BYTES)]
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
    loopback: Annotated[bytes, Meta(max_length=MAX_ADVERT_BYTES)] = b""
    private: Annotated[bytes, Meta(max_length=MAX_ADVERT_BYTES)] = b""

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        return len(self.body) + len(self.signature) + len(self.loopback) + len(self.private) + 16


class OpenAdvert(Struct, frozen=True):
    """An advert that was read: `advert.addresses` are all that came with it, `scopes` the hidden lists among them."""

    advert: Advert
    signed: SignedAdvert
    scopes: int

    @property
    def rank(self) -> tuple[int, int]:
        """Of two adverts of one author the one with the larger rank holds."""
        return self.advert.incarnation, self.advert.sequence


def seal_advert(key: NodeKey, advert: Advert) -> OpenAdvert:
    """Sign our own advert; its addresses are sorted by scope, at most 8 of each, and those nobody may dial left out.

    Raises:
        LocalProtocolError: it is larger than every reader allows.
    """
    lists = {scope: fit_addresses(advert.addresses, advert.node, nearest=scope, farthest=scope) for scope in Scope}
    hidden = {scope: _hide(key, advert, scope, lists[scope]) for scope in HIDDEN if lists[scope]}
    body = Body(
        replace(advert, addresses=tuple(lists[Scope.PUBLIC])),
        *(sha256(hidden[scope]).digest() if scope in hidden else b"" for scope in HIDDEN),
    )
    room = MAX_ADVERT_BYTES - sum(len(data) for data in hidden.values()) - SIGNATURE_BYTES
    data = encode(body, room)
    signed = SignedAdvert(data, key.sign(DOMAIN + data), *(hidden.get(scope, b"") for scope in HIDDEN))
    return read_advert(signed)


def _hide(key: NodeKey, advert: Advert, scope: Scope, addresses: list[str]) -> bytes:
    """The salt is a secret that only we can compute again: a hash of a signature that is never sent."""
    number = f"{advert.incarnation}/{advert.sequence}/{scope}"
    salt = sha256(key.sign(b"waggle/1/salt/" + number.encode())).digest()[:16]
    return encode(HiddenAddresses(salt, tuple(addresses)), MAX_ADVERT_BYTES)


def read_advert(signed: SignedAdvert, *, sender: str = "the peer") -> OpenAdvert:
    """Read an advert without asking who signed it; every size, number and hash is checked.

    Raises:
        RemoteProtocolError: it breaks a rule.
    """
    if signed.size > MAX_ADVERT_BYTES + 16:
        raise RemoteProtocolError(f"{sender}: an advert of {signed.size} bytes; {MAX_ADVERT_BYTES} are allowed")
    body = decode_as(Body, signed.body, MAX_ADVERT_BYTES, sender=sender)
    advert = body.advert
    if advert.incarnation > advert.issued_at * 1000.0 + MAX_INCARNATION_AHEAD:
        raise RemoteProtocolError(f"{sender}: an advert whose incarnation is later than its date")
    addresses = fit_addresses(advert.addresses, advert.node, nearest=Scope.PUBLIC)
    scopes = 0
    for scope in HIDDEN:
        if data := _hidden(signed, scope):
            found = _read_hidden(data, _hash(body, scope), sender)
            addresses += fit_addresses(found, advert.node, nearest=scope, farthest=scope)
            scopes |= 1 << scope
    return OpenAdvert(replace(advert, addresses=tuple(addresses)), signed, scopes)


def _hidden(signed: SignedAdvert, scope: Scope) -> bytes:
    return signed.loopback if scope is Scope.LOOPBACK else signed.private


def _hash(body: Body, scope: Scope) -> bytes:
    return body.loopback if scope is Scope.LOOPBACK else body.private


def _read_hidden(data: bytes, digest: bytes, sender: str) -> tuple[str, ...]:
    if sha256(data).digest() != digest:
        raise RemoteProtocolError(f"{sender}: an advert with addresses that its author did not sign")
    return decode_as(HiddenAddresses, data, MAX_ADVERT_BYTES, sender=sender).addresses


def is_genuine(advert: OpenAdvert) -> bool:
    """Whether its author signed it."""
    signed = advert.signed
    return verify(advert.advert.node, signed.signature, DOMAIN + signed.body)


def scopes_within(scope: Scope) -> int:
    """The hidden lists that may cross a link of this scope, as bits."""
    return sum(1 << hidden for hidden in HIDDEN if hidden >= scope)


def within(advert: OpenAdvert, scope: Scope) -> OpenAdvert:
    """The same advert without the lists that may not cross a link of this scope."""
    if not advert.scopes & ~scopes_within(scope):
        return advert
    kept = {hidden: _hidden(advert.signed, hidden) if hidden >= scope else b"" for hidden in HIDDEN}
    signed = replace(advert.signed, loopback=kept[Scope.LOOPBACK], private=kept[Scope.PRIVATE])
    addresses = tuple(text for text in advert.advert.addresses if parse_address(text).scope >= scope)
    return OpenAdvert(replace(advert.advert, addresses=addresses), signed, advert.scopes & scopes_within(scope))


def merge_addresses(one: OpenAdvert, other: OpenAdvert) -> OpenAdvert:
    """Two copies of the same advert as one, with the hidden lists of both."""
    first, second = one.signed, other.signed
    loopback, private = first.loopback or second.loopback, first.private or second.private
    return read_advert(replace(first, loopback=loopback, private=private))


def lifetime(advert: Advert) -> float:
    """Seconds that a reader lets it live, whatever it asks for."""
    return min(advert.ttl, MAX_ADVERT_SECONDS)


def find_clock_fault(advert: Advert, wall: float) -> str | None:
    """Why its date cannot be believed, in words; None where it can. `wall` is our own date, seconds since 1970."""
    age = wall - advert.issued_at
    if age < -MAX_CLOCK_SKEW_SECONDS:
        return f"its clock is {-age:.0f} s ahead of ours; {MAX_CLOCK_SKEW_SECONDS:.0f} s are allowed"
    if age > MAX_CLOCK_SKEW_SECONDS + lifetime(advert):
        return f"its advert is {age:.0f} s old, or its clock that far behind ours"
    return None


class AdvertReader:
    """Reads and verifies adverts, remembering the last ones: the same advert comes from several peers.

    Simulations share one reader among all their nodes, so that each signature is checked once.
    """

    def __init__(self, size: int = 512) -> None:
        """Remember up to `size` adverts."""
        self._size = size
        self._read: OrderedDict[SignedAdvert, OpenAdvert] = OrderedDict()
        self._genuine: OrderedDict[SignedAdvert, NodeId] = OrderedDict()

    def __len__(self) -> int:
        return max(len(self._read), len(self._genuine))

    def read(self, signed: SignedAdvert, sender: str) -> OpenAdvert:
        """`read_advert`. Raises RemoteProtocolError."""
        found = self._read.get(signed)
        if found is None:
            found = self._read[signed] = read_advert(signed, sender=sender)
            _trim(self._read, self._size)
        return found

    def check(self, advert: OpenAdvert, sender: str) -> None:
        """Raises RemoteProtocolError where its author did not sign it."""
        if advert.signed in self._genuine:
            return
        if not is_genuine(advert):
            raise RemoteProtocolError(f"{sender}: an advert with a wrong signature")
        self._genuine[advert.signed] = advert.advert.node
        _trim(self._genuine, self._size)


def _trim(memory: OrderedDict[SignedAdvert, Remembered], size: int) -> None:
    while len(memory) > size:
        memory.popitem(last=False)
