"""Writes an ONNX model: the few messages of onnx.proto3 that a plain network needs, without the onnx package.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from funnel.core.arrays import Array

IR_VERSION, OPSET, MICROSOFT_OPSET = 8, 17, 1
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int8): 3, np.dtype(np.int64): 7}


@dataclass
class Graph:
    """A growing graph of nodes; every method that adds one returns the name of its output."""

    nodes: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)

    def constant(self, values: Array) -> str:
        """An array that belongs to the model."""
        name = f"c{len(self.tensors)}"
        dims = b"".join(_number(1, size) for size in values.shape)
        data = np.ascontiguousarray(values).tobytes()
        self.tensors.append(dims + _number(2, _TYPES[values.dtype]) + _text(8, name) + _bytes(9, data))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: float | int | Sequence[int]) -> str:
        """A node with one output."""
        name = f"n{len(self.nodes)}"
        parts = [_text(1, source) for source in inputs]
        parts += [_text(2, name), _text(4, operator)]
        parts += [_bytes(5, _attribute(key, value)) for key, value in attributes.items()]
        self.nodes.append(b"".join(parts) + _text(7, domain))
        return name

    def model(self, inputs: Mapping[str, int], output: str) -> bytes:
        """The file: inputs are float32 [n, width], the output is one node's."""
        graph = b"".join(_bytes(1, node) for node in self.nodes) + _text(2, "network")
        graph += b"".join(_bytes(5, tensor) for tensor in self.tensors)
        graph += b"".join(_bytes(11, _value(name, width)) for name, width in inputs.items())
        graph += _bytes(12, _value(output, None))
        opsets = [_text(1, "") + _number(2, OPSET), _text(1, "com.microsoft") + _number(2, MICROSOFT_OPSET)]
        return _number(1, IR_VERSION) + _bytes(7, graph) + b"".join(_bytes(8, opset) for opset in opsets)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers as two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, content: str) -> bytes:
    return _bytes(number, content.encode())


def _attribute(name: str, value: float | int | Sequence[int]) -> bytes:
    if isinstance(value, float):
        return _text(1, name) + _varint(2 << 3 | 5) + np.float32(value).tobytes() + _number(20, 1)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, 7)


def _value(name: str, width: int | None) -> bytes:
    """A float32 input or output [n, width]; an output's shape is left open."""
    tensor = _number(1, 1)
    if width is not None:
        tensor += _bytes(2, _bytes(1, _text(2, "n")) + _bytes(1, _number(1, width)))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))
