"""Squares that are cut out of a picture, turned and scaled: where a face is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.video.frames import Pixels
from mreactor_ref.signals import Array


@dataclass(frozen=True)
class Square:
    """A square in a picture: its centre (2,) and side in pixels, and its turn in radians,
    clockwise as seen."""

    centre: NDArray[np.float64]
    side: float
    angle: float = 0.0

    @property
    def axes(self) -> NDArray[np.float64]:
        """(2, 2): the directions of its rows and columns of pixels."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, sine], [-sine, cosine]])

    def to_picture(self, points: NDArray[np.floating], size: int) -> NDArray[np.float64]:
        """Points (N, 2) in pixels of the cut square of `size` -> in pixels of the picture."""
        return self.centre + (points / size - 0.5) * self.side @ self.axes

    def scaled(self, factor: float) -> Square:
        return Square(self.centre, self.side * factor, self.angle)


def cut(pixels: Pixels, square: Square, size: int) -> Array:
    """(size, size, 3) float32, 0 to 255: the square, read bilinearly, black outside the picture.

    A square that is much larger than `size` is read from a picture of which pixels are left out.
    """
    step = max(1, int(square.side / size))
    height, width = pixels[::step, ::step].shape[:2]
    steps = (np.arange(size) + 0.5) / size - 0.5
    across, down = square.axes * square.side / step
    origin = square.centre / step - 0.5
    x = origin[0] + steps[None, :] * across[0] + steps[:, None] * down[0]
    y = origin[1] + steps[None, :] * across[1] + steps[:, None] * down[1]
    outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    x, y = np.clip(x, 0, width - 1).ravel(), np.clip(y, 0, height - 1).ravel()
    left, top = (
        np.minimum(x.astype(np.int32), width - 2),
        np.minimum(y.astype(np.int32), height - 2),
    )
    right_share = (x - left).astype(np.float32)[:, None]
    low_share = (y - top).astype(np.float32)[:, None]
    rows = np.ascontiguousarray(pixels[::step, ::step]).reshape(-1, 3)
    place = top * width + left
    upper = rows[place] * (1 - right_share) + rows[place + 1] * right_share
    lower = rows[place + width] * (1 - right_share) + rows[place + width + 1] * right_share
    values = (upper * (1 - low_share) + lower * low_share).reshape(size, size, 3)
    if outside.any():
        values[outside] = 0
    return values
