"""A face track at its own times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.container import LONGEST_SECONDS
from mreactor_ref.signals import ATTRIBUTES, AU_SLICE, EXPRESSION_SLICE, EXPRESSIONS, Array

MAX_FPS = 120.0  # of a camera
MAX_ROWS = round(MAX_FPS * LONGEST_SECONDS)  # of a clip's file

# Puts rows (N, C) at other times; True for channels that are 0 or 1 and take the nearest row.
Place = Callable[[Array, bool], Array]


@dataclass(frozen=True)
class Face:
    """One face track at its own rate.

    Attributes:
        coefficients: (T', 58) float32, or None.
        attributes: (T', 25) float32, or None.
        fps: where the file tells it.
        times: (T',) the middle of each frame in seconds from the start of the clip, rising; where
            the file tells it.
        warnings: one line for each thing about the file that should be known.
    """

    coefficients: Array | None = None
    attributes: Array | None = None
    fps: float | None = None
    times: NDArray[np.float64] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        return max(len(v) for v in (self.coefficients, self.attributes) if v is not None)


def rest_attributes(frames: int) -> Array:
    """(frames, 25) of a face that shows nothing: no action unit, no affect, Neutral."""
    attributes = np.zeros((frames, ATTRIBUTES), np.float32)
    attributes[:, EXPRESSION_SLICE.start + EXPRESSIONS.index("Neutral")] = 1.0
    return attributes


def place(attributes: Array, put: Place) -> Array:
    """Attributes (N, 25) at other times: action units by their nearest row, others linearly."""
    placed = put(attributes, False)
    placed[:, AU_SLICE] = put(attributes[:, AU_SLICE], True)
    return placed
