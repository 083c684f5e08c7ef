"""The 468 points of a face: MediaPipe's face mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.video.crop import Square, cut
from mreactor_ref.features.video.frames import Pixels
from mreactor_ref.features.video.networks import LANDMARKS, Network, open_network

SIZE = 192  # pixels, of what the network sees
POINTS = 468
RIGHT_EYE, LEFT_EYE = 33, 263  # their outer corners
FACE_SHARE = 1.5  # the square around a face, in its larger extent


@dataclass(frozen=True)
class Mesh:
    """The points (468, 3) of a face: x and y in pixels, z in pixels, away from the camera, from
    the middle of the head; and how sure the network is that it is a face, 0 to 1."""

    points: NDArray[np.float64]
    score: float

    @property
    def square(self) -> Square:
        """The square around the face, upright with it."""
        low, high = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        across = self.points[LEFT_EYE, :2] - self.points[RIGHT_EYE, :2]
        angle = float(np.arctan2(across[1], across[0]))
        return Square((low + high) / 2, FACE_SHARE * float((high - low).max()), angle)


class MeshNetwork:
    """Finds the points of the face in a square that holds one."""

    def __init__(self) -> None:
        self._network: Network = open_network(LANDMARKS)

    def find(self, pixels: Pixels, square: Square) -> Mesh:
        picture = cut(pixels, square, SIZE) / np.float32(255)
        outputs = {out.size: out.reshape(-1) for out in self._network(picture[None])}
        points, logit = outputs[3 * POINTS].reshape(POINTS, 3), float(outputs[1][0])
        placed = square.to_picture(points[:, :2], SIZE)
        depth = points[:, 2:] * (square.side / SIZE)
        mesh = np.concatenate([placed, depth], axis=1).astype(np.float64)
        return Mesh(mesh, float(1 / (1 + np.exp(-logit))))
