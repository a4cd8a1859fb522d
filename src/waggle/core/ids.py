"""One identifier type per thing, so that the type checker tells them apart.

All are plain strings underneath. Rounds and requests are 128-bit numbers in lower-case hexadecimal;
a node's id is whatever its network calls it (a libp2p peer id, or a model's name inside one process).
"""

from typing import NewType

NodeId = NewType("NodeId", str)
RoundId = NewType("RoundId", str)
RequestId = NewType("RequestId", str)
CandidateId = NewType("CandidateId", int)
