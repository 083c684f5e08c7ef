"""Faces in npy files."""

from __future__ import annotations

import threading
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib.format import MAGIC_PREFIX, open_memmap
from numpy.typing import NDArray

from mreactor_ref.errors import ClipError
from mreactor_ref.features.faces.track import MAX_ROWS, Face
from mreactor_ref.signals import (
    ATTRIBUTES,
    COEFFICIENTS,
    REACTION,
    REACTION_ATTRIBUTES,
    REACTION_COEFFICIENTS,
)

PICKLE_START, ZIP_START = b"\x80", b"PK"
# What numpy's reading of a header, which is Python source, is known to raise.
HEADER_ERRORS = (ValueError, TypeError, OverflowError, EOFError, SyntaxError, TokenError)
# Two threads that parse Python source at once can fail: github.com/python/cpython/issues/106905.
PARSING = threading.Lock()
WIDTHS = f"{COEFFICIENTS} coefficients, {ATTRIBUTES} attributes, or the {REACTION} of both"


def read_npy(path: Path, most: int = MAX_ROWS) -> Face:
    """(T', 58) coefficients, (T', 25) attributes, or (T', 83) attributes and then coefficients.

    Args:
        most: rows of a file that is not refused.

    Raises:
        ClipError: no npy file, pickled objects, a wrong shape or dtype, no frames, or more than
            `most`.
    """
    rows = open_rows(path)
    if len(rows) > most:
        raise ClipError(f"has {len(rows)} rows, more than {most}", path, "cut it to the clip")
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
        values = np.array(rows, np.float32)
    if values.shape[1] == COEFFICIENTS:
        return Face(coefficients=values)
    if values.shape[1] == ATTRIBUTES:
        return Face(attributes=values)
    return Face(values[:, REACTION_COEFFICIENTS].copy(), values[:, REACTION_ATTRIBUTES].copy())


def open_rows(path: Path) -> NDArray[np.generic]:
    """The rows of an npy file that may be a face, mapped: only its header is read."""
    with path.open("rb") as file:
        start = file.read(len(MAGIC_PREFIX))
    if start.startswith(PICKLE_START):
        raise _pickled(path)
    if start != MAGIC_PREFIX:
        kind = "an npz archive, not" if start.startswith(ZIP_START) else "not"
        raise ClipError(f"is {kind} an npy array", path, "save one array with numpy.save")
    try:
        # mapped, not read: a header that promises more than the file holds fails at once
        data = map_npy(path)
    except (*HEADER_ERRORS, MemoryError) as error:
        if "Python objects" in str(error):
            raise _pickled(path) from error
        raise ClipError(
            "is not a complete npy array", path, "save it again with numpy.save"
        ) from error
    if data.dtype.kind not in "fiu":
        raise ClipError(f"has dtype {data.dtype}, not numbers", path, "save it as float32")
    if data.ndim == 3 and data.shape[1] == 1:  # as some FaceVerse exports have it
        data = data[:, 0]
    if data.ndim != 2 or data.shape[1] not in (COEFFICIENTS, ATTRIBUTES, REACTION):
        raise ClipError(f"has shape {data.shape}", path, f"a row is a frame: {WIDTHS}")
    if len(data) == 0:
        raise ClipError("has no frames", path, "extract the face again")
    return data


def map_npy(path: Path) -> NDArray[np.generic]:
    """The array of an npy file, mapped. Raises OSError, MemoryError and HEADER_ERRORS."""
    with PARSING:
        return open_memmap(path, mode="r")


def _pickled(path: Path) -> ClipError:
    fix = "save it as a plain float32 array"
    return ClipError("holds pickled Python objects, which are never opened", path, fix)
