"""Dyads for training: a speaker, the listeners that fit, and what their priors and motion were."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.cache import cache_folder
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.clips import ClipFiles, FeatureReader
from mreactor_ref.data.mars import ReactionFiles, Session, read_mars, read_reaction
from mreactor_ref.emotion.priors import Prior, frame_priors, nearest_emotions, reaction_prior
from mreactor_ref.features.face import (
    FRAME_TOLERANCE,
    FRAME_TOLERANCE_SHARE,
    Face,
    fit_face,
    read_face,
)
from mreactor_ref.signals import (
    ATTRIBUTES,
    COEFFICIENTS,
    NO_EMOTION,
    REACTION,
    STREAMS,
    Array,
    SpeakerClip,
    Utterance,
)

LEAST_DEVIATION = 0.01  # of a channel that hardly moves in the training data
FEATURES_VERSION = 1  # a change of what features are makes the cached ones stale
LEAST_SPAN = 5  # frames of an utterance from which a prior can be read


@dataclass(frozen=True)
class Dyad:
    """A speaker's clip and its R appropriate reactions, cut to the shortest of them.

    Attributes:
        clip: the speaker.
        reactions: (R, T, 83), attributes then coefficients, natural units, on the clip's grid.
        affect: (R, T, 2), polarity and intensity of the prior that each reaction itself shows.
    """

    clip: SpeakerClip
    reactions: Array
    affect: Array


def load_dyads(
    root: Path,
    split: str,
    config: ModelConfig,
    progress: Callable[[int, int], None] | None = None,
) -> list[Dyad]:
    """Read a split of a MARS tree: features of the speakers, reactions of the listeners.

    Raises: UsageError for a missing split; ClipError for a clip that cannot be read.
    """
    sessions = read_mars(root, split)
    reader, dyads = CachedReader(config), []
    for i, session in enumerate(sessions):
        dyads.append(_load(session, reader))
        if progress is not None:
            progress(i + 1, len(sessions))
    return dyads


class CachedReader:
    """Reads speaker clips, and keeps their features in the user's cache: they are slow to make.

    A clip is read again when a file of it, an encoder or the frame rate is another.
    """

    def __init__(self, config: ModelConfig):
        self.reader = FeatureReader(config)
        self.encoders = (config.sound_encoder, config.words_encoder, config.fps, FEATURES_VERSION)

    def read(self, files: ClipFiles) -> SpeakerClip:
        """Raises: ClipError for a clip that cannot be read."""
        path = cache_folder() / "features" / f"{self._key(files)}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as stored:
                spoken = json.loads(str(stored["utterances"]))
                streams = {name: stored[name] for name in STREAMS if name in stored}
                return SpeakerClip(
                    id=files.id,
                    frames=int(stored["frames"]),
                    fps=float(stored["fps"]),
                    utterances=tuple(Utterance(**fields) for fields in spoken),
                    **streams,
                )
        clip, _ = self.reader.read(files)
        streams = {name: x for name in STREAMS if (x := stream(clip, name)) is not None}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            spoken = json.dumps([asdict(utterance) for utterance in clip.utterances])
            facts = {"frames": clip.frames, "fps": clip.fps, "utterances": spoken}
            np.savez(
                file,
                allow_pickle=False,
                **{name: np.asarray(x) for name, x in (facts | streams).items()},
            )
        partial.replace(path)
        return clip

    def _key(self, files: ClipFiles) -> str:
        paths = [path for path in (files.sound, files.words, *files.faces) if path is not None]
        stats = [(str(path.resolve()), path.stat()) for path in paths]
        parts = [files.id, self.encoders, [(p, s.st_size, s.st_mtime_ns) for p, s in stats]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _load(session: Session, reader: CachedReader) -> Dyad:
    clip = reader.read(session.speaker)
    rate = _tree_fps(session.speaker, clip)
    pairs = [_on_grid(files, rate, clip.fps) for files in session.reactions]
    frames = min(clip.frames, *(len(attributes) for attributes, _ in pairs))
    reactions = np.stack([np.concatenate(pair, axis=1) for pair in _cut(pairs, frames)])
    affect = [_shown_affect(r[:, :ATTRIBUTES], clip.utterances, clip.fps) for r in reactions]
    return Dyad(clip, reactions, np.concatenate(affect))


def _tree_fps(files: ClipFiles, clip: SpeakerClip) -> float:
    """The frame rate of a tree's faces, which only the length of the speaker's sound tells.

    A reaction has no sound, and need not be as long as the speaker's clip. The model's own rate
    or a whole number is taken where the face then ends with the clip, but for a few frames.
    """
    if not files.faces:
        return clip.fps
    frames = read_face(files.faces[0]).frames
    implied = frames * clip.fps / clip.frames
    near = max(FRAME_TOLERANCE, FRAME_TOLERANCE_SHARE * clip.frames)
    for rate in (clip.fps, float(round(implied))):
        if rate and abs(frames * clip.fps / rate - clip.frames) <= near:
            return rate
    return implied


def _on_grid(files: ReactionFiles, rate: float, fps: float) -> tuple[Array, Array]:
    """A real reaction, taken from `rate` to the model's frames where they differ."""
    attributes, coefficients = read_reaction(files)
    if rate == fps:
        return attributes, coefficients
    seconds = len(attributes) / rate
    frames = max(1, round(seconds * fps))
    face, _ = fit_face(Face(coefficients, attributes, rate), fps, frames, seconds, files.attributes)
    assert face.attributes is not None
    assert face.coefficients is not None
    return face.attributes, face.coefficients


def _cut(pairs: Sequence[tuple[Array, Array]], frames: int) -> list[tuple[Array, Array]]:
    return [(attributes[:frames], coefficients[:frames]) for attributes, coefficients in pairs]


def _shown_affect(attributes: Array, utterances: tuple[Utterance, ...], fps: float) -> Array:
    """The prior a real reaction shows from each utterance's start to the next one's: (1, T, 2)."""
    frames = len(attributes)
    spoken = utterances or (Utterance(0.0, frames / fps, ""),)
    starts = [0, *(round(u.start * fps) for u in spoken[1:])]
    ends = [*starts[1:], frames]
    priors: list[Prior] = []
    for start, end in zip(starts, ends, strict=True):
        first = max(0, min(start, frames - LEAST_SPAN))
        priors.append(reaction_prior(attributes[first : max(end, first + LEAST_SPAN)]))
    return frame_priors((tuple(priors),), spoken, frames, fps)[1]


@dataclass(frozen=True)
class Statistics:
    """Means and deviations of the training data that a checkpoint keeps."""

    streams: dict[str, tuple[Array, Array]]
    reaction: tuple[Array, Array]
    smoothness: tuple[float, float]


def stream(clip: SpeakerClip, name: str) -> Array | None:
    """A stream of a clip by its name in STREAMS, (T, width), or None."""
    return getattr(clip, name)


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


# A subject of the words only hints at what a listener will show: so the prior that a reaction shows
# is blurred by this deviation before the model sees it, the same through a window.
POLARITY_BLUR, INTENSITY_BLUR = 0.3, 0.2


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
        emotion, affect = self._prior(dyad.affect[chosen, window], rng)
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

    def _prior(self, affect: Array, rng: np.random.Generator) -> tuple[NDArray[np.int64], Array]:
        """The prior (R, T, 2) blurred, with the label nearest to it; some hidden."""
        blur = rng.standard_normal((self.reactions, 1, 2)) * (POLARITY_BLUR, INTENSITY_BLUR)
        blurred = np.clip(affect + blur, (-1, 0), 1).astype(np.float32)
        hidden = rng.random(self.reactions) < self.drop.prior
        emotion = np.where(hidden[:, None], NO_EMOTION, nearest_emotions(blurred))
        return emotion, np.where(hidden[:, None, None], np.float32(0), blurred)

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
