"""Reactions as csv tables: the 25 attributes by name, and the columns of OpenFace 2."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mreactor_ref.features.occurrence import occurrence
from mreactor_ref.signals import ACTION_UNITS, ATTRIBUTE_NAMES, AU_SLICE, Array
from mreactor_runtime.convert.take import Take

POSE_NAMES = ("pose_Rx", "pose_Ry", "pose_Rz")
SEEN_NAMES = ("frame", "face_id", "timestamp", "confidence", "success")
UNIT_NAMES = tuple(f"AU{int(name[2:]):02d}_c" for name in ACTION_UNITS)


def table_text(names: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A csv in UTF-8: a header and its rows."""
    with io.StringIO(newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(names)
        table.writerows(rows)
        return file.getvalue().encode()


def attribute_table(take: Take) -> bytes:
    """`time` in seconds and the 25 attributes; nine digits, which give each float32 again."""
    rows = ([f"{t:.6f}", *(f"{v:.9g}" for v in row)] for t, row in _timed(take, take.attributes))
    return table_text(("time", *ATTRIBUTE_NAMES), rows)


def openface_table(take: Take) -> bytes:
    """Columns of OpenFace 2: time, pose in radians, and the occurrence of action units, 0 or 1.

    OpenFace has no AU24; it is written in its manner. `confidence` and `success` are 1, for nothing
    was looked for. What a reaction does not have (gaze, landmarks, intensities, the place of the
    head) is left out.
    """
    units = occurrence(take.attributes[:, AU_SLICE]).astype(int)
    pose = openface_angles(take.angles)
    rows = (
        [k + 1, 0, f"{t:.6f}", 1, 1, *(f"{v:.6f}" for v in pose[k]), *units[k]]
        for k, t in enumerate(take.times.tolist())
    )
    return table_text((*SEEN_NAMES, *POSE_NAMES, *UNIT_NAMES), rows)


def openface_angles(angles: Array) -> NDArray[np.float64]:
    """OpenFace's pose_Rx, pose_Ry, pose_Rz (T, 3) of pitch, yaw, roll (T, 3), radians.

    Its axes are the camera's: x to the head's left, y down, z away from the camera; the rotation is
    Rx Ry Rz. So down is positive, the head's right is, and its left ear down is.
    """
    pitch, yaw, roll = angles.astype(np.float64).T
    turn = Rotation.from_euler("YXZ", np.stack([-yaw, pitch, roll], axis=1))
    return turn.as_euler("XYZ") + 0.0  # no -0


def _timed(take: Take, values: Array) -> Iterable[tuple[float, list[float]]]:
    return zip(take.times.tolist(), values.tolist(), strict=True)
