"""How a head is turned: angles and matrices.

Pitch down, yaw to the head's own left and roll with its left ear down are positive, in radians.
Axes as in `Head`: x to the head's left, y up, z out of the face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rotation(pitch: float, yaw: float, roll: float) -> NDArray[np.float64]:
    """(3, 3): roll about z, then pitch about x, then yaw about y."""
    (a, b, c), (d, e, f) = np.cos([pitch, yaw, roll]), np.sin([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    about_y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    about_z = np.array([[c, f, 0], [-f, c, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def angles(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) pitch, yaw, roll of a rotation (3, 3)."""
    pitch = -np.arcsin(np.clip(matrix[1, 2], -1, 1))
    yaw = np.arctan2(matrix[0, 2], matrix[2, 2])
    roll = np.arctan2(-matrix[1, 0], matrix[1, 1])
    return np.array([pitch, yaw, roll])


def similarity(
    points: NDArray[np.floating], wanted: NDArray[np.floating]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The scale s, rotation R (3, 3) and shift t (3,) that bring points (N, 3) nearest to others.

    `s * points @ R.T + t`, by least squares (Umeyama 1991).
    """
    middle, aim = points.mean(axis=0), wanted.mean(axis=0)
    spread = points - middle
    u, values, v = np.linalg.svd((wanted - aim).T @ spread)
    values[2] *= np.sign(np.linalg.det(u @ v))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v
    scale = float(values.sum() / (spread**2).sum())
    return scale, turn, aim - scale * turn @ middle
