"""A folder of clips: which files belong together, and their streams on the frame grid."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.format import open_memmap

from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.face import fit_face, read_face
from mreactor_ref.features.faces.npy import HEADER_ERRORS
from mreactor_ref.features.faces.track import Face
from mreactor_ref.features.grid import at_times, frame_centres
from mreactor_ref.features.sound import load_sound
from mreactor_ref.features.words import WORDS_SUFFIXES, Transcript, read_words
from mreactor_ref.signals import SAMPLE_RATE, Array, SpeakerClip

if TYPE_CHECKING:
    import torch

    from mreactor_ref.features.encoders import SoundEncoder, WordsEncoder

AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")
VIDEO = (".mp4", ".mkv", ".webm", ".mov", ".avi")  # only their sound is used
WORDS = WORDS_SUFFIXES
FACE = (".npy", ".csv")
KNOWN = (*AUDIO, *VIDEO, *WORDS, *FACE)
LONE_TEXT = "a .txt alone is no clip: it needs a sound or a face to last as long as"

# Folders of the known trees that hold files of a clip, and what is read from each.
MARS_FOLDERS = {
    "audio": AUDIO,
    "words": WORDS,
    "facial-attributes": FACE,
    "coefficients": FACE,
}
MARS_SPEAKER = "speaker"
REACT_FOLDERS = {"Audio_files": AUDIO, "Words_files": WORDS, "Emotion": FACE, "3D_FV_files": FACE}
REACT_SETS = ("NoXI", "RECOLA", "UDIVA")


@dataclass(frozen=True)
class ClipFiles:
    """The files of one clip; `faces` may be one for coefficients and one for attributes.

    `encoded` are features of the sound that came with it, a row a frame of the face, which are
    taken where they are of the model's width; `face_fps` the rate of both where a tree tells it.
    """

    id: str
    sound: Path | None = None
    words: Path | None = None
    faces: tuple[Path, ...] = ()
    encoded: Path | None = None
    face_fps: float | None = None


@dataclass(frozen=True)
class BadClip:
    """A clip whose files contradict each other. The run reports it and goes on."""

    id: str
    error: ClipError


def find_clips(folder: str | Path) -> list[ClipFiles | BadClip]:
    """The clips below a folder, sorted by id.

    A clip is the set of files that share a stem, the path without extension relative to the
    folder. A video is the sound where no sound file has that stem. Hidden and other files are
    left out, and so is a lone .txt: plain text needs a sound or a face to last as long as.

    In a MARS tree (`<split>/{audio,words,facial-attributes,coefficients}/speaker/<session>/
    <clip>`) a clip is the speaker's files with the id `<split>/<session>/<clip>`; in a REACT
    2023/2024 tree (`<split>/{Audio_files,Words_files,Emotion,3D_FV_files}/NoXI/...`) the id
    leaves that folder out likewise. `words` and `Words_files` are this project's own addition.
    Other files of such a tree are left out.

    Raises:
        UsageError: no such folder, or no clip in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        there = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise UsageError(there, folder, "give the folder that holds the clips")
    files = [PurePosixPath(path.relative_to(folder).as_posix()) for path in _walk(folder)]
    in_tree = [(path, place) for path in files if (place := _tree_place(path)) is not None]
    # a tree holds many other files, such as features of another width, with the same stems
    placed = in_tree or [(path, path.with_suffix("")) for path in files]
    stems: dict[str, list[Path]] = {}
    for path, place in placed:
        if path.suffix.lower() in KNOWN:
            stems.setdefault(place.as_posix(), []).append(folder / path)
    clips = [
        _clip(id, sorted(paths))
        for id, paths in sorted(stems.items())
        if any(path.suffix.lower() != ".txt" for path in paths)
    ]
    if not clips:
        kinds = (("sound", AUDIO + VIDEO), ("words", WORDS), ("face", FACE))
        looked = "; ".join(f"{name} {' '.join(suffixes)}" for name, suffixes in kinds)
        raise UsageError(
            f"no clips found (looked for {looked})",
            folder,
            LONE_TEXT,
        )
    return clips


def find_clip(file: str | Path) -> ClipFiles | BadClip:
    """The clip of a file: with the files beside it that share its stem, which is the clip's id.

    Raises:
        UsageError: no such file, or none that a clip can begin with.
    """
    file = Path(file)
    if not file.is_file():
        raise UsageError("there is no such file", file, "give a clip's file, or a folder of clips")
    paths = [path for path in file.parent.glob("*") if path.stem == file.stem]
    paths = sorted(path for path in paths if path.suffix.lower() in KNOWN)
    if file not in paths or all(path.suffix.lower() == ".txt" for path in paths):
        raise UsageError(f"is no file of a clip ({' '.join(KNOWN)})", file, LONE_TEXT)
    return _clip(file.stem, paths)


def _walk(folder: Path) -> Iterator[Path]:
    """Files in depth without the hidden ones; folders that are links count, once."""
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in names if not name.startswith("."))


def _tree_place(path: PurePosixPath) -> PurePosixPath | None:
    """The id of a file of a known tree, or None for a file of none."""
    parts, suffix = path.with_suffix("").parts, path.suffix.lower()
    for i, (part, following) in enumerate(pairwise(parts[:-1])):
        if following == MARS_SPEAKER and suffix in MARS_FOLDERS.get(part, ()):
            return PurePosixPath(*parts[:i], *parts[i + 2 :])
        if following in REACT_SETS and suffix in REACT_FOLDERS.get(part, ()):
            return PurePosixPath(*parts[:i], *parts[i + 1 :])
    return None


def _clip(id: str, paths: list[Path]) -> ClipFiles | BadClip:
    def of(suffixes: tuple[str, ...]) -> list[Path]:
        return [path for path in paths if path.suffix.lower() in suffixes]

    sounds, words = of(AUDIO) or of(VIDEO), of(WORDS)
    for kind, found in (("sounds", sounds), ("files of words", words)):
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            error = ClipError(f"{len(found)} {kind} for one clip: {names}", id, "keep one")
            return BadClip(id, error)
    return ClipFiles(
        id, sounds[0] if sounds else None, words[0] if words else None, tuple(of(FACE))
    )


class FeatureReader:
    """Reads clips for one model. Its encoders are loaded when a clip first needs them.

    Args:
        config: the model, for its frame grid and the names and widths of its encoders.
        device: where encoders that are neural networks run; streams are on the CPU in any case.
    """

    def __init__(self, config: ModelConfig, device: torch.device | str = "cpu"):
        self.config, self._device = config, device
        self._sound: SoundEncoder | None = None
        self._words: WordsEncoder | None = None

    def read(self, files: ClipFiles) -> tuple[SpeakerClip, list[str]]:
        """Read one clip. A stream that it does not have is None.

        The sound says how long the clip is, without sound the face, without both the last
        word. T is that times the frame rate, rounded.

        Returns:
            The clip, and one line for each thing that was handled but should be known.

        Raises:
            ClipError: a file cannot be read, the files do not fit each other, or no frame.
            UsageError: an encoder cannot be loaded, or is not of the model's width.
        """
        fps, warnings = self.config.fps, []
        encoded = self._encoded(files)
        wave = load_sound(files.sound) if files.sound and encoded is None else None
        faces = [(path, _timed(read_face(path), files.face_fps)) for path in files.faces]
        duration = None if wave is None else len(wave) / SAMPLE_RATE
        if encoded is not None:
            duration = len(encoded) / (files.face_fps or fps)
        if duration is None and faces:
            duration = _face_duration(faces[0][1], fps, warnings)
        transcript = read_words(files.words, duration) if files.words else None
        if transcript is not None:
            warnings += transcript.warnings
        if duration is None:
            duration = transcript.end if transcript else 0.0
        frames = round(duration * fps)
        if frames < 1:
            raise ClipError(
                f"lasts {duration:.3f} s, less than a frame at {fps:g} fps", files.id, "remove it"
            )
        face = _merge(faces, fps, frames, duration, warnings)
        if encoded is not None:
            rate = files.face_fps or fps
            times = frame_centres(rate, len(encoded))
            encoded = at_times(encoded, times, frame_centres(fps, frames))
        clip = SpeakerClip(
            id=files.id,
            frames=frames,
            fps=fps,
            sound=self._encode_sound(wave, frames) if wave is not None else encoded,
            words=None if transcript is None else self._encode_words(transcript, frames),
            coefficients=face.coefficients,
            attributes=face.attributes,
            utterances=transcript.utterances if transcript else (),
        )
        return clip, warnings

    def _encoded(self, files: ClipFiles) -> Array | None:
        """Features that came with the sound, (T', width), where the model takes such.

        Raises:
            ClipError: they cannot be read, or have values that are not finite.
        """
        if files.encoded is None or self.config.sound_encoder == "mfcc":
            return None
        return read_encoded(files.encoded, self.config.sound)

    def _encode_sound(self, wave: Array, frames: int) -> Array:
        if self._sound is None:
            from mreactor_ref.features.encoders import sound_encoder

            self._sound = sound_encoder(self.config.sound_encoder, self._device)
            _check_width("sound", self._sound.width, self.config.sound)
        return self._sound(wave, self.config.fps, frames)

    def _encode_words(self, transcript: Transcript, frames: int) -> Array:
        if self._words is None:
            from mreactor_ref.features.encoders import WordsEncoder

            self._words = WordsEncoder(self.config.words_encoder, self._device)
            _check_width("words", self._words.width, self.config.words)
        return self._words(transcript.words, self.config.fps, frames)


def read_encoded(path: Path, width: int) -> Array | None:
    """Features of a sound, a row a frame: (T', width) float32; None for those of another width.

    Raises:
        ClipError: no npy file of numbers, or values that are not finite.
    """
    fix = "save it again with numpy.save, or remove it: the sound is then encoded"
    try:
        features = open_memmap(path, mode="r")
    except (*HEADER_ERRORS, OSError) as error:
        raise ClipError(f"cannot be read as features of a sound: {error}", path, fix) from None
    if features.ndim == 3 and features.shape[1] == 1:
        features = features[:, 0]
    if features.ndim != 2 or features.shape[1] != width or len(features) == 0:
        return None
    if features.dtype.kind != "f" or not np.isfinite(features).all():
        raise ClipError("has values that are not finite numbers", path, fix)
    return np.array(features, np.float32)


def _timed(face: Face, fps: float | None) -> Face:
    """The face at the rate of its tree, where its file tells none."""
    return replace(face, fps=face.fps or fps)


def _check_width(kind: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise UsageError(
            f"the {kind} encoder gives {found} numbers a frame, the model takes {wanted}",
            fix="name the encoder that the model was trained with",
        )


def _face_duration(face: Face, fps: float, warnings: list[str]) -> float:
    """Seconds of a clip without sound; a file that tells no rate is taken at the model's."""
    if face.fps is None:
        warnings.append(f"no sound to time the face by: its frames are taken as {fps:g} fps")
    return face.frames / (face.fps or fps)


def _merge(
    faces: list[tuple[Path, Face]], fps: float, frames: int, duration: float, warnings: list[str]
) -> Face:
    """One face from all files, on the clip's frames.

    Raises:
        ClipError: two files hold the same stream, or one does not fit the clip.
    """
    merged = Face()
    for path, face in faces:
        fitted, line = fit_face(face, fps, frames, duration, path)
        if line:
            warnings.append(line)
        for name in ("coefficients", "attributes"):
            if getattr(merged, name) is not None and getattr(fitted, name) is not None:
                raise ClipError(f"holds the face's {name} a second time", path, "keep one")
        merged = Face(
            merged.coefficients if fitted.coefficients is None else fitted.coefficients,
            merged.attributes if fitted.attributes is None else fitted.attributes,
        )
    return merged
