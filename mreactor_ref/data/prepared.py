"""Prepared features: what training and scoring read of a clip, in files that are mapped.

To encode a sound takes a thousand times as long as to read its features, so they are made once and
kept in a folder. A file there is one array on the model's frames, as numpy saves it, and is mapped
into memory when it is read: what is touched is loaded, and nothing stays.

- `<key>.encoded.npy` (T, W): sound and words side by side, float32 or float16
- `<key>.face.npy` (T, W): coefficients and attributes side by side, float32
- `<key>.reaction.npy` (T, 83): attributes and coefficients of a listener, float32
- `<key>.json`: length, columns and utterances of a clip; written last

A key is a hash of all that the arrays depend on: the id in the tree, the names, sizes and times of
its files, encoders, frame rates. Where one of them changes, another file is made. It does not hold
the folder of the tree: a tree and its features can be moved together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mreactor_ref.cache import cache_folder
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.clips import FeatureReader
from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.data.pairs import ReactionFiles, read_reaction
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.face import Face, fit_face
from mreactor_ref.files import open_whole
from mreactor_ref.signals import STREAMS, Array, SpeakerClip, Utterance

FEATURES_VERSION = 2  # a change of what features are makes the kept ones stale
ENCODED, FACE = STREAMS[:2], STREAMS[2:]  # which streams lie side by side in a file
FeatureType = Literal["float32", "float16"]
FEATURE_TYPES: tuple[FeatureType, ...] = ("float32", "float16")


@dataclass(frozen=True)
class PreparedClip:
    """A speaker's clip whose streams are on the disk.

    Attributes:
        id, frames, fps, utterances: as of a `SpeakerClip`.
        columns: file -> stream -> width, in the order in which they lie side by side.
    """

    id: str
    frames: int
    fps: float
    utterances: tuple[Utterance, ...]
    columns: dict[Path, dict[str, int]]

    def open(self) -> SpeakerClip:
        """The clip with its streams mapped: nothing is read yet. Encoded ones may be float16."""
        streams: dict[str, Array] = {}
        for path, widths in self.columns.items():
            values, first = map_array(path), 0
            for name, width in widths.items():
                streams[name] = values[:, first : first + width]
                first += width
        return SpeakerClip(self.id, self.frames, self.fps, utterances=self.utterances, **streams)


class Prepared:
    """Makes what is missing in a folder of features, and opens what is there.

    Args:
        config: the model, for its frame grid and encoders.
        folder: `features` in the user's cache if None.
        dtype: of sound and words that are made now; what is there is read as it is.
        device: of the encoders.
    """

    def __init__(
        self,
        config: ModelConfig,
        folder: Path | None = None,
        dtype: FeatureType = "float32",
        device: str = "cpu",
    ):
        self.folder = folder or cache_folder() / "features"
        self.dtype = dtype
        self._reader, self._fps = FeatureReader(config, device, strict=True), config.fps
        self._grid = (FEATURES_VERSION, config.fps)
        self._encoders = (config.sound_encoder, config.words_encoder, config.sound)

    def clip(self, files: ClipFiles) -> PreparedClip:
        """A speaker's clip; it is read and encoded only where that was not done before.

        Raises:
            ClipError: it cannot be read.
            UsageError: an encoder cannot be loaded, or the folder cannot be written.
        """
        clip = self._kept(files)
        if clip is None:
            self._keep(self._clip_key(files), self._reader.read(files)[0])
            clip = self._kept(files)
            assert clip is not None
        return clip

    def reaction(self, files: ReactionFiles, fps: float) -> Path:
        """The file of a reaction on the model's frames, (T, 83), at its own length.

        Args:
            fps: of its files.

        Raises:
            ClipError: it cannot be read.
            UsageError: the folder cannot be written.
        """
        stats = _stats((files.attributes, files.coefficients))
        key = _key(self._grid, files.id, fps, stats)
        path = self.folder / f"{key}.reaction.npy"
        if not path.is_file():
            self._write(path, _on_grid(files, fps, self._fps))
        return path

    def has_clip(self, files: ClipFiles) -> bool:
        """Whether a clip's features are there already. Raises ClipError: a file is gone."""
        return self._kept(files) is not None

    def _kept(self, files: ClipFiles) -> PreparedClip | None:
        """A clip whose features are all there."""
        key = self._clip_key(files)
        facts = self.folder / f"{key}.json"
        if not facts.is_file():
            return None
        known = json.loads(facts.read_text(encoding="utf-8"))
        columns = {self.folder / f"{key}.{kind}.npy": w for kind, w in known["columns"].items()}
        if not all(path.is_file() for path in columns):
            return None
        utterances = tuple(Utterance(**fields) for fields in known["utterances"])
        return PreparedClip(files.id, known["frames"], known["fps"], utterances, columns)

    def _clip_key(self, files: ClipFiles) -> str:
        paths = (files.sound, files.words, files.encoded, *files.faces)
        return _key(self._grid, self._encoders, files.id, files.face_fps, _stats(paths))

    def _keep(self, key: str, clip: SpeakerClip) -> None:
        columns: dict[str, dict[str, int]] = {}
        for kind, names in (("encoded", ENCODED), ("face", FACE)):
            streams = {name: x for name in names if (x := getattr(clip, name)) is not None}
            if streams:
                dtype = self.dtype if kind == "encoded" else "float32"
                values = np.concatenate(list(streams.values()), axis=1, dtype=dtype)
                self._write(self.folder / f"{key}.{kind}.npy", values)
                columns[kind] = {name: x.shape[1] for name, x in streams.items()}
        facts: dict[str, Any] = {"frames": clip.frames, "fps": clip.fps, "columns": columns}
        facts["utterances"] = [asdict(utterance) for utterance in clip.utterances]
        self._write(self.folder / f"{key}.json", json.dumps(facts).encode())

    def _write(self, path: Path, content: Array | bytes) -> None:
        """Write a file whole or not at all."""
        try:
            with open_whole(path) as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    np.save(file, content, allow_pickle=False)
        except OSError as error:
            raise UsageError(
                f"features cannot be written: {error.strerror or error}",
                path.parent,
                "give another folder, or make room",
            ) from None


def map_array(path: Path) -> Array:
    """A prepared array, mapped. It can be written to, and the file stays as it is.

    Raises:
        UsageError: the file is damaged or gone.
    """
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(
            f"is no prepared array: {error}", path, "remove it: it is made again"
        ) from None


def _on_grid(files: ReactionFiles, rate: float, fps: float) -> Array:
    """A real reaction (T, 83), taken from its own rate to the model's frames where they differ."""
    attributes, coefficients = read_reaction(files)
    if rate != fps:
        seconds = len(attributes) / rate
        frames = max(1, round(seconds * fps))
        track = Face(coefficients, attributes, rate)
        face, _ = fit_face(track, fps, frames, seconds, files.attributes)
        assert face.attributes is not None
        assert face.coefficients is not None
        attributes, coefficients = face.attributes, face.coefficients
    return np.concatenate([attributes, coefficients], axis=1)


def _stats(paths: Iterable[Path | None]) -> list[tuple[str, int, int]]:
    """What tells a file from a later one: name, size, time. Raises ClipError: a file is gone."""
    stats: list[tuple[str, int, int]] = []
    for path in paths:
        if path is not None:
            try:
                stat = path.stat()
            except OSError as error:
                raise ClipError(f"cannot be read: {error.strerror}", path) from None
            stats.append((path.name, stat.st_size, stat.st_mtime_ns))
    return stats


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
