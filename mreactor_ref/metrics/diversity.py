"""FRDiv, FRVar, FRDvs: how much reactions differ within a clip, over time, and across clips.

Facts of the challenge's code (metric/S_MSE.py, FRVar.py, FRDvs.py of baseline_react2023): squared
distances are divided by frames and channels; the sums run over ordered pairs, so a pair counts
its distance twice and is divided by n (n - 1); the variance is the unbiased one (n - 1).
The editions of 2025 and 2026, whose clips vary in length, leave FRDvs out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray


def frdiv(predictions: Sequence[NDArray[Any]]) -> float:
    """FRDiv: mean squared distance between the reactions of a clip, mean over clips.

    Args:
        predictions: per clip (S, T, 25).

    Returns:
        The mean over pairs, frames and channels; 0 where a clip has one reaction.
    """
    return float(np.mean([_mean_pair_distance(clip) for clip in predictions]))


def frvar(predictions: Sequence[NDArray[Any]]) -> float:
    """FRVar: variance over time of each channel, mean over channels, reactions and clips.

    A reaction of one frame has a variance of 0 (the challenge's code has none).
    """
    return float(
        np.mean(
            [
                np.var(clip, axis=1, ddof=min(1, clip.shape[1] - 1), dtype=np.float64).mean()
                for clip in predictions
            ]
        )
    )


def frdvs(predictions: Sequence[NDArray[Any]]) -> float:
    """FRDvs: mean squared distance between the s-th reactions of two clips, over s and pairs.

    Two clips of different lengths are compared over the frames that both have. With one clip
    there is no pair, and the result is 0.
    """
    clips = [np.asarray(clip, np.float64) for clip in predictions]
    distances = []
    for a, b in combinations(clips, 2):
        samples, frames = min(len(a), len(b)), min(a.shape[1], b.shape[1])
        difference = (a[:samples, :frames] - b[:samples, :frames]).ravel()
        distances.append(difference @ difference / difference.size)
    return float(np.mean(distances)) if distances else 0.0


def _mean_pair_distance(clip: NDArray[Any]) -> float:
    """Mean over pairs of reactions of the mean squared difference of (S, T, 25)."""
    rows = np.asarray(clip, np.float64).reshape(len(clip), -1)
    pairs = [np.square(a - b).mean() for a, b in combinations(rows, 2)]
    return float(np.mean(pairs)) if pairs else 0.0
