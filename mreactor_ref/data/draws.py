"""Training examples drawn from dyads: windows, priors, hidden streams; the data's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.dyads import Dyad, stream
from mreactor_ref.emotion.priors import (
    LEAST_INTENSITY,
    Prior,
    PriorSource,
    frame_priors,
    nearest_prior,
)
from mreactor_ref.signals import (
    ATTRIBUTES,
    COEFFICIENTS,
    NO_EMOTION,
    REACTION,
    STREAMS,
    Array,
    SpeakerClip,
)

LEAST_DEVIATION = 0.01  # of a channel that hardly moves in the training data


@dataclass(frozen=True)
class Statistics:
    """Means and deviations of the training data that a checkpoint keeps."""

    streams: dict[str, tuple[Array, Array]]
    reaction: tuple[Array, Array]
    smoothness: tuple[float, float]


def moments(parts: Sequence[Array]) -> tuple[Array, Array]:
    """Mean and deviation of the channels over all frames of all parts."""
    frames = np.concatenate(parts).astype(np.float64)
    deviation = np.maximum(frames.std(axis=0), LEAST_DEVIATION)
    return frames.mean(axis=0).astype(np.float32), deviation.astype(np.float32)


def motion_energy(reaction: Array, deviation: Array) -> float:
    """Log of the mean absolute change a frame, in deviations: reaction (T, 83)."""
    if len(reaction) < 2:
        return 0.0
    return float(np.log(np.abs(np.diff(reaction, axis=0) / deviation).mean() + 1e-6))


def statistics(dyads: Sequence[Dyad], config: ModelConfig) -> Statistics:
    """What standardisation and smoothness need, from the training split."""
    widths = (config.sound, config.words, COEFFICIENTS, ATTRIBUTES)
    streams = {}
    for name, width in zip(STREAMS, widths, strict=True):
        parts = [x for d in dyads if (x := stream(d.clip, name)) is not None]
        none = np.zeros(width, np.float32), np.ones(width, np.float32)
        streams[name] = moments(parts) if parts else none
    reaction = moments([d.reactions.reshape(-1, REACTION) for d in dyads])
    energies = np.array([motion_energy(r, reaction[1]) for d in dyads for r in d.reactions])
    deviation = max(float(energies.std()), LEAST_DEVIATION)
    return Statistics(streams, reaction, (float(energies.mean()), deviation))


@dataclass(frozen=True)
class DropRates:
    """How often a training step hides a part.

    Attributes:
        stream: each stream. face: both streams of the face. everything: all of the condition.
        prior: a reaction's prior.
        smoothness: a reaction's smoothness; it is then 0, so that 0, the default of a run, leaves
            the motion to the model, and other values ask for calmer or livelier than that.
    """

    stream: float = 0.1
    face: float = 0.1
    prior: float = 0.2
    smoothness: float = 0.5
    everything: float = 0.1


# Which subject a real listener had in mind is not known. In training it is the one nearest to what
# the reaction shows, blurred by these deviations, since a subject only hints at a reaction; and in
# this share of the examples what is shown itself, blurred, so that priors far from the words, which
# a user may ask for, are known to the model too.
POLARITY_BLUR, INTENSITY_BLUR = 0.2, 0.1
SHOWN_SHARE = 0.3


def with_subjects(dyad: Dyad, source: PriorSource) -> Dyad:
    """The dyad, knowing of each utterance the subjects that a run would choose from.

    Raises: UsageError for a source that cannot be used.
    """
    if not dyad.clip.utterances:
        return dyad
    texts = [utterance.text for utterance in dyad.clip.utterances]
    return replace(dyad, subjects=tuple(source.priors(texts)))


class Draws:
    """Training examples by number: the same number is the same example, so a run can be resumed.

    Example i is a random window of a random dyad with some of its reactions and some streams
    hidden. A map-style dataset for torch's DataLoader.
    """

    def __init__(
        self,
        dyads: Sequence[Dyad],
        stats: Statistics,
        *,
        first: int,
        last: int,
        frames: int,
        reactions: int,
        drop: DropRates,
        seed: int,
    ):
        self.dyads, self.stats, self.drop, self.seed = dyads, stats, drop, seed
        self.first, self.last = first, last
        self.frames, self.reactions = frames, reactions

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> dict[str, NDArray[np.generic]]:
        rng = np.random.default_rng((self.seed, self.first + index))
        dyad = self.dyads[int(rng.integers(len(self.dyads)))]
        length = dyad.reactions.shape[1]
        start = int(rng.integers(max(1, length - self.frames + 1)))
        window = slice(start, start + self.frames)
        chosen = rng.choice(
            len(dyad.reactions), self.reactions, replace=len(dyad.reactions) < self.reactions
        )
        mean, deviation = self.stats.smoothness
        energies = [
            motion_energy(dyad.reactions[r, window], self.stats.reaction[1]) for r in chosen
        ]
        smoothness = np.array([-(e - mean) / deviation for e in energies], np.float32)
        unknown = rng.random(self.reactions) < self.drop.smoothness
        emotion, affect = self._priors(dyad, chosen, window, rng)
        item: dict[str, NDArray[np.generic]] = self._streams(dyad.clip, window, rng)
        item["mask"] = np.arange(self.frames) < min(self.frames, length)
        item["target"] = self._pad(dyad.reactions[chosen, window], axis=1)
        item["emotion"] = self._pad(emotion, axis=1)
        item["affect"] = self._pad(affect, axis=1)
        item["smoothness"] = np.where(unknown, np.float32(0), smoothness)
        item["dropped"] = np.array(rng.random() < self.drop.everything)
        return item

    def _pad(self, x: NDArray[np.generic], axis: int) -> NDArray[np.generic]:
        widths = [(0, 0)] * x.ndim
        widths[axis] = (0, self.frames - x.shape[axis])
        return np.pad(x, widths)

    def _priors(
        self, dyad: Dyad, chosen: NDArray[np.int64], window: slice, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], Array]:
        """Emotions (R, T) and affect (R, T, 2) of the chosen reactions; some hidden."""
        of_each = dyad.subjects or ((),) * len(dyad.spoken)
        assigned: list[list[Prior]] = []
        for reaction in chosen:
            blur = rng.standard_normal(2) * (POLARITY_BLUR, INTENSITY_BLUR)
            as_shown = rng.random() < SHOWN_SHARE
            wanted = np.clip(dyad.shown[reaction] + blur, (-1, LEAST_INTENSITY), 1)  # (U, 2)
            assigned.append(
                [
                    nearest_prior(() if as_shown else subjects, float(s), float(phi))
                    for (s, phi), subjects in zip(wanted, of_each, strict=True)
                ]
            )
        frames = dyad.reactions.shape[1]
        emotion, affect = frame_priors(assigned, dyad.spoken, frames, dyad.clip.fps)
        hidden = rng.random(self.reactions) < self.drop.prior
        emotion = np.where(hidden[:, None], NO_EMOTION, emotion[:, window])
        return emotion, np.where(hidden[:, None, None], np.float32(0), affect[:, window])

    def _streams(
        self, clip: SpeakerClip, window: slice, rng: np.random.Generator
    ) -> dict[str, NDArray[np.generic]]:
        hide = rng.random(len(STREAMS)) < self.drop.stream
        hide[2:] |= rng.random() < self.drop.face
        item: dict[str, NDArray[np.generic]] = {}
        present = np.zeros(len(STREAMS), np.float32)
        for i, name in enumerate(STREAMS):
            values = stream(clip, name)
            width = len(self.stats.streams[name][0])
            if values is None:
                item[name] = np.zeros((self.frames, width), np.float32)
            else:
                item[name] = self._pad(values[window], axis=0)
                present[i] = not hide[i]
        item["present"] = present
        return item
