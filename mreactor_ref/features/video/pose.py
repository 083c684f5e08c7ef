"""Where a head is and how it is turned: the canonical face placed under its points in a picture.

Only points that expressions hardly move take part: forehead, temples, bridge of the nose, corners
of the eyes. The placing is Gauss and Newton's, on the perspective projection of a camera whose
field of view is taken as usual, since a video does not tell it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.video.landmarks import Mesh
from mreactor_ref.head.head import load_head
from mreactor_ref.head.turn import angles, similarity

# fmt: off
STEADY = (
    10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1,  # middle of forehead and nose
    33, 133, 362, 263,  # corners of the eyes
    127, 234, 356, 454, 162, 389, 21, 251,  # temples
    54, 284, 67, 297, 109, 338, 103, 332,  # hairline
    98, 327,  # beside the nose
)
# fmt: on
FOCAL = 1.2  # in longer sides of the picture: about 45 degrees across
STEPS = 8
DONE = 1e-6  # of a step, radians and canonical widths


@dataclass(frozen=True)
class Pose:
    """A head: angles (3,) pitch, yaw, roll in radians (see head/turn.py) and its place (3,) from
    the camera, right, up and towards it, in centimetres of the canonical face."""

    angles: NDArray[np.float64]
    translation: NDArray[np.float64]


def to_axes(mesh: Mesh) -> NDArray[np.float64]:
    """(468, 3) the points with y up and z towards the camera."""
    return mesh.points * [1, -1, -1]


def find_pose(mesh: Mesh, width: int, height: int) -> Pose:
    """Place the head that is seen in a picture of this size."""
    focal = FOCAL * max(width, height)
    steady = list(STEADY)
    model = load_head().canonical[steady].astype(np.float64)
    points = to_axes(mesh)[steady] - [width / 2, -height / 2, 0]
    scale, turn, shift = similarity(model, points)
    place = np.array([shift[0], shift[1], -focal]) / scale
    seen = points / focal
    seen[:, 2] -= seen[:, 2].mean()
    model = model - model.mean(axis=0)
    place = place + turn @ load_head().canonical[steady].mean(axis=0)
    for _ in range(STEPS):
        turned = model @ turn.T
        x, y, z = (turned + place).T
        shown = np.stack([x / -z, y / -z, turned[:, 2] / -place[2]], axis=1)
        by_point = np.zeros((len(model), 3, 3))
        by_point[:, 0, 0] = by_point[:, 1, 1] = -1 / z
        by_point[:, 0, 2], by_point[:, 1, 2] = x / z**2, y / z**2
        by_point[:, 2, 2] = -1 / place[2]
        by_place = by_point.copy()
        by_place[:, 2, 2] = turned[:, 2] / place[2] ** 2
        by_turn = np.cross(turned[:, None, :], by_point)
        slope = np.concatenate([by_turn, by_place], axis=2).reshape(-1, 6)
        step = np.linalg.solve(slope.T @ slope, slope.T @ (seen - shown).ravel())
        step = step.astype(np.float64)
        turn, place = small_turn(step[:3]) @ turn, place + step[3:]
        if np.abs(step).max() < DONE:
            break
    place = place - turn @ load_head().canonical[steady].mean(axis=0)
    return Pose(angles(turn), place)


def small_turn(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) the rotation about a vector by its length (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
