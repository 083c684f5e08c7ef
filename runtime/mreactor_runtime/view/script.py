"""Data of the pages as scripts, since a page opened from a file may read no other kind of file."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


def call(function: str, value: Any) -> bytes:
    """A script that calls a function of the pages with a value, in ASCII: `mreactor.mesh({...})`.

    The value is JSON, which is no code whatever its texts are.
    """
    return f"mreactor.{function}({json.dumps(value, separators=(',', ':'))});\n".encode("ascii")


def packed(values: np.ndarray, dtype: DTypeLike) -> str:
    """Whole numbers, little-endian, in base64."""
    whole = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(whole.tobytes()).decode("ascii")
