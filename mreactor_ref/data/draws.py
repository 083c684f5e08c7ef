"""Training examples drawn from dyads: windows, priors, hidden streams; the data's statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.codes import fit_codes, listener_codes
from mreactor_ref.data.dyads import Dyad, stream
from mreactor_ref.emotion.priors import (
    LEAST_INTENSITY,
    Prior,
    frame_priors,
    training_prior,
)
from mreactor_ref.listeners import ANYBODY, Codebook
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
BLOCK = 4096  # frames whose statistics are taken at once; bounds the memory


@dataclass(frozen=True)
class Statistics:
    """Means and deviations of the training data that a checkpoint keeps."""

    streams: dict[str, tuple[Array, Array]]
    reaction: tuple[Array, Array]
    smoothness: tuple[float, float]
    listeners: Codebook | None


class Moments:
    """Mean and deviation of channels over any number of frames, added piece by piece in float64."""

    def __init__(self) -> None:
        self.count, self._mean, self._squares = 0, np.zeros(0), np.zeros(0)

    def add(self, values: Array) -> None:
        """Add frames (T, C); no more than a block of them is held at once."""
        for first in range(0, len(values), BLOCK):
            block = np.asarray(values[first : first + BLOCK], np.float64)
            mean = block.mean(axis=0)
            squares = np.square(block - mean).sum(axis=0)
            if self.count == 0:
                self.count, self._mean, self._squares = len(block), mean, squares
                continue
            total, gap = self.count + len(block), mean - self._mean
            self._squares += squares + np.square(gap) * (self.count * len(block) / total)
            self._mean = self._mean + gap * (len(block) / total)
            self.count = total

    def result(self, width: int) -> tuple[Array, Array]:
        """Mean and deviation (C,), float32; 0 and 1 for `width` channels that were never there."""
        if self.count == 0:
            return np.zeros(width, np.float32), np.ones(width, np.float32)
        deviation = np.maximum(np.sqrt(self._squares / self.count), LEAST_DEVIATION)
        return self._mean.astype(np.float32), deviation.astype(np.float32)


def motion_energy(reaction: Array, deviation: Array) -> float:
    """Log of the mean absolute change a frame, in deviations: reaction (T, 83)."""
    if len(reaction) < 2:
        return 0.0
    return float(np.log(np.abs(np.diff(reaction, axis=0) / deviation).mean() + 1e-6))


def statistics(dyads: Iterable[Dyad], config: ModelConfig) -> Statistics:
    """The moments for standardisation and smoothness, of the training split; it is read twice."""
    widths = (config.sound, config.words, COEFFICIENTS, ATTRIBUTES)
    streams, reactions = {name: Moments() for name in STREAMS}, Moments()
    for dyad in dyads:
        for name, moments in streams.items():
            values = stream(dyad.clip, name)
            if values is not None:
                moments.add(values)
        for reaction in dyad.reactions:
            reactions.add(reaction[: dyad.frames])
    reaction = reactions.result(REACTION)
    energies = np.array(
        [motion_energy(r[: d.frames], reaction[1]) for d in dyads for r in d.reactions]
    )
    deviation = max(float(energies.std()), LEAST_DEVIATION)
    of_streams = {
        name: streams[name].result(width) for name, width in zip(STREAMS, widths, strict=True)
    }
    book = fit_codes(dyads, reaction[1], config.listeners) if config.listeners else None
    return Statistics(of_streams, reaction, (float(energies.mean()), deviation), book)


@dataclass(frozen=True)
class DropRates:
    """How often a training step hides a part.

    Attributes:
        stream: each stream. face: both streams of the face. everything: all of the condition.
        prior: a reaction's prior.
        smoothness: a reaction's smoothness; it is then 0, so that 0, the default of a run, leaves
            the motion to the model, and other values ask for calmer or livelier than that.
        listener: a reaction's listener.
    """

    stream: float = 0.15
    face: float = 0.3
    prior: float = 0.2
    smoothness: float = 0.5
    listener: float = 0.1
    everything: float = 0.1


# Which subject a real listener had in mind is not known. In training the polarity of the prior is
# what the reaction shows, blurred by this deviation, since a subject only hints at a reaction. More
# blur and the listener's code tells the polarity better than the prior does, so that a run hardly
# follows its priors. The intensity, which a run proposes weaker than reactions show it, is that of
# the nearest subject; and in this share of the examples what is shown, blurred as well.
POLARITY_BLUR, INTENSITY_BLUR = 0.07, 0.1
SHOWN_SHARE = 0.3


class Draws:
    """Training examples by number: the same number is the same example, so a run can be resumed.

    Example i is a random window of a random dyad with some of its aligned reactions and some
    streams hidden; only the window is read. A map-style dataset for torch's DataLoader.
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
        self._found: dict[int, NDArray[np.int64]] = {}  # dyad -> listeners

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> dict[str, NDArray[np.generic]]:
        rng = self._rng(index)
        number = int(rng.integers(len(self.dyads)))
        dyad = self.dyads[number]
        length = dyad.frames
        # Half a window may lie outside before it is moved in: a clip's first and last frames, which
        # no run is without, are then in as many windows as the others.
        half = self.frames // 2
        start = int(np.clip(rng.integers(-half, length - half), 0, max(0, length - self.frames)))
        window = slice(start, min(start + self.frames, length))
        chosen = rng.choice(
            len(dyad.reactions), self.reactions, replace=len(dyad.reactions) < self.reactions
        )
        target = np.stack([dyad.reactions[r][window] for r in chosen])
        mean, deviation = self.stats.smoothness
        energies = [motion_energy(reaction, self.stats.reaction[1]) for reaction in target]
        smoothness = np.array([-(e - mean) / deviation for e in energies], np.float32)
        unknown = rng.random(self.reactions) < self.drop.smoothness
        emotion, affect = self._priors(dyad, chosen, window, rng)
        item: dict[str, NDArray[np.generic]] = self._streams(dyad.clip, window, rng)
        item["mask"] = np.arange(self.frames) < min(self.frames, length)
        item["target"] = self._pad(target, axis=1)
        item["emotion"] = self._pad(emotion, axis=1)
        item["affect"] = self._pad(affect, axis=1)
        item["smoothness"] = np.where(unknown, np.float32(0), smoothness)
        anybody = rng.random(self.reactions) < self.drop.listener
        item["listener"] = np.where(anybody, ANYBODY, self._codes(number, dyad)[chosen])
        item["dropped"] = np.array(rng.random() < self.drop.everything)
        return item

    def dyad_number(self, index: int) -> int:
        """Which dyad an example is a window of."""
        return int(self._rng(index).integers(len(self.dyads)))

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.first + index))

    def _codes(self, number: int, dyad: Dyad) -> NDArray[np.int64]:
        """The listener of each reaction of a dyad, (R,), found when first asked for."""
        if number not in self._found:
            self._found[number] = listener_codes(dyad, self.stats.listeners)
        return self._found[number]

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
                    training_prior(() if as_shown else subjects, float(s), float(phi))
                    for (s, phi), subjects in zip(wanted, of_each, strict=True)
                ]
            )
        emotion, affect = frame_priors(assigned, dyad.spoken, dyad.frames, dyad.clip.fps)
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
                item[name] = self._pad(np.asarray(values[window], np.float32), axis=0)
                present[i] = not hide[i]
        item["present"] = present
        return item
