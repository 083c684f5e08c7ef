"""The frame grid: when frames are, and how tracks with other clocks are placed on it.

Frame k covers [k / fps, (k + 1) / fps) seconds; its centre is (k + 0.5) / fps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.signals import Array


def frame_centres(fps: float, frames: int) -> NDArray[np.float64]:
    """(T,) the centres of the frames, in seconds."""
    return np.divide(np.arange(frames) + 0.5, fps, dtype=np.float64)


def at_times(
    values: Array, times: NDArray[np.float64], wanted: NDArray[np.float64], nearest: bool = False
) -> Array:
    """Read a track at other times: linearly, or the nearest row. Beyond its ends it is constant.

    Args:
        values: (N, C) rows of the track, N at least 1.
        times: (N,) seconds, rising.
        wanted: (T,) seconds.
        nearest: take the nearest row, for channels that are 0 or 1; a tie takes the earlier one.

    Returns:
        (T, C) float32.
    """
    if len(values) == 1:
        return np.repeat(values, len(wanted), axis=0).astype(np.float32)
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    before = after - 1
    share = np.clip((wanted - times[before]) / (times[after] - times[before]), 0.0, 1.0)
    if nearest:
        return values[np.where(share > 0.5, after, before)].astype(np.float32)
    share = share[:, None].astype(np.float32)
    return (values[before] * (1 - share) + values[after] * share).astype(np.float32)


def edge_pad(values: Array, frames: int) -> Array:
    """(T', C) -> (frames, C): cut at the end, or the last row repeated."""
    missing = max(0, frames - len(values))
    return np.pad(values[:frames], ((0, missing), (0, 0)), mode="edge")
