"""The face: read from any of its files, and placed on the frame grid of a clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import ClipError
from mreactor_ref.features.faces.npy import read_npy
from mreactor_ref.features.faces.tools import read_csv
from mreactor_ref.features.faces.track import MAX_FPS, MAX_ROWS, Face, Place, place, rest_attributes
from mreactor_ref.features.grid import at_times, edge_pad, frame_centres
from mreactor_ref.signals import AFFECT_SLICE, AU_SLICE, EXPRESSION_SLICE, Array

# A track this close to the clip's number of frames has the clip's rate: it is cut or padded.
FRAME_TOLERANCE = 3  # frames
FRAME_TOLERANCE_SHARE = 0.01
# A track whose file tells its rate may end this much before or after the clip.
GAP_SECONDS = 0.3
GAP_SHARE = 0.02
# Rows that lack for this long are filled from those beside them; for longer the face is at rest.
FILLED_SECONDS = 1.0
MIN_FPS = 10.0  # of a camera
# Rows of a file that may be of a clip: so many a second, since faces may share a frame, and more.
MOST_A_SECOND, MOST_AT_ALL = 4 * MAX_FPS, 1_000
GROUPS = (
    ("action units", AU_SLICE),
    ("valence and arousal", AFFECT_SLICE),
    ("expressions", EXPRESSION_SLICE),
)
LARGEST, PERCENT = 5.0, 100.0  # of attributes, which are at most 1: above the first, percent


def read_face(path: str | Path, duration: float | None = None) -> Face:
    """Read one file of a face.

    npy: (T', 58) coefficients, (T', 25) attributes, (T', 83) attributes and then coefficients;
    (T', 1, 58) as some FaceVerse exports have it. csv: the 25 attributes by name, in any order
    and case, or what OpenFace, py-feat, LibreFace, Live Link Face or MediaPipe write (see
    `faces.tools`). Attributes in percent are scaled.

    Args:
        duration: of the clip in seconds, where it is known: a file that has many times the rows of
            any camera is not read to its end.

    Raises:
        ClipError: not readable, pickled objects, a wrong shape or dtype, no frames or far too many,
            missing columns, values that are not finite, or attributes that are no probabilities.
    """
    path = Path(path)
    suffix, most = path.suffix.lower(), MAX_ROWS
    if duration is not None:
        most = min(most, round(MOST_A_SECOND * duration) + MOST_AT_ALL)
    try:
        if suffix == ".npy":
            face = read_npy(path, most)
        elif suffix == ".csv":
            face = read_csv(path, most)
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
    attributes, scaled = _scaled(face.attributes, path)
    lines = tuple(f"{path.name}: {line}" for line in (*face.warnings, *scaled))
    return replace(face, attributes=attributes, warnings=lines)


def _scaled(attributes: Array | None, path: Path) -> tuple[Array | None, list[str]]:
    """Attributes whose largest is 1, and a line for those that were in percent."""
    lines: list[str] = []
    for name, channels in GROUPS if attributes is not None else ():
        assert attributes is not None
        largest = float(np.abs(attributes[:, channels]).max())
        if largest > PERCENT:
            problem = f"its {name} reach {largest:g}: no probabilities"
            raise ClipError(problem, path, "a value is at most 1")
        if largest > LARGEST:
            attributes[:, channels] /= PERCENT
            lines.append(f"its {name} reach {largest:g}: taken as percent")
    return attributes, lines


def fit_face(
    face: Face, fps: float, frames: int, duration: float, path: str | Path
) -> tuple[Face, str | None]:
    """Place a face track on the clip's frames.

    A track without times covers the whole clip. With about T frames it is cut or padded. Any other
    length means another frame rate: it is resampled in time, linearly; the occurrence of action
    units, which is 0 or 1, takes the nearest frame.

    A track with times has its rows there. What lacks for up to FILLED_SECONDS is filled likewise;
    for longer, the attributes are those of a face at rest, and coefficients the nearest.

    Args:
        face: the track.
        fps, frames, duration: the clip's grid, its T, and its length in seconds.
        path: the file, for an error.

    Returns:
        The face with T frames, and a line that says so if it was resampled, or lacks.

    Raises:
        ClipError: the length of the track fits no rate from 10 to 120 frames a second, or not
            the rate that the file tells; or its times do not fit the clip.
    """
    fits = abs(face.frames - frames) <= max(FRAME_TOLERANCE, FRAME_TOLERANCE_SHARE * frames)
    if face.times is not None and not (fits and _is_regular(face.times, fps)):
        return _fit_times(face, face.times, fps, frames, duration, path)
    implied = face.frames / duration
    covered = face.frames / face.fps if face.fps else duration
    drifts = abs(covered - duration) > _tolerance(duration)
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
    line = _resampled(face.frames, duration, rate, fps)
    return _place(face, fps, lambda values, nearest: at_times(values, times, wanted, nearest)), line


def _fit_times(
    face: Face,
    times: NDArray[np.float64],
    fps: float,
    frames: int,
    duration: float,
    path: str | Path,
) -> tuple[Face, str | None]:
    wanted = frame_centres(fps, frames)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / fps
    if times[-1] > duration + _tolerance(duration) + step or times[0] > duration:
        raise ClipError(
            f"its times go from {times[0]:.1f} to {times[-1]:.1f} s, the clip lasts "
            f"{duration:.1f} s",
            path,
            "give the face of this clip, with times from its start",
        )
    placed = _place(face, fps, lambda values, nearest: at_times(values, times, wanted, nearest))
    away = _away(times, wanted)
    if away.any() and placed.attributes is not None:
        placed.attributes[away] = rest_attributes(int(away.sum()))
    rate = face.fps or 1 / step
    lines: list[str] = []
    if abs(rate - fps) > 0.01 * fps:
        lines.append(_resampled(face.frames, duration, rate, fps))
    if away.any():
        start, length = wanted[np.argmax(away)] - 0.5 / fps, away.sum() / fps
        lines.append(
            f"no face in {Path(path).name} for {length:.1f} s, first at {start:.1f} s: "
            "it is at rest there"
        )
    return placed, "; ".join(lines) or None


def _tolerance(duration: float) -> float:
    return max(GAP_SECONDS, GAP_SHARE * duration)


def _is_regular(times: NDArray[np.float64], fps: float) -> bool:
    """Whether rows at these times are the frames of a clip, one by one."""
    return bool((np.abs(times - frame_centres(fps, len(times))) < 0.5 / fps).all())


def _away(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(T,) whether no row is near enough to fill a frame: it has none of its own, and those beside
    it lie too far apart.

    Before the first and after the last row it is FILLED_SECONDS that a row holds.
    """
    after = np.searchsorted(times, wanted)
    left = np.where(after > 0, times[np.maximum(after - 1, 0)], -np.inf)
    right = np.where(after < len(times), times[np.minimum(after, len(times) - 1)], np.inf)
    inside = np.isfinite(left) & np.isfinite(right)
    nearest = np.minimum(wanted - left, right - wanted)
    step = wanted[1] - wanted[0] if len(wanted) > 1 else np.inf
    apart = (right - left > FILLED_SECONDS) & (nearest > step / 2)
    return np.where(inside, apart, nearest > FILLED_SECONDS)


def _resampled(count: int, duration: float, rate: float, fps: float) -> str:
    return (
        f"face has {count} frames for {duration:.1f} s: "
        f"taken as {rate:.4g} fps and resampled to {fps:g}"
    )


def _place(face: Face, fps: float, put: Place) -> Face:
    coefficients, attributes = face.coefficients, face.attributes
    return Face(
        None if coefficients is None else put(coefficients, False),
        None if attributes is None else place(attributes, put),
        fps,
    )
