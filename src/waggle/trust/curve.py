"""Whether 32 bytes are a fit Ed25519 public key. The libraries take any bytes; we do not.

A key of small order lets everybody sign under it, a coordinate beyond the field gives one point two spellings
(RFC 8032, sections 5.1.3 and 8.9). Public data only: nothing here needs constant time.
"""

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
_ORDER_EIGHT = 2707385501144840649318225287225658788936804267575313519463743609750303402022
"""The y of four of the eight points of small order; its negative has the other ones of order 8."""
SMALL_ORDER = frozenset({0, 1, P - 1, _ORDER_EIGHT, P - _ORDER_EIGHT})
"""The y of every point whose order divides 8."""


def is_sound(public: bytes) -> bool:
    """Whether the 32 bytes are the one spelling of a point on the curve that is not of small order."""
    y = int.from_bytes(public, "little") & (2**255 - 1)
    return y < P and y not in SMALL_ORDER and _is_square((y * y - 1) * pow(D * y * y + 1, -1, P))


def _is_square(number: int) -> bool:
    """Euler's criterion: whether the x^2 that the curve's equation gives for this y has a root."""
    return pow(number, (P - 1) // 2, P) == 1
