"""Emotion priors: label, polarity s and intensity phi of an utterance's subject, on frames (eq. 4).

A `PriorSource` finds the subjects of an utterance; `recovery.ExpressiveRecovery` is the one that
runs use. What follows is the same for all: `assign` gives each reaction of a clip its own subject
of each utterance, `frame_priors` lays them on the frames. Training goes the other way:
`reaction_prior` is what a real reaction shows, `training_prior` what training tells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError
from mreactor_ref.outlook import outlooks
from mreactor_ref.signals import (
    AFFECT_SLICE,
    AROUSAL,
    EMOTIONS,
    EXPRESSION_SLICE,
    NO_EMOTION,
    VALENCE,
    Array,
    Utterance,
)

# Where each label lies as (polarity, intensity), made by hand: valence and arousal as in the
# circumplex of affect, and the paper's rows where it has them (excitement, joy, happiness).
# Labels alike in both (anger and fear) cannot be told apart by two numbers alone.
EMOTION_AFFECT = {
    "neutral": (0.0, 0.15),
    "joy": (0.7, 0.6),
    "happiness": (0.8, 0.7),
    "excitement": (0.9, 0.8),
    "contentment": (0.5, 0.3),
    "gratitude": (0.65, 0.45),
    "pride": (0.7, 0.75),
    "love": (0.85, 0.55),
    "hope": (0.45, 0.5),
    "relief": (0.4, 0.4),
    "amusement": (0.55, 0.65),
    "interest": (0.25, 0.45),
    "surprise": (0.1, 0.8),
    "confusion": (-0.2, 0.5),
    "boredom": (-0.4, 0.1),
    "sadness": (-0.7, 0.4),
    "disappointment": (-0.45, 0.4),
    "guilt": (-0.65, 0.5),
    "shame": (-0.75, 0.55),
    "fear": (-0.65, 0.85),
    "anxiety": (-0.6, 0.7),
    "anger": (-0.85, 0.9),
    "frustration": (-0.4, 0.65),
    "disgust": (-0.85, 0.65),
    "contempt": (-0.5, 0.25),
}

# What spreads the mean valence, arousal and motion of real faces over the range of a prior.
VALENCE_SCALE = 1.25
AROUSAL_SHARE = 0.75
MOTION_SCALE = 2.0

LEAST_INTENSITY = 0.5  # tau_3 of eq. 3: what an emotionally meaningful subject has at least

SHOWN = "shown"  # the subject of a prior that was read from a face


@dataclass(frozen=True)
class Prior:
    """The emotion, polarity and intensity that a subject evokes (eq. 4).

    Attributes:
        subject: what the utterance is about, in a word or two.
        emotion: one of `EMOTION_AFFECT`.
        polarity: s, in [-1, 1], negative to positive.
        intensity: phi, in [0, 1], calm to aroused.

    Raises:
        UsageError: a value outside these.
    """

    subject: str
    emotion: str
    polarity: float
    intensity: float

    def __post_init__(self) -> None:
        if self.emotion not in EMOTION_AFFECT:
            raise UsageError(f"emotion is {self.emotion!r}, not one of {', '.join(EMOTION_AFFECT)}")
        if not -1 <= self.polarity <= 1:
            raise UsageError(f"polarity is {self.polarity}, not -1 to 1")
        if not 0 <= self.intensity <= 1:
            raise UsageError(f"intensity is {self.intensity}, not 0 to 1")


# Of each reaction to a clip, the prior of each utterance: S x U.
Priors = tuple[tuple[Prior, ...], ...]


class PriorSource(Protocol):
    """Finds the subjects of utterances, and their priors."""

    @property
    def notes(self) -> Sequence[str]:
        """Lines that the user should read; grows with what is asked."""
        ...

    def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
        """For each utterance the priors of its subjects, best first, never empty.

        An utterance without a subject gives one prior: its own sentiment.
        """
        ...


def assign(
    utterances: Sequence[Utterance], source: PriorSource, samples: int, seed: int, clip_id: str
) -> Priors:
    """Each reaction's prior for each utterance, S x U.

    Every reaction takes of each utterance's subjects, ordered from the most negative to the most
    positive, the one at the place of its outlook. So one listener stays gloomy or sunny through a
    clip, while the reactions differ as far as the subjects go.

    Returns:
        A tuple for each reaction; empty ones where there are no utterances.
    """
    subjects = [
        sorted(priors, key=lambda prior: (prior.polarity, prior.intensity))
        for priors in source.priors([utterance.text for utterance in utterances])
    ]
    return tuple(
        tuple(order[int(outlook * len(order))] for order in subjects)
        for outlook in outlooks(seed, clip_id, range(samples))
    )


def frame_priors(
    assigned: Sequence[Sequence[Prior]], utterances: Sequence[Utterance], frames: int, fps: float
) -> tuple[NDArray[np.int64], Array]:
    """The priors of `assign` on the frames of a clip.

    A prior holds from the frame in which its utterance starts until the next one starts. Frames
    before the first have `NO_EMOTION` and zeros, as all have without utterances: nobody reacts to
    what is not said yet.

    The model's intensity is that above the least of a meaningful subject (tau_3), spread over
    [0, 1]: subjects that pass the filter use the whole range.

    Args:
        assigned: S x U. utterances: U, in any order. frames: T.

    Returns:
        Indices into `signals.EMOTIONS` (S, T), and polarity and the model's intensity (S, T, 2).
    """
    samples = len(assigned)
    if not utterances:
        emotion = np.full((samples, frames), NO_EMOTION, np.int64)
        return emotion, np.zeros((samples, frames, 2), np.float32)
    if any(len(row) != len(utterances) for row in assigned):
        raise ValueError(f"priors are not for {len(utterances)} utterances")
    # A millionth of a frame, so that a start of 0.29 s is in frame 29 of 100 a second.
    starts = np.floor(np.array([u.start for u in utterances]) * fps + 1e-6)
    order = np.argsort(starts, kind="stable")
    current = np.searchsorted(starts[order], np.arange(frames), side="right") - 1
    utterance, spoken = order[np.maximum(current, 0)], current >= 0  # (T,)
    emotion = np.array([[EMOTIONS.index(p.emotion) for p in row] for row in assigned], np.int64)
    affect = np.array(
        [[(p.polarity, _above_least(p.intensity)) for p in row] for row in assigned], np.float32
    )
    size = (samples, len(utterances))
    emotion, affect = emotion.reshape(size)[:, utterance], affect.reshape(*size, 2)[:, utterance]
    return np.where(spoken, emotion, NO_EMOTION), np.where(spoken[:, None], affect, np.float32(0))


def _above_least(intensity: float) -> float:
    return max(0.0, (intensity - LEAST_INTENSITY) / (1 - LEAST_INTENSITY))


def reaction_prior(attributes: NDArray[Any]) -> Prior:
    """The prior that a real reaction shows, which training conditions on.

    Polarity is 1.25 times the mean valence. Liveliness is three quarters of the arousal (0.5 plus
    its mean, in [0, 1]) plus the motion (twice the deviation over time of valence, arousal and
    expressions, mean over these channels). Both are cut to their range. Intensity is 0.5 for no
    liveliness and 1 for the most: what real listeners show are the subjects that passed the filter.
    The label is the nearest.

    Args:
        attributes: (T, 25).
    """
    values = np.asarray(attributes, np.float64)
    polarity = float(np.clip(VALENCE_SCALE * values[:, VALENCE].mean(), -1, 1))
    arousal = np.clip(0.5 + values[:, AROUSAL].mean(), 0, 1)
    moving = np.concatenate([values[:, AFFECT_SLICE], values[:, EXPRESSION_SLICE]], axis=1)
    motion = MOTION_SCALE * moving.std(axis=0).mean()
    liveliness = float(np.clip(AROUSAL_SHARE * arousal + motion, 0, 1))
    intensity = LEAST_INTENSITY + (1 - LEAST_INTENSITY) * liveliness
    return Prior(SHOWN, nearest_emotion(polarity, intensity), polarity, intensity)


def training_prior(subjects: Sequence[Prior], polarity: float, intensity: float) -> Prior:
    """The prior of this polarity, and of the intensity of the nearest subject, if there is any."""
    if subjects:
        nearest = min(
            subjects,
            key=lambda prior: (prior.polarity - polarity) ** 2 + (prior.intensity - intensity) ** 2,
        )
        intensity = nearest.intensity
    return Prior(SHOWN, nearest_emotion(polarity, intensity), polarity, intensity)


def nearest_emotion(polarity: float, intensity: float) -> str:
    """The label of `EMOTION_AFFECT` nearest to a polarity and an intensity, the first if equal."""
    return min(
        EMOTION_AFFECT,
        key=lambda label: (
            (EMOTION_AFFECT[label][0] - polarity) ** 2 + (EMOTION_AFFECT[label][1] - intensity) ** 2
        ),
    )
