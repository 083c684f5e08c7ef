"""FRCorr and FRDist: how close each generated reaction is to the nearest appropriate real one.

Facts of the challenge's code (metric/FRC.py and metric/FRD.py of baseline_react2023 to 2026):
each generated reaction is compared with every appropriate real one, the best counts, the bests of
a clip's reactions are summed, and the clips' sums averaged. So ten perfect reactions have an
FRCorr of at most 10 and an FRDist of 0.

Lengths. The clips of 2023 and 2024 all have 751 frames. For MARS the challenge of 2025 and 2026
first brings each real reaction to the length of the generated ones with a learned autoencoder.
Here a real reaction of another length is stretched to it by taking the nearest frame, which keeps
occurrences 0 or 1 and probabilities summing to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from dtaidistance import dtw_ndim
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError
from mreactor_ref.signals import AFFECT_SLICE, AU_SLICE, EXPRESSION_SLICE

Float64 = NDArray[np.float64]

# The challenge adds it to the denominator of the concordance correlation.
CCC_EPSILON = 1e-8

# FRDist's weight of each group of channels. The cheapest group that says most comes first.
DISTANCE_GROUPS = ((AFFECT_SLICE, 1.0), (EXPRESSION_SLICE, 1 / 8), (AU_SLICE, 1 / 15))


def frcorr(
    predictions: Sequence[NDArray[Any]], appropriate: Sequence[Sequence[NDArray[Any]]]
) -> float:
    """FRCorr: the largest concordance correlation, summed over reactions, mean over clips.

    Args:
        predictions: per clip (S, T, 25).
        appropriate: per clip its appropriate real reactions, each (T', 25).

    Raises:
        UsageError: a clip has no appropriate reaction, or one without frames.
    """
    return _mean_over_clips(_clip_correlation, predictions, appropriate)


def frdist(
    predictions: Sequence[NDArray[Any]], appropriate: Sequence[Sequence[NDArray[Any]]]
) -> float:
    """FRDist: the smallest weighted DTW distance, summed over reactions, mean over clips.

    The distance of a pair is the sum over groups of channels of weight times DTW: action units
    1/15, valence and arousal 1, expressions 1/8. Arguments and errors as for `frcorr`.
    """
    return _mean_over_clips(_clip_distance, predictions, appropriate)


def concordance(generated: NDArray[Any], real: NDArray[Any]) -> Float64:
    """Concordance correlation of each generated reaction with each real one, per channel.

    2 cov / (var + var' + (mean - mean')^2 + 1e-8), variances over T. As in the challenge's code a
    channel that is constant in either sequence counts 0, even where both are the same constant.

    Args:
        generated: (S, T, C). real: (R, T, C).

    Returns:
        (S, R, C), in [-1, 1].
    """
    x = np.asarray(generated, np.float64).transpose(2, 0, 1)  # (C, S, T)
    y = np.asarray(real, np.float64).transpose(2, 1, 0)  # (C, T, R)
    x_mean, y_mean = x.mean(2, keepdims=True), y.mean(1, keepdims=True)
    covariance = (x - x_mean) @ (y - y_mean) / x.shape[2]  # (C, S, R)
    spread = x.var(2, keepdims=True) + y.var(1, keepdims=True) + (x_mean - y_mean) ** 2
    return (2 * covariance / (spread + CCC_EPSILON)).transpose(1, 2, 0)


def dtw(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Dynamic time warping distance of (T, C) and (T', C): no window, exact.

    The root of the smallest sum of squared Euclidean distances along a warping path, which is
    what the challenge's `tslearn.metrics.dtw` returns.
    """
    x, y = np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64)
    return float(dtw_ndim.distance_fast(x, y))


def at_length(reaction: NDArray[Any], frames: int) -> NDArray[Any]:
    """A reaction (T', C) stretched to (frames, C) by taking the nearest frame."""
    if len(reaction) == frames:
        return reaction
    centres = (np.arange(frames) + 0.5) * (len(reaction) / frames)
    return reaction[np.minimum(centres.astype(int), len(reaction) - 1)]


def _mean_over_clips(
    score: Callable[[NDArray[Any], Float64], float],
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
) -> float:
    """The mean of score(generated (S, T, C), real (R, T, C)) over the clips."""
    if not predictions:
        raise UsageError("there is no clip to score")
    total = 0.0
    for clip, (generated, real) in enumerate(zip(predictions, appropriate, strict=True)):
        if not real or any(len(reaction) == 0 for reaction in real):
            raise UsageError(
                f"clip {clip} has no appropriate real reaction, or one without frames",
                fix="leave the clip out, or look at its files",
            )
        frames = generated.shape[1]
        stretched = [at_length(np.asarray(reaction, np.float64), frames) for reaction in real]
        total += score(generated, np.stack(stretched))
    return total / len(predictions)


def _clip_correlation(generated: NDArray[Any], real: Float64) -> float:
    """Sum over S of the largest mean concordance with one of the R real reactions."""
    return float(concordance(generated, real).mean(axis=2).max(axis=1).sum())


def _clip_distance(generated: NDArray[Any], real: Float64) -> float:
    """Sum over S of the smallest weighted distance to one of the R real reactions."""
    groups = [
        (weight, [_split(generated, part), _split(real, part)]) for part, weight in DISTANCE_GROUPS
    ]
    total = 0.0
    for s in range(len(generated)):
        best = np.inf
        for r in range(len(real)):
            distance = 0.0
            for weight, (ours, theirs) in groups:
                distance += weight * dtw(ours[s], theirs[r])
                if distance >= best:  # the other groups can only add to it
                    break
            best = min(best, distance)
        total += best
    return total


def _split(reactions: NDArray[Any], part: slice) -> list[Float64]:
    """One group of channels of each reaction, contiguous, so that DTW copies nothing."""
    return [np.ascontiguousarray(reaction[:, part], np.float64) for reaction in reactions]
