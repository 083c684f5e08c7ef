"""Clips: which there are in folders and files, and their streams on the frame grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.grouping import LONE_TEXT, BadClip, ClipFiles, group, lines_of
from mreactor_ref.data.inputs import Ignored, Inputs, listed, look_through
from mreactor_ref.data.layout import AUDIO, FACE, KNOWN, VIDEO, WORDS
from mreactor_ref.data.streams import Streams
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.container import LONGEST, LONGEST_SECONDS
from mreactor_ref.features.encoded import read_encoded
from mreactor_ref.features.face import Face
from mreactor_ref.features.grid import at_times, frame_centres
from mreactor_ref.features.language import language_note
from mreactor_ref.features.sound import Sound, read_sound
from mreactor_ref.features.words import Transcript, read_words
from mreactor_ref.signals import Array, SpeakerClip

if TYPE_CHECKING:
    import torch

    from mreactor_ref.features.encoders import SoundEncoder, WordsEncoder


@dataclass(frozen=True)
class Found:
    """The clips in the inputs of a run, and the files that belong to none.

    Attributes:
        clips: sorted by id.
        ignored: files that belong to no clip; those beside a clip are the clip's own.
        empty: folders that were given and hold no clip.
        folders: all that were given, and those of files.
    """

    clips: tuple[ClipFiles | BadClip, ...]
    ignored: tuple[Ignored, ...] = ()
    empty: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each folder without clips, and for each reason why files are not read."""
        return (*(f"no clips found in {path}" for path in self.empty), *lines_of(self.ignored))


def find_clips(inputs: Inputs) -> Found:
    """The clips of folders, searched in depth, and of files.

    A clip is the set of files that share a stem, the path without extension relative to the
    folder. `a.en.srt`, `a.wav.srt`, `a.face.csv` and OpenFace's `processed/a.csv` belong to a sound
    or video `a`. A video is the sound where no sound file has that stem. Of several files for one
    thing the better one is taken. A file stands for its clip, so those beside it belong to it too.
    Hidden files are left out; every other file that is not read is named in the result. A lone .txt
    is no clip, nor is a json, csv or npy that holds something else, nor what a run has written.

    In a MARS tree (`<split>/{audio,words,facial-attributes,coefficients}/speaker/<session>/
    <clip>`) a clip is the speaker's files with the id `<split>/<session>/<clip>`; in a REACT
    2023/2024 tree (`<split>/{Audio_files,Words_files,Emotion,3D_FV_files}/NoXI/...`) the id
    leaves that folder out likewise. `words` and `Words_files` are this project's own addition.
    Other files of such a tree are left out.

    Args:
        inputs: folders, files, and patterns such as `talks/*.wav`. Clips of several folders that
            would have the same id have the names of their folders before it.

    Raises:
        UsageError: an input is not there, or no clip in any.
    """
    inputs = listed(inputs)
    clips: list[tuple[Path, ClipFiles]] = []
    ignored: dict[Path, Ignored] = {}
    empty: list[Path] = []
    folders = look_through(inputs)
    for folder in folders:
        grouped, others = group(folder)
        if folder.named is not None:
            grouped, others = _of_named(folder.named, grouped, others)
        clips += [(folder.path, clip) for clip in grouped]
        empty += [folder.path] if folder.named is None and not grouped else []
        ignored |= {entry.path: entry for entry in others}
    if not clips:
        raise _no_clips(inputs, list(ignored.values()))
    others = tuple(ignored[path] for path in sorted(ignored))
    looked = tuple(folder.path for folder in folders)
    return Found(tuple(_unique(clips)), others, tuple(empty), looked)


def _of_named(
    named: list[Path], clips: list[ClipFiles], ignored: list[Ignored]
) -> tuple[list[ClipFiles], list[Ignored]]:
    """The clips of some files, and those of the files that belong to none."""
    wanted = set(named)
    mine = [clip for clip in clips if not wanted.isdisjoint(clip.paths)]
    return mine, [entry for entry in ignored if entry.path in wanted]


def _no_clips(inputs: Sequence[str | Path], ignored: list[Ignored]) -> UsageError:
    kinds = (("sound", AUDIO + VIDEO), ("words", WORDS), ("face", FACE))
    looked = "; ".join(f"{name} {' '.join(suffixes)}" for name, suffixes in kinds)
    where = Path(inputs[0]) if len(inputs) == 1 else None
    if where is not None and where.is_file():
        fix = LONE_TEXT if where.suffix.lower() == ".txt" else f"a clip's are {' '.join(KNOWN)}"
        return UsageError("is no file of a clip", where, fix)
    seen = "".join(f"; {line}" for line in lines_of(ignored, most=3))
    return UsageError(f"no clips found (looked for {looked}{seen})", where, LONE_TEXT)


def _unique(clips: list[tuple[Path, ClipFiles]]) -> list[ClipFiles]:
    """The clips sorted by id, each once, with names of folders before ids that come twice."""
    files: dict[tuple[Path, ...], tuple[Path, ClipFiles]] = {}
    for folder, clip in clips:
        files.setdefault(tuple(path.resolve() for path in clip.paths), (folder, clip))
    left, done, depth = list(files.values()), list[ClipFiles](), 0
    while left:
        ids = [_deeper(clip.id, folder, depth) for folder, clip in left]
        taken = Counter([*ids, *(clip.id for clip in done)])
        deepest = depth > max(len(folder.absolute().parts) for folder, _ in left)
        again: list[tuple[Path, ClipFiles]] = []
        for id, (folder, clip) in zip(ids, left, strict=True):
            if taken[id] == 1 or deepest:
                done.append(replace(clip, id=id))
            else:
                again.append((folder, clip))
        left, depth = again, depth + 1
    return sorted(done, key=lambda clip: clip.id)


def _deeper(id: str, folder: Path, depth: int) -> str:
    """The id with the names of so many folders before it."""
    names = folder.absolute().parts[1:]
    return PurePosixPath(*names[len(names) - depth :], id).as_posix() if depth else id


class FeatureReader:
    """Reads clips for one model. Its encoders are loaded when a clip first needs them.

    Args:
        config: the model, for its frame grid and the names and widths of its encoders.
        device: where encoders that are neural networks run; streams are on the CPU in any case.
        strict: a file that cannot be read, or does not fit the others, is the clip's error; else
            the clip goes without it, and a line says so.
        read_sound: decodes a sound, or that of a video.
        video_face: reads the face of a video, for clips that have no file of a face; None leaves
            such clips without a face.
        transcriber: finds the words of a sound, for clips that have no file of words; None leaves
            such clips without words.
    """

    def __init__(
        self,
        config: ModelConfig,
        device: torch.device | str = "cpu",
        *,
        strict: bool = False,
        read_sound: Callable[[Path], Sound] = read_sound,
        video_face: Callable[[Path], Face] | None = None,
        transcriber: Callable[[Array], Transcript] | None = None,
    ):
        self.config, self._device = config, device
        self._strict, self._read_sound = strict, read_sound
        self._video_face, self._transcriber = video_face, transcriber
        self._sound: SoundEncoder | None = None
        self._words: WordsEncoder | None = None

    def read(self, files: ClipFiles) -> tuple[SpeakerClip, list[str]]:
        """Read one clip. A stream that it does not have is None.

        The sound says how long the clip is, without sound the face, without both the last
        word. T is that times the frame rate, rounded.

        Returns:
            The clip, and one line for each thing that was handled but should be known.

        Raises:
            ClipError: no file can be read (if strict, one cannot), no frame, or too many.
            UsageError: an encoder cannot be loaded, or is not of the model's width.
        """
        fps, rate = self.config.fps, files.face_fps or self.config.fps
        streams = Streams(self._strict, list(files.notes))
        encoded = self._encoded(files)
        sound = (
            None if encoded is not None else streams.read("sound", self._read_sound, files.sound)
        )
        duration = None if sound is None else sound.seconds
        if encoded is not None:
            duration = len(encoded) / rate
        faces = streams.read_faces(files, self._video_face, duration)
        if duration is None and faces:
            duration = _face_duration(faces[0][1], fps, streams.warnings)
        transcript = streams.read("words", lambda path: read_words(path, duration), files.words)
        if transcript is None and sound is not None and self._transcriber is not None:
            transcript = self._transcriber(sound.wave)
            streams.warnings += transcript.warnings
        if transcript is not None and (line := language_note(transcript)):
            streams.warnings.append(line)
        if duration is None:
            duration = transcript.end if transcript else 0.0
        frames = round(duration * fps)
        if problem := _length_problem(files.id, duration, fps):
            raise problem if frames else streams.error or problem
        face = streams.merge(faces, fps, frames, duration)
        if streams.error and all(
            stream is None
            for stream in (sound, encoded, transcript, face.coefficients, face.attributes)
        ):
            raise streams.error
        if encoded is not None:
            times = frame_centres(rate, len(encoded))
            encoded = at_times(encoded, times, frame_centres(fps, frames))
        clip = SpeakerClip(
            id=files.id,
            frames=frames,
            fps=fps,
            sound=encoded if sound is None else self._encode_sound(sound.wave, frames),
            words=None if transcript is None else self._encode_words(transcript, frames),
            coefficients=face.coefficients,
            attributes=face.attributes,
            utterances=transcript.utterances if transcript else (),
        )
        return clip, streams.warnings

    def _encoded(self, files: ClipFiles) -> Array | None:
        """Features that came with the sound, (T', width), where the model takes such.

        Raises:
            ClipError: they cannot be read, or have values that are not finite.
        """
        if files.encoded is None or not self.config.takes_encoded_sound:
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


def _check_width(kind: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise UsageError(
            f"the {kind} encoder gives {found} numbers a frame, the model takes {wanted}",
            fix="name the encoder that the model was trained with",
        )


def _length_problem(clip_id: str, duration: float, fps: float) -> ClipError | None:
    """Why no clip can be so long, in seconds."""
    if round(duration * fps) < 1:
        problem = f"lasts {duration:.3f} s, less than a frame at {fps:g} fps"
        return ClipError(problem, clip_id, "remove it")
    if duration > LONGEST_SECONDS:
        problem = f"lasts {duration / 3600:.1f} hours, more than the {LONGEST} that are read"
        return ClipError(problem, clip_id, "cut it into several clips")
    return None


def _face_duration(face: Face, fps: float, warnings: list[str]) -> float:
    """Seconds of a clip without sound; a file that tells no rate is taken at the model's."""
    if face.times is not None and len(face.times) > 1:
        return float(face.times[-1] + 0.5 / (face.fps or fps))
    if face.fps is None:
        warnings.append(f"no sound to time the face by: its frames are taken as {fps:g} fps")
    return face.frames / (face.fps or fps)
