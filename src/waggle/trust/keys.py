"""A node's key: one Ed25519 key pair is both its network identity and its signature.

The id holds the public key (libp2p's peer id), so a signature can be checked with nothing looked up. Every key has
exactly one id: other spellings of it are refused, and so are keys under which everybody can sign.
"""

import os
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from waggle.core.errors import RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.trust import base58, curve, keyfile

SIGNATURE_BYTES = 64
SEED_BYTES = 32
ID_CHARACTERS = 52
MAX_KEYS_REMEMBERED = 8_192
"""Parsed public keys kept: as many as peers are tracked."""

ID_PREFIX = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
"""Before the 32 key bytes in an id: identity multihash of 36 bytes; protobuf PublicKey, Ed25519, 32 bytes."""


@dataclass(frozen=True)
class NodeKey:
    """A node's private key. Never printed, compared by identity of its id."""

    _private: Ed25519PrivateKey = field(repr=False, compare=False)
    _public: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> "NodeKey":
        """A new key from the system's randomness."""
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> "NodeKey":
        """The key of a 32-byte seed: for tests and simulations. Raises UsageError for another length."""
        if len(seed) != SEED_BYTES:
            raise UsageError(f"a key is made from a seed of {SEED_BYTES} bytes, not {len(seed)}")
        return cls._of(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path) -> "NodeKey":
        """The key in a file in libp2p's format, as its daemon reads it too.

        Raises:
            UsageError: there is no such file, others may read it, or it holds no intact Ed25519 key.
        """
        seed, public = keyfile.read(path)
        key = cls.from_seed(seed)
        if key._public != public:
            raise UsageError(f"{path} is damaged: its public half does not belong to its private half")
        return key

    @classmethod
    def load_or_create(cls, path: Path) -> "NodeKey":
        """The key in the file, made first (mode 0600, in a directory of mode 0700) where there is none.

        Of two processes that make it at once, both get the same key. Raises UsageError like `load`.
        """
        if not os.path.exists(path):  # False, not an error, where the directory is closed to us
            key = cls.generate()
            if keyfile.create(path, key._private.private_bytes_raw(), key._public):
                return key
        return cls.load(path)

    @classmethod
    def _of(cls, private: Ed25519PrivateKey) -> "NodeKey":
        return cls(private, private.public_key().public_bytes_raw())

    @cached_property
    def node_id(self) -> NodeId:
        """The libp2p peer id of this key, "12D3Koo...", 52 characters."""
        return node_id_of(self._public)

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature; callers begin `data` with a tag of what is signed."""
        return self._private.sign(data)


def node_id_of(public: bytes) -> NodeId:
    """The peer id of a raw 32-byte Ed25519 public key."""
    return NodeId(base58.encode(ID_PREFIX + public))


@lru_cache(maxsize=MAX_KEYS_REMEMBERED)
def public_key_of(node_id: NodeId) -> Ed25519PublicKey:
    """The public key inside an id.

    Raises:
        RemoteProtocolError: this is no peer id of an Ed25519 key in its one spelling, or a key nobody should trust.
    """
    raw = _key_bytes(node_id)
    if raw is None:
        raise RemoteProtocolError("a node id is not the peer id of an Ed25519 key")
    if not curve.is_sound(raw):
        raise RemoteProtocolError("a node id holds no sound Ed25519 key")
    return Ed25519PublicKey.from_public_bytes(raw)


def _key_bytes(node_id: str) -> bytes | None:
    """The 32 bytes after the prefix; the fixed length leaves base58 only one spelling."""
    if len(node_id) != ID_CHARACTERS:
        return None
    decoded = base58.decode(node_id)
    if decoded is None or len(decoded) != len(ID_PREFIX) + 32 or not decoded.startswith(ID_PREFIX):
        return None
    return decoded[len(ID_PREFIX) :]


def is_node_id(text: str) -> bool:
    """Whether the text is a node id whose signatures can be checked."""
    try:
        public_key_of(NodeId(text))
    except RemoteProtocolError:
        return False
    return True


def verify(node_id: NodeId, signature: bytes, data: bytes) -> bool:
    """Whether the node signed these bytes. Never raises, whatever the id and the signature hold."""
    try:
        public_key_of(node_id).verify(signature, data)
    except (RemoteProtocolError, InvalidSignature):
        return False
    return True
