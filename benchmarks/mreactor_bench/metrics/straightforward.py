"""The slow measures as a challenge's code goes about them: a loop over pairs, channels and lags.

What `speed.py` times ours against. The formulas are those of metric/FRC.py, FRD.py and TLCC.py of
baseline_react2023, with the same library for the warping, tslearn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.appropriateness import CCC_EPSILON, DISTANCE_GROUPS

LARGEST_LAG = 49  # frames


def frcorr(generated: NDArray[Any], real: Sequence[NDArray[Any]]) -> float:
    """FRCorr of one clip: (S, T, 25) against R of (T, 25)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(sum(max(_concordance(x, y) for y in real) for x in generated))


def frdist(generated: NDArray[Any], real: Sequence[NDArray[Any]]) -> float:
    """FRDist of one clip. Raises UsageError without tslearn."""
    try:
        from tslearn.metrics import dtw
    except ImportError as error:
        raise UsageError("tslearn is not installed", fix="pip install tslearn") from error

    def distance(x: NDArray[Any], y: NDArray[Any]) -> float:
        return sum(w * float(dtw(x[:, part], y[:, part])) for part, w in DISTANCE_GROUPS)

    return float(sum(min(distance(x, y) for y in real) for x in generated))


def frsyn(generated: NDArray[Any], speaker: NDArray[Any]) -> float:
    """FRSyn of one clip, over all reactions: (S, T, 25) against (T, 25)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean([_lag(reaction, speaker) for reaction in generated]))


def _concordance(x: NDArray[Any], y: NDArray[Any]) -> float:
    values: list[float] = []
    for channel in range(x.shape[1]):
        a, b = x[:, channel], y[:, channel]
        correlation = np.nan_to_num(np.corrcoef(a, b)[0, 1])
        spread = np.var(a) + np.var(b) + (np.mean(a) - np.mean(b)) ** 2
        values.append(2 * correlation * np.std(a) * np.std(b) / (spread + CCC_EPSILON))
    return float(np.mean(values))


def _lag(reaction: NDArray[Any], speaker: NDArray[Any]) -> int:
    frames = len(speaker)
    means: list[float] = []
    for lag in range(-LARGEST_LAG, LARGEST_LAG + 1):
        late, early = max(lag, 0), max(-lag, 0)
        x, y = reaction[late : frames - early], speaker[early : frames - late]
        pairs = [np.corrcoef(x[:, c], y[:, c])[0, 1] for c in range(x.shape[1])]
        means.append(float(np.mean(np.array(pairs, np.float32))))
    return abs(int(np.argmax(means)) - LARGEST_LAG)
