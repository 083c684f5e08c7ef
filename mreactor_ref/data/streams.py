"""The streams of one clip as its files hold them: one that cannot be read costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.errors import ClipError
from mreactor_ref.features.face import Face, fit_face, read_face
from mreactor_ref.features.sound import Sound
from mreactor_ref.features.words import Transcript

Stream = TypeVar("Stream", Sound, Transcript, Face)


class Streams:
    """Reads the files of one clip; keeps the lines about them, and the first error.

    Args:
        strict: raise an error instead of going without the file.
        warnings: lines that there are already.
    """

    def __init__(self, strict: bool, warnings: list[str]):
        self._strict, self.warnings = strict, warnings
        self.error: ClipError | None = None

    def read(self, name: str, read: Callable[[Path], Stream], path: Path | None) -> Stream | None:
        """The stream that `read` makes of a file; None where it is not there or not readable."""
        if path is None:
            return None
        try:
            stream = read(path)
        except ClipError as error:
            self._without(name, error)
            return None
        self.warnings += stream.warnings
        return stream

    def read_faces(
        self,
        files: ClipFiles,
        video_face: Callable[[Path], Face] | None,
        duration: float | None = None,
    ) -> list[tuple[Path, Face]]:
        """The face of each file, or that of the video where no file has one.

        Args: duration: of the clip in seconds, where it is known.
        """
        read = partial(read_face, duration=duration)
        faces = [(path, self.read("face", read, path)) for path in files.faces]
        if files.video and video_face and not any(face for _, face in faces):
            faces.append((files.video, self.read("face", video_face, files.video)))
        return [
            (path, replace(face, fps=face.fps or files.face_fps))
            for path, face in faces
            if face is not None and not (face.attributes is None and face.coefficients is None)
        ]

    def merge(
        self, faces: list[tuple[Path, Face]], fps: float, frames: int, duration: float
    ) -> Face:
        """One face from all files, on the clip's frames; of a stream that comes twice the first."""
        merged = Face()
        for path, face in faces:
            try:
                fitted, line = fit_face(face, fps, frames, duration, path)
                merged = self._join(merged, fitted, path)
            except ClipError as error:
                self._without("face", error)
                continue
            if line:
                self.warnings.append(line)
        return merged

    def _join(self, merged: Face, face: Face, path: Path) -> Face:
        for name in ("coefficients", "attributes"):
            if getattr(merged, name) is not None and getattr(face, name) is not None:
                error = ClipError(f"holds the face's {name} a second time", path, "keep one")
                if self._strict:
                    raise error
                self.warnings.append(f"{path.name} holds the face's {name} a second time: not read")
        return Face(
            face.coefficients if merged.coefficients is None else merged.coefficients,
            face.attributes if merged.attributes is None else merged.attributes,
        )

    def _without(self, name: str, error: ClipError) -> None:
        if self._strict:
            raise error
        self.error = self.error or error
        self.warnings.append(f"goes without the {name} of {error}")
