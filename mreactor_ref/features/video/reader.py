"""Readers of the face in a video: what all of them offer, and the one of the package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Protocol

from mreactor_ref.features.video.channels import TRUSTED
from mreactor_ref.features.video.description import VideoFace, describe
from mreactor_ref.features.video.expression import Judge
from mreactor_ref.features.video.frames import Frame, read_frames
from mreactor_ref.features.video.networks import SHA256
from mreactor_ref.features.video.track import follow_face
from mreactor_ref.head.head import HEAD_FILE

EMOTIEFFLIB = "emotiefflib"  # in place of a folder: where that package keeps its network
ReadFrames = Callable[[Path], Iterator[Frame]]
VERSION = 1  # of what is made of the networks' output; a new one reads kept videos again


class FaceReader(Protocol):
    """Reads the face out of a video; results are kept under its name."""

    @property
    def name(self) -> str: ...

    def read(self, path: Path) -> VideoFace:
        """Read the face of the video.

        Raises:
            ClipError: the file cannot be read, or has no pictures.
        """
        ...


class MeshReader:
    """The reader of the package: landmarks, blendshapes, action units by rule.

    Args:
        judge: another judge of expressions than the package's, such as `EmotiEffNet`.
        frames: decodes a video.
    """

    def __init__(self, judge: Judge | None = None, frames: ReadFrames = read_frames) -> None:
        self._judge, self._frames = judge, frames

    @property
    def name(self) -> str:
        """Changes with the networks, the head, the judge and VERSION."""
        judge = self._judge.name if self._judge else ""
        made_of = "".join([str(VERSION), judge, *SHA256.values()]).encode()
        digest = hashlib.sha256(made_of + HEAD_FILE.read_bytes()).hexdigest()
        return f"mesh-{digest[:12]}"

    def read(self, path: Path) -> VideoFace:
        trusted = (*TRUSTED, *(self._judge.trusted if self._judge else ()))
        return describe(follow_face(self._frames(path), self._judge), trusted)


def open_face_reader(
    expression_model: str | None = None, frames: ReadFrames = read_frames
) -> FaceReader:
    """The reader of the package; several threads can share it.

    Args:
        expression_model: the folder of EmotiEffLib's network, or EMOTIEFFLIB, in place of the
            judge of expressions that comes with the package.
        frames: decodes a video.

    Raises:
        UsageError: that network is not to be had, or is another one.
    """
    return MeshReader(_open_judge(expression_model), frames)


@cache
def _open_judge(model: str | None) -> Judge | None:
    if model is None:
        return None
    from mreactor_ref.features.video.emotieffnet import EmotiEffNet

    return EmotiEffNet(None if model == EMOTIEFFLIB else model)
