"""The bounds of what may stand in a value that crosses a border: checked wherever one is decoded.

Lengths of texts are in characters here; what a round takes up, it counts in bytes.
"""

from typing import Annotated

from msgspec import Meta

from waggle.core.ids import NodeId

KIB = 1024
MAX_SECONDS = 1e7
MAX_TOKENS = 2**40
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, Meta(ge=0.0, le=MAX_SECONDS)]
Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
Number = Annotated[int, Meta(ge=0, lt=64)]
"""A candidate's; a round has at most 64 proposals."""
Text = Annotated[str, Meta(max_length=64 * KIB)]
LongText = Annotated[str, Meta(max_length=256 * KIB)]
ShortText = Annotated[str, Meta(max_length=4 * KIB)]
Name = Annotated[str, Meta(max_length=256)]
Node = Annotated[NodeId, Meta(max_length=256)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
