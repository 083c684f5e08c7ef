"""A binary glTF 2.0 file: accessors over one buffer, put together into bytes."""

from __future__ import annotations

import json
import struct
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC, VERSION = b"glTF", 2
JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\0"
VERTICES, INDICES = 34962, 34963  # targets of buffer views
COMPONENTS = {"uint8": 5121, "uint16": 5123, "float32": 5126}
TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
ALIGNMENT = 4  # bytes

Values = NDArray[np.generic]


class Accessors:
    """The arrays of a file, each known by its number, and the bytes that hold them."""

    def __init__(self) -> None:
        self.accessors: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self._bytes = bytearray()

    def copy(self) -> Accessors:
        """Another, to which more can be added."""
        return deepcopy(self)

    def add(
        self,
        values: Values,
        target: int | None = None,
        bounds: bool = False,
        normalized: bool = False,
    ) -> int:
        """Add an array (N,) or (N, width).

        Args:
            target: VERTICES or INDICES, of meshes.
            bounds: tell its least and largest values.
            normalized: whole numbers that stand for 0 to 1.
        """
        accessor = _described(values, bounds) | {"bufferView": self._view(values, target)}
        return self._added(accessor | ({"normalized": True} if normalized else {}))

    def add_sparse(self, values: NDArray[np.float32]) -> int:
        """Add an array (N, 3) of which only the rows that are not 0 are stored."""
        rows = np.flatnonzero(values.any(axis=1)).astype(np.uint16)
        accessor = _described(values, bounds=True)
        if len(rows):
            accessor["sparse"] = {
                "count": len(rows),
                "indices": {"bufferView": self._view(rows), "componentType": COMPONENTS["uint16"]},
                "values": {"bufferView": self._view(values[rows])},
            }
        return self._added(accessor)

    def to_bytes(self, scene: dict[str, Any]) -> bytes:
        """The file: what `scene` says, over these arrays."""
        content = scene | {
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self._bytes)}],
        }
        text = json.dumps(content, separators=(",", ":")).encode()
        chunks = _chunk(JSON_CHUNK, text, b" ") + _chunk(BINARY_CHUNK, bytes(self._bytes), b"\0")
        return MAGIC + struct.pack("<II", VERSION, 12 + len(chunks)) + chunks

    def _view(self, values: Values, target: int | None = None) -> int:
        content = np.ascontiguousarray(values).tobytes()
        view = {"buffer": 0, "byteOffset": len(self._bytes), "byteLength": len(content)}
        self.views.append(view | ({} if target is None else {"target": target}))
        self._bytes += _padded(content, b"\0")
        return len(self.views) - 1

    def _added(self, accessor: dict[str, Any]) -> int:
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _described(values: Values, bounds: bool) -> dict[str, Any]:
    columns = values.reshape(len(values), -1)
    accessor: dict[str, Any] = {
        "componentType": COMPONENTS[values.dtype.name],
        "count": len(values),
        "type": TYPES[columns.shape[1]],
    }
    if bounds:
        accessor |= {"min": columns.min(axis=0).tolist(), "max": columns.max(axis=0).tolist()}
    return accessor


def _chunk(kind: bytes, content: bytes, filler: bytes) -> bytes:
    content = _padded(content, filler)
    return struct.pack("<I", len(content)) + kind + content


def _padded(content: bytes, filler: bytes) -> bytes:
    return content + filler * (-len(content) % ALIGNMENT)
