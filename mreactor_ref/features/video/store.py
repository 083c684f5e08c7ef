"""Faces of videos, kept by the content of the file, so that each is read once."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from mreactor_ref.cache import cache_folder
from mreactor_ref.errors import ClipError
from mreactor_ref.features.face import Face
from mreactor_ref.features.faces.npy import PARSING
from mreactor_ref.features.video.description import VideoFace, no_face
from mreactor_ref.features.video.networks import NoRuntimeError
from mreactor_ref.features.video.reader import FaceReader, MeshReader

FOLDER = "faces"
UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)  # of a file that was cut


def read_video_face(path: str | Path, reader: FaceReader | None = None) -> VideoFace:
    """Read the face of a video, or take it from the cache folder where it was read before.

    What is kept belongs to the bytes of the video and to the reader's name, which changes with
    its networks. Where onnxruntime is missing there is no face, and a warning that says what to
    install; that is not kept.

    Args:
        path: the video.
        reader: how it is read; the default is the one that comes with the package.

    Raises:
        ClipError: the file cannot be read, or has no pictures.
        IntegrityError: a network is not the one of this version.
    """
    path = Path(path)
    reader = MeshReader() if reader is None else reader
    kept = cache_folder() / FOLDER / f"{_digest(path)}-{reader.name}.npz"
    if kept.is_file():
        try:
            return _load(kept)
        except UNREADABLE:
            kept.unlink(missing_ok=True)
    try:
        face = reader.read(path)
    except NoRuntimeError as error:
        return no_face(0, str(error))
    with suppress(OSError):  # a cache that cannot be written only costs time
        _save(kept, face)
    return face


def read_face_of_video(path: str | Path, reader: FaceReader | None = None) -> Face:
    """The face of a video as of any other file; without attributes where none is seen.

    Args: reader: how it is read; the default is the one that comes with the package.

    Raises:
        ClipError: the file cannot be read, or has no pictures.
        IntegrityError: a network is not the one of this version.
    """
    path = Path(path)
    video = read_video_face(path, reader)
    lines = tuple(f"{path.name}: {line}" for line in video.warnings)
    return replace(video.face or Face(), warnings=lines)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ClipError(f"cannot be read: {error.strerror or error}", path) from error


def _save(path: Path, face: VideoFace) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    arrays = {
        "seen": face.seen,
        "pose": face.pose,
        "confidence": face.confidence,
        "blendshapes": face.blendshapes,
        "lines": np.frombuffer(json.dumps([face.warnings, face.trusted]).encode(), np.uint8),
    }
    if face.face is not None and face.face.attributes is not None and face.face.times is not None:
        arrays |= {"attributes": face.face.attributes, "times": face.face.times}
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        part.replace(path)  # nobody ever sees half a file
    finally:
        part.unlink(missing_ok=True)


def _load(path: Path) -> VideoFace:
    with PARSING, path.open("rb") as opened, np.load(opened) as file:
        warnings, trusted = json.loads(file["lines"].tobytes())
        face = None
        if "attributes" in file:
            face = Face(attributes=file["attributes"], times=file["times"])
        return VideoFace(
            face,
            file["seen"],
            file["pose"],
            file["confidence"],
            file["blendshapes"],
            tuple(warnings),
            tuple(trusted),
        )
