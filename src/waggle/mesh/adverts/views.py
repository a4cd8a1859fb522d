"""Which authors a node keeps that holds a part of a very large swarm.

Half are those nearest to its own key (exclusive or), so that every key has its keepers; half a fair sample: the
smallest of a secret hash of the key. Pushing an id again and again does not move it, and without the secret nobody can
choose ids that win (after Brahms, Bortnikov et al. 2009).
"""

from hashlib import blake2b


class PartialView:
    """The keys that are kept. A better placed newcomer takes the place of the worst placed."""

    def __init__(self, own: int, limit: int, salt: bytes) -> None:
        """Keep at most `limit` keys, 2 or more; `own` is our own key, `salt` the secret, up to 64 bytes."""
        self._own = own
        self._salt = salt
        self._near = _Best(max(1, limit // 2))
        self._sample = _Best(max(1, limit // 2))

    def _secret(self, key: int) -> int:
        return int.from_bytes(blake2b(key.to_bytes(8), key=self._salt, digest_size=8).digest())

    def has_room(self, key: int) -> bool:
        """Whether either half would keep it."""
        return self._near.has_room(key ^ self._own) or self._sample.has_room(self._secret(key))

    def put(self, key: int) -> list[int]:
        """Keep a key; gives those that neither half keeps any longer."""
        pushed = {self._near.put(key, key ^ self._own), self._sample.put(key, self._secret(key))}
        return [gone for gone in pushed if gone is not None and gone not in self._near and gone not in self._sample]

    def drop(self, key: int) -> None:
        """Keep it no longer."""
        self._near.drop(key)
        self._sample.drop(key)


class _Best:
    """The keys with the smallest places."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: dict[int, int] = {}
        self._worst = -1

    def __contains__(self, key: int) -> bool:
        return key in self._places

    def has_room(self, place: int) -> bool:
        return len(self._places) < self._most or place < self._worst

    def put(self, key: int, place: int) -> int | None:
        """Keep it if it is good enough; gives the key that has to go for it, perhaps itself."""
        self._places[key] = place
        worst = None
        if len(self._places) > self._most:
            worst = max(self._places, key=self._places.__getitem__)
            del self._places[worst]
        self._worst = max(self._places.values())
        return worst

    def drop(self, key: int) -> None:
        if self._places.pop(key, None) == self._worst:
            self._worst = max(self._places.values(), default=-1)
