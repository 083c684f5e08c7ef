"""The face: coefficients and attributes from npy files, 25-column csv files and OpenFace."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib.format import MAGIC_PREFIX, open_memmap
from numpy.typing import NDArray

from mreactor_ref.errors import ClipError
from mreactor_ref.features.grid import at_times, edge_pad, frame_centres
from mreactor_ref.signals import (
    ACTION_UNITS,
    ATTRIBUTE_NAMES,
    ATTRIBUTES,
    AU_SLICE,
    COEFFICIENTS,
    EXPRESSION_SLICE,
    EXPRESSIONS,
    REACTION,
    REACTION_ATTRIBUTES,
    REACTION_COEFFICIENTS,
    Array,
)

# A track this close to the clip's number of frames has the clip's rate: it is cut or padded.
FRAME_TOLERANCE = 3  # frames
FRAME_TOLERANCE_SHARE = 0.01
# A track whose file tells its rate may end this much before or after the clip.
GAP_SECONDS = 0.3
GAP_SHARE = 0.02
MIN_FPS, MAX_FPS = 10.0, 120.0  # rates that a camera has
OPENFACE_MARK = "au01_c"  # a column that every OpenFace file with action units has
OPENFACE_UNITS = {
    f"au{int(name[2:]):02d}_c": AU_SLICE.start + i for i, name in enumerate(ACTION_UNITS)
}
REMARK = "#"  # begins a line of a csv file that is for people
PICKLE_START, ZIP_START = b"\x80", b"PK"
# What numpy's reading of a header, which is Python source, is known to raise.
HEADER_ERRORS = (ValueError, TypeError, OverflowError, EOFError, SyntaxError, TokenError)
WIDTHS = f"{COEFFICIENTS} coefficients, {ATTRIBUTES} attributes, or the {REACTION} of both"


@dataclass(frozen=True)
class Face:
    """One face track at its own rate.

    Attributes:
        coefficients: (T', 58) float32, or None.
        attributes: (T', 25) float32, or None.
        fps: where the file tells it.
        times: (T',) the middle of each frame in seconds from the start of the clip, rising; where
            the file tells it.
    """

    coefficients: Array | None = None
    attributes: Array | None = None
    fps: float | None = None
    times: NDArray[np.float64] | None = None

    @property
    def frames(self) -> int:
        return max(len(v) for v in (self.coefficients, self.attributes) if v is not None)


def read_face(path: str | Path) -> Face:
    """Read one file of a face.

    npy: (T', 58) coefficients, (T', 25) attributes, (T', 83) attributes and then coefficients;
    (T', 1, 58) as some FaceVerse exports have it. csv: the 25 attributes by name, in any order
    and case, or the output of OpenFace (see `_openface`).

    Raises:
        ClipError: not readable, pickled objects, a wrong shape or dtype, no frames, missing
            columns, values that are not finite.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            face = _read_npy(path)
        elif suffix == ".csv":
            face = _read_csv(path)
        else:
            raise ClipError(f"a face in {suffix or 'no'} format", path, "use npy or csv")
    except OSError as error:
        raise ClipError(f"cannot be read: {error.strerror or error}", path) from error
    for values in (face.coefficients, face.attributes):
        if values is not None and not np.isfinite(values).all():
            frame = int(np.argmin(np.isfinite(values).all(axis=1)))
            raise ClipError(
                f"has values that are not finite, first in frame {frame}",
                path,
                "fill or cut those frames",
            )
    return face


def _read_npy(path: Path) -> Face:
    with path.open("rb") as file:
        start = file.read(len(MAGIC_PREFIX))
    if start.startswith(PICKLE_START):
        raise _pickled(path)
    if start != MAGIC_PREFIX:
        kind = "an npz archive, not" if start.startswith(ZIP_START) else "not"
        raise ClipError(f"is {kind} an npy array", path, "save one array with numpy.save")
    try:
        # mapped, not read: a header that promises more than the file holds fails at once
        data = open_memmap(path, mode="r")
    except (*HEADER_ERRORS, MemoryError) as error:
        if "Python objects" in str(error):
            raise _pickled(path) from error
        raise ClipError(
            "is not a complete npy array", path, "save it again with numpy.save"
        ) from error
    if data.dtype.kind not in "fiu":
        raise ClipError(f"has dtype {data.dtype}, not numbers", path, "save it as float32")
    if data.ndim == 3 and data.shape[1] == 1:
        data = data[:, 0]
    if data.ndim != 2 or data.shape[1] not in (COEFFICIENTS, ATTRIBUTES, REACTION):
        raise ClipError(f"has shape {data.shape}", path, f"a row is a frame: {WIDTHS}")
    if len(data) == 0:
        raise ClipError("has no frames", path, "extract the face again")
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
        values = np.array(data, np.float32)
    if values.shape[1] == COEFFICIENTS:
        return Face(coefficients=values)
    if values.shape[1] == ATTRIBUTES:
        return Face(attributes=values)
    return Face(values[:, REACTION_COEFFICIENTS].copy(), values[:, REACTION_ATTRIBUTES].copy())


def _pickled(path: Path) -> ClipError:
    fix = "save it as a plain float32 array"
    return ClipError("holds pickled Python objects, which are never opened", path, fix)


def _read_csv(path: Path) -> Face:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = (line for line in file if not line.startswith(REMARK))
            rows = [row for row in csv.reader(lines) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ClipError("is not a csv file in UTF-8", path, "save it again") from error
    if not rows:
        raise ClipError("is empty", path, "extract the face again")
    names = [name.strip().lower() for name in rows[0]]
    openface = OPENFACE_MARK in names
    wanted = [name.lower() for name in ATTRIBUTE_NAMES]
    missing = [name for name in wanted if name not in names]
    if missing and not openface:
        raise ClipError(
            f"has no column {missing[0]} ({len(missing)} of {ATTRIBUTES} are missing)",
            path,
            "the header names the 25 attributes, or the columns of OpenFace",
        )
    if len(rows) == 1:
        raise ClipError("has a header but no frames", path, "extract the face again")
    if openface:
        units = [name for name in names if name in OPENFACE_UNITS]
        others = [name for name in ("timestamp", "success", "face_id") if name in names]
        return _openface(_columns(rows, names, units + others, path), path)
    table = _columns(rows, names, wanted, path)
    return Face(attributes=np.stack([table[name] for name in wanted], axis=1).astype(np.float32))


def _columns(
    rows: list[list[str]], names: list[str], wanted: list[str], path: Path
) -> dict[str, NDArray[np.float64]]:
    """The wanted columns below the header, (T',) each.

    Raises:
        ClipError: a line of another length than the header, or a cell that is no number.
    """
    places = [names.index(name) for name in wanted]
    values = np.empty((len(rows) - 1, len(places)))
    for i, row in enumerate(rows[1:]):
        if len(row) != len(names):
            raise ClipError(
                f"frame {i} has {len(row)} cells, the header {len(names)}", path, "save it again"
            )
        try:
            values[i] = [float(row[place]) for place in places]
        except ValueError as error:
            raise ClipError(
                f"frame {i} has a cell that is no number", path, "fill or cut that frame"
            ) from error
    return dict(zip(wanted, values.T, strict=True))


def _openface(table: dict[str, NDArray[np.float64]], path: Path) -> Face:
    """The attributes that OpenFace 2 measures: the occurrence of 14 of the 15 action units.

    It has no AU24, valence, arousal or expression: AU24, valence and arousal are 0 and the
    expression is Neutral, as for a face that shows nothing. Its pose is in another convention
    than FaceVerse's angles and is not used. Frames where it found no face (`success` 0) take
    the values of the nearest frame with one.
    """
    if len(np.unique(table.get("face_id", np.zeros(1)))) > 1:
        raise ClipError("has several faces", path, "keep the rows of one face_id")
    frames = len(table[OPENFACE_MARK])
    attributes = np.zeros((frames, ATTRIBUTES), np.float32)
    attributes[:, EXPRESSION_SLICE.start + EXPRESSIONS.index("Neutral")] = 1.0
    for name, channel in OPENFACE_UNITS.items():
        if name in table:
            attributes[:, channel] = table[name]
    found = table.get("success", np.ones(frames)) > 0.5
    if not found.any():
        raise ClipError("OpenFace found a face in none of its frames", path, "remove it")
    order = np.arange(frames, dtype=np.float64)
    attributes = at_times(attributes[found], order[found], order, nearest=True)
    return Face(attributes=attributes, fps=_openface_fps(table.get("timestamp"), path))


def _openface_fps(times: NDArray[np.float64] | None, path: Path) -> float | None:
    if times is None or len(times) < 2:
        return None
    span = times[-1] - times[0]
    if not (np.diff(times) > 0).all() or not math.isfinite(span):
        raise ClipError("its timestamps do not rise", path, "keep the rows of one video, in order")
    return float((len(times) - 1) / span)


def fit_face(
    face: Face, fps: float, frames: int, duration: float, path: str | Path
) -> tuple[Face, str | None]:
    """Place a face track, which covers the whole clip, on the clip's frames.

    A track with about T frames is cut or padded. Any other length means another frame rate: the
    track is resampled in time, linearly; the occurrence of action units, which is 0 or 1, takes
    the nearest frame.

    Args:
        face: the track.
        fps, frames, duration: the clip's grid, its T, and its length in seconds.
        path: the file, for an error.

    Returns:
        The face with T frames, and a line that says so if it was resampled.

    Raises:
        ClipError: the length of the track fits no rate from 10 to 120 frames a second, or not
            the rate that the file tells.
    """
    implied = face.frames / duration
    covered = face.frames / face.fps if face.fps else duration
    drifts = abs(covered - duration) > max(GAP_SECONDS, GAP_SHARE * duration)
    fits = abs(face.frames - frames) <= max(FRAME_TOLERANCE, FRAME_TOLERANCE_SHARE * frames)
    if drifts or not (fits or MIN_FPS <= implied <= MAX_FPS):
        rate = f" at {face.fps:.4g} fps" if face.fps else ""
        raise ClipError(
            f"the face has {face.frames} frames{rate}, the clip lasts {duration:.1f} s",
            path,
            "give a face track that covers the whole clip",
        )
    if fits:
        return _place(face, fps, lambda values, _: edge_pad(values, frames)), None
    rate = face.fps or implied
    times, wanted = frame_centres(rate, face.frames), frame_centres(fps, frames)
    line = (
        f"face has {face.frames} frames for {duration:.1f} s: "
        f"taken as {rate:.4g} fps and resampled to {fps:g}"
    )
    return _place(face, fps, lambda values, nearest: at_times(values, times, wanted, nearest)), line


def _place(face: Face, fps: float, place: Callable[[Array, bool], Array]) -> Face:
    """Apply `place(values, nearest)` to each stream; action units are placed with nearest."""
    coefficients, attributes = face.coefficients, face.attributes
    if coefficients is not None:
        coefficients = place(coefficients, False)
    if attributes is not None:
        units = place(attributes[:, AU_SLICE], True)
        attributes = place(attributes, False)
        attributes[:, AU_SLICE] = units
    return Face(coefficients, attributes, fps)
