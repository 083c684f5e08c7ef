"""FRSyn: at what lag a reaction follows its speaker.

Facts of the challenge's code (metric/TLCC.py of baseline_react2023, framework/metrics/TLCC.py of
baseline_react2026): the Pearson correlation of each channel of a reaction with the speaker's is
averaged over the 25 channels at each lag from -49 to 49 frames (2 s at 25 fps, less a frame), and
FRSyn is the absolute lag of the largest, in frames, mean over reactions. Three things in it change
the number, and an edition of compat.py gives that number:

- a channel that is constant (an action unit that never occurs) has no correlation, so the mean is
  NaN, and `torch.argmax` takes a NaN for the largest: such a reaction counts the first lag that
  has one, mostly 49, though a copy of the speaker has lag 0;
- its parallel version, which evaluate.py calls since 2024, returns after the first reaction of a
  clip;
- fps stays 25 for MARS, which has 30.

Without an edition all reactions count, constant channels do not, and a clip shorter than 4 s is
compared only at lags that leave half of it (a correlation over a handful of frames is near 1 by
chance).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.compat import Edition

Float64 = NDArray[np.float64]

MAX_LAG_SECONDS = 2.0
CHALLENGE_FPS = 25.0

# Sums over a window come from sums over all frames. Where the window keeps less than this share of
# a channel's variance, their difference is too small to be trusted, and is summed anew.
TRUSTED_SHARE = 1e-4
ROUNDING = 1e-10  # of a correlation; peaks that differ by less are equal


def frsyn(
    predictions: Sequence[NDArray[Any]],
    speakers: Sequence[NDArray[Any]],
    fps: float = CHALLENGE_FPS,
    edition: Edition | None = None,
) -> float:
    """FRSyn: absolute lag of the largest mean correlation with the speaker, in frames.

    Args:
        predictions: per clip (S, T, 25).
        speakers: per clip the speaker's attributes (T, 25).
        fps: frames a second, for the range of lags; 25 is comparable with published numbers, and
            is what an edition takes whatever is given.
        edition: what the code of a challenge returns; see the head of this file.

    Returns:
        The mean over reactions. A reaction without any correlation, such as a constant one,
        counts the largest lag.

    Raises:
        UsageError: a reaction and its speaker differ in length, or there is no clip.
    """
    if not predictions:
        raise UsageError("there is no clip to score")
    return float(np.mean(np.concatenate(clip_lags(predictions, speakers, fps, edition))))


def clip_lags(
    predictions: Sequence[NDArray[Any]],
    speakers: Sequence[NDArray[Any]],
    fps: float = CHALLENGE_FPS,
    edition: Edition | None = None,
) -> list[Float64]:
    """Per clip the absolute lag of each reaction that counts. Arguments and errors: see `frsyn`."""
    lags = []
    for clip, (generated, speaker) in enumerate(zip(predictions, speakers, strict=True)):
        if generated.shape[1] != len(speaker):
            raise UsageError(
                f"clip {clip}: reactions have {generated.shape[1]} frames, "
                f"the speaker has {len(speaker)}"
            )
        if edition is None:
            half = max(2, (len(speaker) + 1) // 2)
            lags.append(_lags(lagged_correlation(generated, speaker, fps, overlap=half)))
        else:
            counted = generated[:1] if edition.first_reaction_only else generated
            single = counted.astype(np.float32), speaker.astype(np.float32)
            correlation = lagged_correlation(*single, CHALLENGE_FPS, overlap=2)
            lags.append(_challenge_lags(correlation))
    return lags


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
    x = np.ascontiguousarray(generated.transpose(0, 2, 1), np.float64)  # (S, C, T)
    y = np.ascontiguousarray(speaker.T, np.float64)  # (C, T)
    frames = y.shape[-1]
    largest = int(MAX_LAG_SECONDS * fps) - 1
    result = np.full((len(x), 2 * largest + 1, len(y)), np.nan)
    reach = min(largest, frames - overlap)
    if reach < 0:
        return result
    x_sums, y_sums = _Windows(x, reach), _Windows(y, reach, mirrored=True)
    products = _products(x_sums.centred, y_sums.centred, reach)
    constant = x_sums.constant | y_sums.constant
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = products - x_sums.sums * y_sums.sums / x_sums.counts
        correlations /= np.sqrt(x_sums.squares * y_sums.squares)
        for s, c, k in np.argwhere((x_sums.doubtful | y_sums.doubtful) & ~constant):
            late, early = max(k - reach, 0), max(reach - k, 0)
            pair = x[s, c, late : frames - early], y[c, early : frames - late]
            correlations[s, c, k] = np.corrcoef(*pair)[0, 1]
    correlations[constant] = np.nan
    result[:, largest - reach : largest + reach + 1] = correlations.transpose(0, 2, 1)
    return result


def _products(x: Float64, y: Float64, reach: int) -> Float64:
    """Sum over t of x[t + k] y[t] for k from -reach to reach; (S, C, T), (C, T) -> (S, C, K)."""
    length: int = next_fast_len(x.shape[-1] + reach, real=True)  # pyright: ignore[reportAssignmentType]
    spectrum = np.fft.rfft(x, length) * np.conj(np.fft.rfft(y, length))
    circular = np.fft.irfft(spectrum, length)
    return np.concatenate([circular[..., length - reach :], circular[..., : reach + 1]], axis=-1)


class _Windows:
    """The sum of each window of a signal (..., T), without its overall mean.

    Window k of K = 2 reach + 1 leaves out the first k - reach frames where that is positive, else
    the last reach - k; mirrored, the other way round.

    Attributes:
        centred: (..., T), the signal without its mean.
        counts: (K,) frames of a window. sums: (..., K).
        squares: (..., K) squared deviations from the window's own mean.
        constant, doubtful: (..., K) whether a window has one value, or too little variance beside
            that of the whole for `squares` to be trusted.
    """

    def __init__(self, signal: Float64, reach: int, mirrored: bool = False):
        self.centred = signal - signal.mean(-1, keepdims=True)
        self.counts = signal.shape[-1] - np.abs(np.arange(-reach, reach + 1))
        self.sums = _without_ends(self.centred, reach, mirrored)
        raw = _without_ends(self.centred**2, reach, mirrored)
        self.squares = raw - self.sums**2 / self.counts
        self.constant = _without_ends(np.diff(signal) != 0, reach, mirrored) == 0
        self.doubtful = self.squares <= TRUSTED_SHARE * raw[..., reach, None]


def _without_ends(values: NDArray[Any], reach: int, mirrored: bool) -> NDArray[Any]:
    """Sums over each window; see `_Windows`. (..., T) -> (..., K)."""
    head = values[..., :reach].cumsum(axis=-1)
    tail = values[..., ::-1][..., :reach].cumsum(axis=-1)
    before, after = (head, tail) if mirrored else (tail, head)
    nothing = np.zeros((*values.shape[:-1], 1), head.dtype)
    left_out = np.concatenate([before[..., ::-1], nothing, after], axis=-1)
    return values.sum(axis=-1, keepdims=True) - left_out


def _lags(correlation: Float64) -> Float64:
    """The absolute lag of each reaction's largest mean over channels, constant ones left out."""
    largest = correlation.shape[1] // 2
    distance = np.abs(np.arange(-largest, largest + 1))
    defined = ~np.isnan(correlation)  # (S, K, C)
    total = np.where(defined, correlation, 0).sum(2)
    count = defined.sum(2)
    mean = np.where(count > 0, total / np.maximum(count, 1), -np.inf)  # (S, K)
    peaks = mean >= mean.max(axis=1, keepdims=True) - ROUNDING
    return np.where(peaks & (count > 0), distance, largest).min(axis=1).astype(np.float64)


def _challenge_lags(correlation: Float64) -> Float64:
    """The challenge's lag of each reaction: of the first NaN, or of the largest mean."""
    mean = correlation.astype(np.float32).mean(axis=2)
    # np.argmax, like torch.argmax, takes the first NaN
    return np.abs(mean.argmax(axis=1) - mean.shape[1] // 2).astype(np.float64)
