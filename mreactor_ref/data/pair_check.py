"""What is wrong with the files of a pair: each is read whole, and held against the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mreactor_ref.data.dyads import LENGTH_TOLERANCE
from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.data.pairs import Pair, ReactionFiles, read_reaction
from mreactor_ref.errors import ClipError
from mreactor_ref.features.encoded import read_encoded
from mreactor_ref.features.face import FRAME_TOLERANCE, Face, fit_face, read_face
from mreactor_ref.features.sound import read_sound
from mreactor_ref.features.words import read_words

RATES = (25.0, 30.0)  # that the challenges have
RATE_TOLERANCE = 0.5  # frames a second


@dataclass
class PairCheck:
    """What was found in one pair.

    Attributes:
        frames: of the speaker's clip at the rate of its face; 0 where they cannot be told.
        rate: of the speaker's face, where its sound tells another than the tree's.
        problems: what keeps the pair, or one of its files, from being used.
        lines: what was mended in reading.
    """

    frames: int = 0
    rate: float | None = None
    problems: list[ClipError] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


class PairChecker:
    """Checks pairs of one split. A listener is read once, however many clips it belongs to.

    Args:
        fps: of the split's faces.
        width: of features that came with a sound, as the model takes them; None if it takes none.
    """

    def __init__(self, fps: float, width: int | None):
        self._fps, self._width = fps, width
        self._lengths: dict[ReactionFiles, int | ClipError] = {}

    def check(self, pair: Pair) -> PairCheck:
        """Read all files of a pair."""
        result = PairCheck()
        seconds = self._check_speaker(pair.speaker, result)
        if pair.speaker.words is not None:
            try:
                result.lines += read_words(pair.speaker.words, seconds).warnings
            except ClipError as error:
                result.problems.append(error)
        self._check_encoded(pair.speaker, result)
        for files in pair.reactions:
            self._check_reaction(pair, files, result)
        return result

    def _check_speaker(self, files: ClipFiles, result: PairCheck) -> float | None:
        """Sound and face, which must be of one length; the seconds of the clip, if it has any."""
        seconds = None
        if files.sound is not None:
            try:
                sound = read_sound(files.sound)
                seconds = sound.seconds
                result.lines += sound.warnings
                result.frames = round(seconds * self._fps)
            except ClipError as error:
                result.problems.append(error)
        for path in files.faces:
            try:
                face = read_face(path)
                result.lines += face.warnings
                self._check_length(face, path, seconds, result)
            except ClipError as error:
                result.problems.append(error)
        return seconds if seconds or not result.frames else result.frames / self._fps

    def _check_length(
        self, face: Face, path: Path, seconds: float | None, result: PairCheck
    ) -> None:
        """Hold a face against the sound. Raises ClipError where they are not of one length."""
        if not seconds:
            result.frames = max(result.frames, face.frames)
            return
        if result.rate is not None:
            return  # said of the first face
        frames = round(seconds * self._fps)
        try:
            fit_face(replace(face, fps=face.fps or self._fps), self._fps, frames, seconds, path)
        except ClipError:
            rate = _known_rate(face.frames / seconds)
            if rate is None or rate == self._fps:
                raise
            result.rate, result.frames = rate, face.frames
            raise ClipError(
                f"is at {rate:g} fps, and the tree at {self._fps:g}",
                path,
                f"give --fps {rate:g} where all are, or bring all to one rate",
            ) from None

    def _check_encoded(self, files: ClipFiles, result: PairCheck) -> None:
        """Whether the features that came with a sound can be used."""
        if files.encoded is None or self._width is None:
            return
        fix = "remove it, or leave it: the sound is encoded in its place"
        try:
            features = read_encoded(files.encoded, self._width)
            if features is None:
                shape = np.load(files.encoded, mmap_mode="r").shape
                raise ClipError(
                    f"has shape {shape}, not (frames, {self._width})", files.encoded, fix
                )
            if result.frames and abs(len(features) - result.frames) > self._tolerance:
                raise ClipError(
                    f"has {len(features)} rows, and its clip {result.frames} frames",
                    files.encoded,
                    "bring it to a row a frame, or remove it: the sound is then encoded",
                )
        except ClipError as error:
            result.problems.append(error)

    def _check_reaction(self, pair: Pair, files: ReactionFiles, result: PairCheck) -> None:
        """Whether a listener can be read and is as long as its speaker."""
        length = self._length(files)
        if isinstance(length, ClipError):
            result.problems.append(length)
        elif result.frames and abs(length - result.frames) > self._tolerance:
            speaker = next(iter((pair.speaker.sound, *pair.speaker.faces)), None) or pair.id
            result.problems.append(
                ClipError(
                    f"the listener has {length} frames, and its speaker {speaker} {result.frames}",
                    files.attributes,
                    "cut both to the same stretch of time, or remove the pair",
                )
            )

    @property
    def _tolerance(self) -> float:
        return max(FRAME_TOLERANCE, LENGTH_TOLERANCE * self._fps)

    def _length(self, files: ReactionFiles) -> int | ClipError:
        if files not in self._lengths:
            try:
                self._lengths[files] = len(read_reaction(files)[0])
            except ClipError as error:
                self._lengths[files] = error
        return self._lengths[files]


def _known_rate(implied: float) -> float | None:
    """The rate of a challenge that is near to this one."""
    nearest = min(RATES, key=lambda rate: abs(rate - implied))
    return nearest if abs(nearest - implied) < RATE_TOLERANCE else None
