"""Bootstrap intervals: how much a mean over clips would change with other clips.

Clips are drawn with replacement, as many as there are; the interval lies between the 2.5th and the
97.5th percentile of the means. What is drawn depends on the seed and the number of clips alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """The ends of an interval of 95 %."""

    low: float
    high: float


def draw_clips(clips: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """How often each of N clips is in each resample, (resamples, N)."""
    rng = np.random.default_rng((seed, clips))
    return rng.multinomial(clips, np.full(clips, 1 / clips), size=resamples)


def resampled_means(values: Float64, drawn: NDArray[np.int64]) -> Float64:
    """The mean of values (N,) in each resample, (resamples,).

    For values of pairs, (N, N), the mean over the pairs of different clips in it: a clip that was
    drawn twice is not compared with itself. NaN for a resample without such a pair.
    """
    if values.ndim == 1:
        return drawn @ values / drawn.sum(1)
    apart = values - np.diag(np.diag(values))
    weights = drawn.sum(1) ** 2 - (drawn**2).sum(1)
    total = np.einsum("bi,ij,bj->b", drawn, apart, drawn, optimize=True)
    return np.divide(total, weights, out=np.full(len(drawn), np.nan), where=weights > 0)


def interval(means: Float64) -> Interval | None:
    """Of resampled means; None where there is none."""
    means = means[~np.isnan(means)]
    if not len(means):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return Interval(float(low), float(high))
