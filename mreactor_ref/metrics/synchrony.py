"""FRSyn: at what lag a reaction follows its speaker.

Facts of the challenge's code (metric/TLCC.py of baseline_react2023, framework/metrics/TLCC.py of
baseline_react2026): the Pearson correlation of each channel of a reaction with the speaker's is
averaged over the 25 channels at each lag from -49 to 49 frames (2 s at 25 fps, less a frame), and
FRSyn is the absolute lag of the largest, in frames, mean over reactions. Three things in it change
the number:

- its parallel version, the only one since 2025, returns after the first reaction of a clip;
- a channel that is constant (an action unit that never occurs) has no correlation, so the mean is
  NaN, and `torch.argmax` takes a NaN for the largest: such a reaction counts the first lag that
  has one, mostly 49, though a copy of the speaker has lag 0;
- fps stays 25 for MARS, which has 30.

`compat=True` gives that number. Otherwise all reactions count, constant channels do not, and a
clip shorter than 4 s is compared only at lags that leave half of it (a correlation over a handful
of frames is near 1 by chance).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError

Float64 = NDArray[np.float64]

MAX_LAG_SECONDS = 2.0
CHALLENGE_FPS = 25.0


def frsyn(
    predictions: Sequence[NDArray[Any]],
    speakers: Sequence[NDArray[Any]],
    fps: float = CHALLENGE_FPS,
    compat: bool = False,
) -> float:
    """FRSyn: absolute lag of the largest mean correlation with the speaker, in frames.

    Args:
        predictions: per clip (S, T, 25).
        speakers: per clip the speaker's attributes (T, 25).
        fps: frames a second, for the range of lags; 25 is comparable with published numbers.
        compat: what the challenge's code returns; see the head of this file.

    Returns:
        The mean over reactions. A reaction without any correlation, such as a constant one,
        counts the largest lag.

    Raises:
        UsageError: a reaction and its speaker differ in length, or there is no clip.
    """
    if not predictions:
        raise UsageError("there is no clip to score")
    offsets = []
    for clip, (generated, speaker) in enumerate(zip(predictions, speakers, strict=True)):
        if generated.shape[1] != len(speaker):
            raise UsageError(
                f"clip {clip}: reactions have {generated.shape[1]} frames, "
                f"the speaker has {len(speaker)}"
            )
        if compat:
            first = lagged_correlation(generated[:1], speaker, fps, overlap=2)
            offsets.append(_challenge_offset(first[0]))
        else:
            half = max(2, (len(speaker) + 1) // 2)
            offsets.extend(_offsets(lagged_correlation(generated, speaker, fps, overlap=half)))
    return float(np.mean(offsets))


def lagged_correlation(
    generated: NDArray[Any], speaker: NDArray[Any], fps: float, overlap: int
) -> Float64:
    """Pearson correlation with the speaker per lag and channel.

    At lag k frame t + k of the reaction meets frame t of the speaker, over the frames that both
    have: a positive lag is a reaction that comes later. NaN where a channel is constant over
    these frames, or where fewer than `overlap` of them meet.

    Args:
        generated: (S, T, C). speaker: (T, C). overlap: frames, 2 or more.

    Returns:
        (S, K, C) for the K lags -max to max in frames, max = int(2 fps) - 1.
    """
    x, y = np.asarray(generated, np.float64), np.asarray(speaker, np.float64)
    samples, frames, channels = x.shape
    largest = int(MAX_LAG_SECONDS * fps) - 1
    result = np.full((samples, 2 * largest + 1, channels), np.nan)
    for lag in range(-largest, largest + 1):
        if frames - abs(lag) >= overlap:
            late, early = max(lag, 0), max(-lag, 0)
            result[:, lag + largest] = _pearson(
                x[:, late : frames - early], y[early : frames - late]
            )
    return result


def _pearson(x: Float64, y: Float64) -> Float64:
    """Correlation over T of (S, T, C) with (T, C) -> (S, C); NaN for a constant channel."""
    # Rounding leaves a constant channel a tiny variance: constant means no range.
    constant = (x.max(1) == x.min(1)) | (y.max(0) == y.min(0))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(0)
    scale = np.sqrt(np.einsum("stc,stc->sc", x, x) * np.einsum("tc,tc->c", y, y))
    covariance = np.einsum("stc,tc->sc", x, y)
    return np.where(constant, np.nan, covariance / np.where(constant, 1, scale))


def _offsets(correlation: Float64) -> list[int]:
    """The absolute lag of each reaction's largest mean over channels, constant ones left out."""
    largest = correlation.shape[1] // 2
    distance = np.abs(np.arange(-largest, largest + 1))
    defined = ~np.isnan(correlation)  # (S, K, C)
    total = np.where(defined, correlation, 0).sum(2)
    count = defined.sum(2)
    mean = np.where(count > 0, total / np.maximum(count, 1), -np.inf)  # (S, K)
    peaks = mean >= mean.max(axis=1, keepdims=True)
    return [
        int(distance[peak].min()) if some else largest
        for peak, some in zip(peaks, (count > 0).any(axis=1), strict=True)
    ]


def _challenge_offset(correlation: Float64) -> int:
    """The challenge's offset for one reaction (K, C): the first NaN lag, or the largest mean."""
    mean = correlation.mean(axis=1)  # np.argmax, like torch.argmax, takes the first NaN
    return abs(int(np.argmax(mean)) - len(mean) // 2)
