"""The challenge's four trivial predictors, shaped like the output of a model.

A result means little without them: they show what a measure gives to chance, to a copy of the
speaker and to no movement at all (run_baselines.py of baseline_react2023;
framework/metrics/metric.py and framework/utils/baseline_reaction_metrics.py of baseline_react2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.compat import Edition
from mreactor_ref.signals import (
    AFFECT_SLICE,
    ATTRIBUTES,
    AU_SLICE,
    EXPRESSION_SLICE,
    Array,
)

AFFECT_DEVIATION = 0.5


@dataclass(frozen=True)
class TrainingMeans:
    """Means of the training reactions: sequence (T, 25), T that of the longest; frame (25,)."""

    sequence: Array
    frame: Array


def training_means(reactions: Iterable[NDArray[Any]]) -> TrainingMeans:
    """Means over the training reactions, each (T', 25), read once and not kept.

    Frame k of the sequence is the mean over the reactions that have a frame k; where all are of
    one length that is the challenge's mean sequence. The mean frame counts every frame once, as
    in 2026. (The code of 2023 averages speakers and listeners together; pass both for that.)

    Raises:
        UsageError: there is no reaction, or all are empty.
    """
    total, count = np.zeros((0, ATTRIBUTES)), np.zeros(0)
    for reaction in reactions:
        frames = len(reaction)
        if frames > len(total):
            more = frames - len(total)
            total = np.concatenate([total, np.zeros((more, ATTRIBUTES))])
            count = np.concatenate([count, np.zeros(more)])
        total[:frames] += reaction
        count[:frames] += 1
    if not len(total):
        raise UsageError("there is no training reaction to take a mean of")
    return TrainingMeans(
        sequence=(total / count[:, None]).astype(np.float32),
        frame=(total.sum(0) / count.sum()).astype(np.float32),
    )


def random_reactions(
    frames: int,
    samples: int,
    rng: np.random.Generator,
    edition: Literal[2023, 2025] = 2025,
) -> Array:
    """B_Random: noise in each frame and channel, (S, T, 25).

    Since 2025 each action unit is 0 or 1 with equal chance, valence and arousal are normal with
    deviation 0.5 cut to [-1, 1], and expressions uniform numbers divided by their sum. In 2023
    and 2024 all 25 channels are uniform in [0, 1).
    """
    result = rng.random((samples, frames, ATTRIBUTES))
    if edition == 2023:
        return result.astype(np.float32)
    result[..., AU_SLICE] = result[..., AU_SLICE] < 0.5
    result[..., AFFECT_SLICE] = _truncated_normal(result[..., AFFECT_SLICE].shape, rng)
    expressions = result[..., EXPRESSION_SLICE]
    result[..., EXPRESSION_SLICE] = expressions / expressions.sum(axis=-1, keepdims=True)
    return result.astype(np.float32)


def mime(speaker: NDArray[Any], samples: int) -> Array:
    """B_Mime: the speaker's own attributes (T, 25) as every reaction, (S, T, 25)."""
    return np.repeat(speaker.astype(np.float32)[None], samples, axis=0)


def mean_sequence(means: TrainingMeans, frames: int, samples: int) -> Array:
    """B_MeanSeq: the mean training reaction, its last frame held where it is too short."""
    index = np.minimum(np.arange(frames), len(means.sequence) - 1)
    return np.repeat(means.sequence[None, index], samples, axis=0)


def mean_frame(means: TrainingMeans, frames: int, samples: int) -> Array:
    """B_MeanFr: the mean training frame in every frame, (S, T, 25)."""
    return np.tile(means.frame, (samples, frames, 1))


def trivial_predictions(
    speakers: Sequence[NDArray[Any]],
    means: TrainingMeans,
    samples: int,
    seed: int,
    edition: Edition | None = None,
) -> dict[str, list[Array]]:
    """Every trivial predictor on every clip, under the challenge's names.

    Args:
        speakers: per clip (T, 25).
        edition: those of one challenge; all four, and random as in 2025, where it is None.

    Returns:
        Per predictor, per clip (S, T, 25).
    """
    rng = np.random.default_rng(seed)
    lengths = [len(speaker) for speaker in speakers]
    noise = 2023 if edition is not None and edition.uniform_random else 2025
    predictions = {
        "B_Random": [random_reactions(frames, samples, rng, noise) for frames in lengths],
        "B_Mime": [mime(speaker, samples) for speaker in speakers],
    }
    if edition is None or edition.mean_sequence:
        predictions["B_MeanSeq"] = [mean_sequence(means, frames, samples) for frames in lengths]
    return predictions | {"B_MeanFr": [mean_frame(means, frames, samples) for frames in lengths]}


def _truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Normal numbers of deviation 0.5; those outside [-1, 1] are drawn again."""
    values = rng.normal(0, AFFECT_DEVIATION, shape)
    while (outside := np.abs(values) > 1).any():
        values[outside] = rng.normal(0, AFFECT_DEVIATION, int(outside.sum()))
    return values
