"""Dyads: a speaker, the listeners that fit, and what they show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mreactor_ref.cache import cache_folder
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.clips import ClipFiles, FeatureReader
from mreactor_ref.data.mars import ReactionFiles, Session, read_mars, read_reaction
from mreactor_ref.emotion.priors import Prior, reaction_prior
from mreactor_ref.features.face import (
    FRAME_TOLERANCE,
    FRAME_TOLERANCE_SHARE,
    Face,
    fit_face,
    read_face,
)
from mreactor_ref.files import open_whole
from mreactor_ref.signals import (
    ATTRIBUTES,
    STREAMS,
    Array,
    SpeakerClip,
    Utterance,
)

FEATURES_VERSION = 1  # a change of what features are makes the cached ones stale
LEAST_SPAN = 5  # frames of an utterance from which a prior can be read


@dataclass(frozen=True)
class Dyad:
    """A speaker's clip and its R appropriate reactions, cut to the shortest of them.

    Attributes:
        clip: the speaker.
        reactions: (R, T, 83), attributes then coefficients, natural units, on the clip's grid.
        spoken: the U utterances of the clip, or one as long as the clip where there are none.
        shown: (R, U, 2), polarity and intensity that each reaction shows from the start of an
            utterance to that of the next.
        subjects: of each utterance, the priors that a run would choose from; empty where they are
            not known (`draws.with_subjects` finds them).
    """

    clip: SpeakerClip
    reactions: Array
    spoken: tuple[Utterance, ...]
    shown: Array
    subjects: tuple[tuple[Prior, ...], ...] = ()


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
        self.reader = FeatureReader(config, strict=True)
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
        with open_whole(path) as file:
            spoken = json.dumps([asdict(utterance) for utterance in clip.utterances])
            facts = {"frames": clip.frames, "fps": clip.fps, "utterances": spoken}
            np.savez(
                file,
                allow_pickle=False,
                **{name: np.asarray(x) for name, x in (facts | streams).items()},
            )
        return clip

    def _key(self, files: ClipFiles) -> str:
        stats = [(str(path.resolve()), path.stat()) for path in files.paths]
        parts = [files.id, self.encoders, [(p, s.st_size, s.st_mtime_ns) for p, s in stats]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _load(session: Session, reader: CachedReader) -> Dyad:
    clip = reader.read(session.speaker)
    rate = _tree_fps(session.speaker, clip)
    pairs = [_on_grid(files, rate, clip.fps) for files in session.reactions]
    frames = min(clip.frames, *(len(attributes) for attributes, _ in pairs))
    reactions = np.stack([np.concatenate(pair, axis=1) for pair in _cut(pairs, frames)])
    spoken = clip.utterances or (Utterance(0.0, frames / clip.fps, ""),)
    shown = np.array([_shown(r[:, :ATTRIBUTES], spoken, clip.fps) for r in reactions], np.float32)
    return Dyad(clip, reactions, spoken, shown)


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


def _shown(attributes: Array, spoken: Sequence[Utterance], fps: float) -> list[tuple[float, float]]:
    """Polarity and intensity a reaction shows from each utterance's start to that of the next."""
    frames = len(attributes)
    starts = [0, *(round(u.start * fps) for u in spoken[1:])]
    ends = [*starts[1:], frames]
    found: list[tuple[float, float]] = []
    for start, end in zip(starts, ends, strict=True):
        first = max(0, min(start, frames - LEAST_SPAN))
        prior = reaction_prior(attributes[first : max(end, first + LEAST_SPAN)])
        found.append((prior.polarity, prior.intensity))
    return found


def stream(clip: SpeakerClip, name: str) -> Array | None:
    """A stream of a clip by its name in STREAMS, (T, width), or None."""
    return getattr(clip, name)
