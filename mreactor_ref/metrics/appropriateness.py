"""FRCorr and FRDist: how close each generated reaction is to the nearest appropriate real one.

Facts of the challenge's code (metric/FRC.py and metric/FRD.py of baseline_react2023 to 2026):
each generated reaction is compared with every appropriate real one, the best counts, the bests of
a clip's reactions are summed, and the clips' sums averaged. So ten perfect reactions have an
FRCorr of at most 10 and an FRDist of 0.

A real reaction of another length is first brought to that of the generated ones (lengths.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.compat import Edition
from mreactor_ref.metrics.lengths import LengthRule, challenge_length
from mreactor_ref.metrics.warping import Sequences, nearest_distance, sequences
from mreactor_ref.signals import AFFECT_SLICE, AU_SLICE, EXPRESSION_SLICE

Float64 = NDArray[np.float64]

# The challenge adds it to the denominator of the concordance correlation.
CCC_EPSILON = 1e-8

# FRDist's weight of each group of channels. The cheapest group that says most comes first.
DISTANCE_GROUPS = ((AFFECT_SLICE, 1.0), (EXPRESSION_SLICE, 1 / 8), (AU_SLICE, 1 / 15))


def frcorr(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    length_rule: LengthRule = challenge_length,
    edition: Edition | None = None,
) -> float:
    """FRCorr: the largest concordance correlation, summed over reactions, mean over clips.

    Args:
        predictions: per clip (S, T, 25).
        appropriate: per clip its appropriate real reactions, each (T', 25).
        length_rule: brings a real reaction to T frames.
        edition: with the means and variances of a challenge's code, in single precision.

    Raises:
        UsageError: a clip has no appropriate reaction, or one without frames.
    """
    return float(np.mean(clip_frcorr(predictions, appropriate, length_rule, edition)))


def frdist(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    length_rule: LengthRule = challenge_length,
) -> float:
    """FRDist: the smallest weighted DTW distance, summed over reactions, mean over clips.

    The distance of a pair is the sum over groups of channels of weight times DTW: action units
    1/15, valence and arousal 1, expressions 1/8. Arguments and errors as for `frcorr`.
    """
    return float(np.mean(clip_frdist(predictions, appropriate, length_rule)))


def clip_frcorr(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    length_rule: LengthRule = challenge_length,
    edition: Edition | None = None,
) -> Float64:
    """Each clip's part of FRCorr, (N,): the sum over its S reactions. See `frcorr`."""
    sums: list[float] = []
    for generated, real in _clips(predictions, appropriate, length_rule):
        correlations = concordance(generated, np.stack(real), single=edition is not None)
        sums.append(float(correlations.mean(axis=2).max(axis=1).sum()))
    return np.array(sums)


def clip_frdist(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    length_rule: LengthRule = challenge_length,
) -> Float64:
    """Each clip's part of FRDist, (N,): the sum over its S reactions. See `frdist`."""
    weights = [weight for _, weight in DISTANCE_GROUPS]
    sums: list[float] = []
    for generated, real in _clips(predictions, appropriate, length_rule):
        theirs = [_groups(reaction) for reaction in real]
        sums.append(sum(nearest_distance(_groups(ours), theirs, weights) for ours in generated))
    return np.array(sums)


def concordance(generated: NDArray[Any], real: NDArray[Any], single: bool = False) -> Float64:
    """Concordance correlation of each generated reaction with each real one, per channel.

    2 cov / (var + var' + (mean - mean')^2 + 1e-8), variances over T. As in the challenge's code a
    channel that is constant in either sequence counts 0, even where both are the same constant.

    Args:
        generated: (S, T, C). real: (R, T, C).
        single: with means and variances in single precision, as the challenge's code has them.

    Returns:
        (S, R, C), in [-1, 1].
    """
    x, y = _moments(generated, single), _moments(real, single)
    between = (x.mean[:, :, None] - y.mean[:, None]) ** 2
    spread = (x.variance[:, :, None] + y.variance[:, None] + between).astype(np.float64)
    covariance = x.centred @ y.centred.transpose(0, 2, 1) / x.centred.shape[2]  # (C, S, R)
    if single:  # a correlation in double precision, times deviations in single
        exact = x.deviation()[:, :, None] * y.deviation()[:, None]
        correlation = np.divide(covariance, exact, out=np.zeros_like(exact), where=exact > 0)
        covariance = correlation * np.sqrt(x.variance)[:, :, None] * np.sqrt(y.variance)[:, None]
    return (2 * covariance / (spread + CCC_EPSILON)).transpose(1, 2, 0)


@dataclass(frozen=True)
class _Moments:
    """Of each channel of S reactions: centred (C, S, T), always double; mean, variance (C, S)."""

    centred: Float64
    mean: NDArray[Any]
    variance: NDArray[Any]

    def deviation(self) -> Float64:
        """In double precision."""
        return np.sqrt(np.square(self.centred).mean(axis=2))


def _moments(reactions: NDArray[Any], single: bool) -> _Moments:
    channels = np.ascontiguousarray(reactions.transpose(2, 0, 1))
    if single:
        channels = channels.astype(np.float32)
        exact = channels.astype(np.float64)
        centred = exact - exact.mean(axis=2, keepdims=True)
        return _Moments(centred, channels.mean(axis=2), channels.var(axis=2))
    centred = channels.astype(np.float64)
    mean = centred.mean(axis=2)
    centred -= mean[:, :, None]
    return _Moments(centred, mean, np.einsum("cst,cst->cs", centred, centred) / centred.shape[2])


def _groups(reaction: NDArray[Any]) -> list[Sequences]:
    """The groups of channels of a reaction (T, 25), in the order of DISTANCE_GROUPS."""
    return [sequences(reaction, part) for part, _ in DISTANCE_GROUPS]


def _clips(
    predictions: Sequence[NDArray[Any]],
    appropriate: Sequence[Sequence[NDArray[Any]]],
    length_rule: LengthRule,
) -> Iterator[tuple[NDArray[Any], list[NDArray[Any]]]]:
    """Each clip's generated reactions (S, T, 25) and its real ones, each (T, 25)."""
    if not predictions:
        raise UsageError("there is no clip to score")
    for clip, (generated, real) in enumerate(zip(predictions, appropriate, strict=True)):
        if not real or any(len(reaction) == 0 for reaction in real):
            raise UsageError(
                f"clip {clip} has no appropriate real reaction, or one without frames",
                fix="leave the clip out, or look at its files",
            )
        yield generated, [length_rule(reaction, generated.shape[1]) for reaction in real]
