"""Another frame rate for a reaction, and smoothing: both only where they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mreactor_ref.features.grid import at_times, frame_centres
from mreactor_ref.signals import Array


def at_rate(values: Array, fps: float, wanted: float) -> Array:
    """Values (T, C) of `fps` frames a second at another rate, linearly: (T', C).

    T' covers the same time, to half a frame. The same rate gives the same values.
    """
    if fps == wanted:
        return values
    frames = max(1, round(len(values) * wanted / fps))
    return at_times(values, frame_centres(fps, len(values)), frame_centres(wanted, frames))


def smoothed(values: Array, fps: float, seconds: float) -> Array:
    """Values (T, C) under a Gaussian of this standard deviation in seconds; 0 leaves them."""
    if not seconds:
        return values
    means: Any = gaussian_filter1d(values, seconds * fps, axis=0, mode="nearest")
    return np.asarray(means, np.float32)
