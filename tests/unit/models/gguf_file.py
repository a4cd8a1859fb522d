"""A reader of GGUF version 3 made from its specification, so that what is written is not read by its own writer."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

ALIGNMENT = 32
TENSOR_TYPES = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

Value = int | float | bool | str | list["Value"]


class GgufFile(NamedTuple):
    """What a file holds; tensors with the shape that torch would give them."""

    values: dict[str, Value]
    tensors: dict[str, Tensor]


def read_gguf(path: Path) -> GgufFile:
    """Read a whole file; struct.error or ValueError where it is none."""
    data = path.read_bytes()
    reader = _Reader(data)
    if data[:4] != b"GGUF":
        raise ValueError("not a GGUF file")
    reader.at = 4
    version, tensors, values = reader.number("I"), reader.number("Q"), reader.number("Q")
    if version != 3:
        raise ValueError(f"version {version}")
    found = {reader.text(): reader.value(int(reader.number("I"))) for _ in range(int(values))}
    infos = [reader.info() for _ in range(int(tensors))]
    start = -(-reader.at // ALIGNMENT) * ALIGNMENT
    return GgufFile(found, {name: make(data, start) for name, make in infos})


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, kind: str) -> int | float | bool:
        found: tuple[int | float | bool] = struct.unpack_from(f"<{kind}", self.data, self.at)
        self.at += struct.calcsize(kind)
        return found[0]

    def text(self) -> str:
        size = int(self.number("Q"))
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self, kind: int) -> Value:
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            return self.number(NUMBERS[kind])
        inner, count = int(self.number("I")), int(self.number("Q"))
        return [self.value(inner) for _ in range(count)]

    def info(self) -> tuple[str, Callable[[bytes, int], Tensor]]:
        name = self.text()
        shape = [int(self.number("Q")) for _ in range(int(self.number("I")))][
            ::-1
        ]  # the file has the rows' length first
        dtype, offset = TENSOR_TYPES[int(self.number("I"))], int(self.number("Q"))

        def make(data: bytes, start: int) -> Tensor:
            flat = torch.frombuffer(
                bytearray(data), dtype=dtype, count=torch.Size(shape).numel(), offset=start + offset
            )
            return flat.reshape(shape)

        return name, make
