"""Occurrence: when a level that rises and falls counts as there, 0 or 1."""

from __future__ import annotations

import numpy as np

# An action unit occurs from ON until it falls below OFF, so that noise at one threshold does not
# make it flicker.
ON, OFF = 0.55, 0.45
THRESHOLD = (ON + OFF) / 2  # for a single frame


def occurrence(levels: np.ndarray) -> np.ndarray:
    """0 or 1 for each level (T, C): on from ON, off below OFF, between them as it was before."""
    decided = (levels >= ON) | (levels < OFF)
    decided[0] = True  # the first frame, with nothing before it, takes the nearer state
    frame = np.where(decided, np.arange(len(levels))[:, None], 0)
    last = np.maximum.accumulate(frame, axis=0)
    return np.take_along_axis(levels >= THRESHOLD, last, axis=0).astype(np.float32)
