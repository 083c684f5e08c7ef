"""Where faces are in a picture: MediaPipe's short-range face detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.video.crop import Square, cut
from mreactor_ref.features.video.frames import Pixels
from mreactor_ref.features.video.networks import DETECTOR, Network, open_network

SIZE = 128  # pixels, of what the network sees
GRIDS = ((16, 2), (8, 6))  # cells along a side, and boxes in each cell
LEAST_SCORE = 0.5
OVERLAP = 0.3  # shared part of two boxes that are one face
RIGHT_EYE, LEFT_EYE = 0, 1  # of the six points that come with a box
FACE_SHARE = 1.5  # the square around a face, in sides of its box


@dataclass(frozen=True)
class Detection:
    """A face: the square around it, upright with it, and how sure the network is, 0 to 1."""

    square: Square
    score: float


class Detector:
    """Finds faces that are about as large as a picture is when somebody sits before a camera."""

    def __init__(self) -> None:
        self._network: Network = open_network(DETECTOR)
        self._cells = np.concatenate(
            [
                np.repeat(
                    (np.stack(np.meshgrid(*[np.arange(n)] * 2), -1).reshape(-1, 2) + 0.5) / n, k, 0
                )
                for n, k in GRIDS
            ]
        )  # (896, 2), the centres, row after row

    def find(self, pixels: Pixels) -> list[Detection]:
        """The faces, the largest first.

        The whole picture is looked at. Only where it shows none, its squares are, in which faces
        are larger: the left, the middle and the right one of a wide picture.
        """
        height, width = pixels.shape[:2]
        longer, shorter = max(height, width), min(height, width)
        middle = np.array([width, height]) / 2
        faces = self._look(pixels, Square(middle, longer))
        if not faces and longer > 1.2 * shorter:
            along = np.array([1.0, 0.0]) if width > height else np.array([0.0, 1.0])
            reach = (longer - shorter) / 2
            places = [middle + along * reach * side for side in (-1, 0, 1)]
            faces = _distinct([f for p in places for f in self._look(pixels, Square(p, shorter))])
        return sorted(faces, key=lambda face: -face.square.side)

    def _look(self, pixels: Pixels, view: Square) -> list[Detection]:
        picture = cut(pixels, view, SIZE) / np.float32(127.5) - 1
        outputs = {out.shape[-1]: out[0] for out in self._network(picture[None])}
        boxes, logits = outputs[16], outputs[1][:, 0]
        scores = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
        places = np.flatnonzero(scores >= LEAST_SCORE)
        places = places[np.argsort(-scores[places])]
        return _distinct([self._detection(boxes[i], i, float(scores[i]), view) for i in places])

    def _detection(
        self, box: NDArray[np.float32], cell: int, score: float, view: Square
    ) -> Detection:
        centre = self._cells[cell] + box[:2] / SIZE
        eyes = self._cells[cell] + box[4:].reshape(6, 2)[[RIGHT_EYE, LEFT_EYE]] / SIZE
        across = eyes[1] - eyes[0]
        (placed,) = view.to_picture(centre[None], 1)
        side = FACE_SHARE * float(box[2:4].max()) / SIZE * view.side
        return Detection(Square(placed, side, float(np.arctan2(across[1], across[0]))), score)


def _distinct(faces: list[Detection]) -> list[Detection]:
    """The faces without those that lie on a surer one."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_shared(face.square, other.square) < OVERLAP for other in kept):
            kept.append(face)
    return kept


def _shared(a: Square, b: Square) -> float:
    """Intersection over union of two squares, as if they were not turned."""
    low = np.maximum(a.centre - a.side / 2, b.centre - b.side / 2)
    high = np.minimum(a.centre + a.side / 2, b.centre + b.side / 2)
    both = float(np.maximum(high - low, 0).prod())
    return both / (a.side**2 + b.side**2 - both)
