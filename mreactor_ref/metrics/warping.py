"""The nearest real reaction by dynamic time warping: exactly, and mostly without warping.

Only the smallest distance counts, so most of the work can be left out (the names of the literature
in brackets): a real reaction whose lower bound is above the best distance so far is not warped at
all; the others come in the order of their distance without warping, so that the best is small
early (best first); and the warping of each leaves out every cell from which no path can end below
the best, and ends when no cell is left (early abandoning, pruned DTW). None of it changes the
minimum, but for the rounding of sums.

The cells of an anti-diagonal do not depend on each other, so each is one vector operation; numba
compiles these loops, and keeps what it compiled in its cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Sequences:
    """One group of channels of a reaction, ready to be warped.

    Attributes:
        frames: (C, T). backwards: (C, T), the last frame first.
        low, high: (C,), least and greatest value of each channel.
    """

    frames: Float64
    backwards: Float64
    low: Float64
    high: Float64


def sequences(reaction: NDArray[Any], part: slice = slice(None)) -> Sequences:
    """Some channels of a reaction (T, C)."""
    frames = np.ascontiguousarray(reaction.T[part], np.float64)
    backwards = np.ascontiguousarray(frames[:, ::-1])
    return Sequences(frames, backwards, frames.min(axis=1), frames.max(axis=1))


def dtw(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Dynamic time warping distance of (T, C) and (T', C): no window, exact.

    The root of the smallest sum of squared Euclidean distances along a warping path, which is
    what the challenge's `tslearn.metrics.dtw` returns.
    """
    return float(np.sqrt(_warp(sequences(x), sequences(y), np.inf)))


def nearest_distance(
    generated: Sequence[Sequences], real: Sequence[Sequence[Sequences]], weights: Sequence[float]
) -> float:
    """The smallest weighted sum over groups of DTW distances from one reaction to R real ones.

    Args:
        generated: the groups of the reaction.
        real: of each real reaction the same groups.
        weights: of the groups, above 0. The cheapest group that says most should come first.
    """
    scale = np.asarray(weights, np.float64)
    lower = np.array([[_lower(x, y) for x, y in zip(generated, r, strict=True)] for r in real])
    lower = np.sqrt(lower) * scale  # (R, G)
    upper = np.array([_unwarped(generated, r, scale) for r in real])  # (R,)
    order = np.argsort(np.where(np.isfinite(upper), upper, lower.sum(axis=1)))
    best = float(upper.min())
    for r in order:
        rest, distance = float(lower[r].sum()), 0.0
        for group, weight in enumerate(scale):
            rest -= lower[r, group]
            budget = (best - distance - rest) / weight
            if budget <= 0:
                distance = np.inf
                break
            distance += weight * _warp(generated[group], real[r][group], budget**2) ** 0.5
        best = min(best, distance)
    return best


def _lower(x: Sequences, y: Sequences) -> float:
    """A bound: each frame must meet one of the other's, and all of these lie in their box."""
    return max(_left(x.frames, y.low, y.high)[0], _left(y.frames, x.low, x.high)[0])


def _unwarped(generated: Sequence[Sequences], real: Sequence[Sequences], scale: Float64) -> float:
    """The distance of frame to frame, which no warping exceeds; infinite for other lengths."""
    if generated[0].frames.shape != real[0].frames.shape:
        return np.inf
    pairs = zip(generated, real, strict=True)
    return float(scale @ np.sqrt([_squared(x.frames, y.frames) for x, y in pairs]))


def _warp(x: Sequences, y: Sequences, bound: float) -> float:
    """The squared DTW distance, or infinity where it is above the bound."""
    x_left, y_left = _left(x.frames, y.low, y.high), _left(y.frames, x.low, x.high)
    return _pruned(x.frames, y.backwards, x_left, y_left, bound)


@njit(cache=True, error_model="numpy")
def _squared(x: Float64, y: Float64) -> float:
    """The squared Euclidean distance of two (C, T)."""
    total = 0.0
    for c in range(x.shape[0]):
        for t in range(x.shape[1]):
            total += (x[c, t] - y[c, t]) ** 2
    return total


@njit(cache=True, error_model="numpy")
def _left(frames: Float64, low: Float64, high: Float64) -> Float64:
    """(T + 1,): what the frames from t on add at least, by their distances from a box."""
    channels, length = frames.shape
    left = np.zeros(length + 1)
    for c in range(channels):
        least, greatest = low[c], high[c]
        for t in range(length):
            value = frames[c, t]
            outside = max(least - value, value - greatest, 0.0)
            left[t] += outside * outside
    for t in range(length - 1, -1, -1):
        left[t] += left[t + 1]
    return left


@njit(cache=True, error_model="numpy")
def _pruned(
    x: Float64, backwards: Float64, x_left: Float64, y_left: Float64, bound: float
) -> float:
    """The squared DTW distance of x (C, T) and y (C, T'), or infinity where it is above the bound.

    Cell (i, j) lies at place i + 1 of anti-diagonal k = i + j. Of each diagonal only the places
    are computed that can be reached from a cell that is still alive on one of the two before it.
    Dead cells inside keep their values, which are above the bound; beside the ends stands infinity.

    Args:
        backwards: y with the last frame first, so that both run forwards along a diagonal.
        x_left, y_left: what the frames from t on add at least, (T + 1,) and (T' + 1,).
    """
    length, other = x.shape[1], backwards.shape[1]
    now = np.full(length + 3, np.inf)
    last = np.full(length + 3, np.inf)
    before = np.full(length + 3, np.inf)
    local = np.empty(length)
    last_low, last_high, before_low, before_high = 0, -1, 0, -1  # alive; none
    for k in range(length + other - 1):
        start = min(last_low, before_low + 1) if k > 0 else 0
        stop = max(last_high, before_high) + 2 if k > 0 else 1
        start, stop = max(start, k - other + 1), min(stop, length, k + 1)
        if start >= stop and last_low > last_high:
            return np.inf
        now[start], now[stop + 1] = np.inf, np.inf
        _local(x, backwards, start, start + other - 1 - k, local[: stop - start])
        if k == 0:
            now[1] = local[0]
        else:
            above, left, across = last[start:stop], last[start + 1 : stop + 1], before[start:stop]
            _step(local, above, left, across, now[start + 1 : stop + 1])
        low, high = start, stop - 1
        while low <= high and now[low + 1] + max(x_left[low + 1], y_left[k - low + 1]) > bound:
            low += 1
        while low <= high and now[high + 1] + max(x_left[high + 1], y_left[k - high + 1]) > bound:
            high -= 1
        if low > high:
            if last_low > last_high:
                return np.inf
            low, high = length + 1, -2
        before_low, before_high, last_low, last_high = last_low, last_high, low, high
        now, last, before = before, now, last
    return float(last[length]) if last[length] <= bound else np.inf


# Loops from 0 over slices: an index that may be negative would keep them from being vectorised.
@njit(cache=True, error_model="numpy")
def _local(x: Float64, y: Float64, i: int, j: int, local: Float64) -> None:
    """Squared distances of the frames of x from i on and those of y from j on, both (C, T)."""
    count = len(local)
    for n in range(count):
        local[n] = 0.0
    for c in range(len(x)):
        a, b = x[c, i : i + count], y[c, j : j + count]
        for n in range(count):
            difference = a[n] - b[n]
            local[n] += difference * difference


@njit(cache=True, error_model="numpy")
def _step(local: Float64, above: Float64, left: Float64, across: Float64, now: Float64) -> None:
    """The cells of an anti-diagonal, from those of the two before it."""
    for n in range(len(now)):
        least = above[n] if above[n] < left[n] else left[n]
        least = least if least < across[n] else across[n]
        now[n] = local[n] + least
