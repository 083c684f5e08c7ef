"""FRDiv, FRVar, FRDvs: how much reactions differ within a clip, over time, and across clips.

Facts of the challenge's code (metric/S_MSE.py, FRVar.py, FRDvs.py of baseline_react2023): squared
distances are divided by frames and channels; the sums run over ordered pairs, so a pair counts
its distance twice and is divided by n (n - 1); the variance is the unbiased one (n - 1).
The editions of 2025 and 2026, whose clips vary in length, leave FRDvs out. All of it is computed in
single precision there, with `torch.cdist`, which departs from the exact value in the sixth decimal;
with an edition (compat.py) the same is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mreactor_ref.metrics.compat import Edition

Float64 = NDArray[np.float64]

ROUNDING = 1e-13  # of a squared distance beside the squares that it is the difference of


def frdiv(predictions: Sequence[NDArray[Any]], edition: Edition | None = None) -> float:
    """FRDiv: mean squared distance between the reactions of a clip, mean over clips.

    Args:
        predictions: per clip (S, T, 25).
        edition: in single precision, as the code of a challenge.

    Returns:
        The mean over pairs, frames and channels; 0 where a clip has one reaction.
    """
    return float(np.mean(clip_frdiv(predictions, edition)))


def frvar(predictions: Sequence[NDArray[Any]], edition: Edition | None = None) -> float:
    """FRVar: variance over time of each channel, mean over channels, reactions and clips.

    A reaction of one frame has a variance of 0 (the challenge's code has none).
    """
    return float(np.mean(clip_frvar(predictions, edition)))


def frdvs(predictions: Sequence[NDArray[Any]], edition: Edition | None = None) -> float:
    """FRDvs: mean squared distance between the s-th reactions of two clips, over s and pairs.

    Two clips of different lengths are compared over the frames that both have. With one clip
    there is no pair, and the result is 0.
    """
    pairs = clip_pairs(predictions, edition)
    return float(pairs[np.triu_indices(len(pairs), 1)].mean()) if len(pairs) > 1 else 0.0


def clip_frdiv(predictions: Sequence[NDArray[Any]], edition: Edition | None = None) -> Float64:
    """FRDiv of each clip, (N,)."""
    return np.array([_spread(clip, edition) for clip in predictions])


def clip_frvar(predictions: Sequence[NDArray[Any]], edition: Edition | None = None) -> Float64:
    """FRVar of each clip, (N,)."""
    dtype = np.float64 if edition is None else np.float32
    freedom = [min(1, clip.shape[1] - 1) for clip in predictions]
    return np.array(
        [
            np.var(np.asarray(clip, dtype), axis=1, ddof=ddof).mean(dtype=np.float64)
            for clip, ddof in zip(predictions, freedom, strict=True)
        ]
    )


def clip_pairs(predictions: Sequence[NDArray[Any]], edition: Edition | None = None) -> Float64:
    """The mean squared distance of each two clips over their s-th reactions, (N, N)."""
    if edition is not None and len({clip.shape for clip in predictions}) == 1:
        rows = torch.from_numpy(np.stack(predictions, 1, dtype=np.float32)).flatten(2)  # (S, N, -1)
        return torch.cdist(rows, rows).pow(2).double().mean(0).numpy() / rows.shape[2]
    frames = np.array([clip.shape[1] for clip in predictions])
    common = np.minimum.outer(frames, frames)  # (N, N)
    total, counted = np.zeros(common.shape), np.zeros(common.shape)
    for s in range(max(map(len, predictions))):
        has = np.array([len(clip) > s for clip in predictions])
        rows = _padded([clip[s] if len(clip) > s else clip[0] for clip in predictions])  # (N, T, C)
        norms = np.cumsum(np.square(rows).sum(2), axis=1)  # (N, T), of the frames up to each
        norms = norms[np.arange(len(rows))[:, None], common - 1]  # (N, N), of the common ones
        flat = rows.reshape(len(rows), -1)
        both = np.outer(has, has)
        apart, size = norms + norms.T - 2 * flat @ flat.T, norms + norms.T
        apart[apart <= ROUNDING * size] = 0
        total += both * apart / rows.shape[2]
        counted += both
    return total / (counted * common)


def _spread(clip: NDArray[Any], edition: Edition | None) -> float:
    """Mean over pairs of reactions of the mean squared difference of (S, T, 25)."""
    samples = len(clip)
    if samples == 1:
        return 0.0
    rows = np.asarray(clip, np.float64).reshape(samples, -1)
    if edition is None:
        total = samples * np.square(rows - rows.mean(0)).sum() * 2
    else:
        single = torch.from_numpy(rows.astype(np.float32))
        total = float(torch.cdist(single, single).pow(2).sum())
    return float(total / (samples * (samples - 1) * rows.shape[1]))


def _padded(reactions: Sequence[NDArray[Any]]) -> Float64:
    """Reactions (T', C) with zeros behind, without the mean of all that is there: (N, T, C).

    The mean says nothing of how they differ, and would cost digits.
    """
    mean = np.concatenate(reactions).mean(0, dtype=np.float64)
    padded = np.zeros((len(reactions), max(map(len, reactions)), reactions[0].shape[1]))
    for row, reaction in zip(padded, reactions, strict=True):
        row[: len(reaction)] = reaction - mean
    return padded
