"""Readers of the face in a video: what all of them offer, and the one of the package."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Protocol

from mreactor_ref.features.video.channels import TRUSTED
from mreactor_ref.features.video.description import VideoFace, describe
from mreactor_ref.features.video.expression import Judge
from mreactor_ref.features.video.frames import read_frames
from mreactor_ref.features.video.networks import SHA256
from mreactor_ref.features.video.track import follow_face
from mreactor_ref.head.head import HEAD_FILE

EMOTIEFFLIB = "emotiefflib"  # in place of a folder: where that package keeps its network
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
    """

    def __init__(self, judge: Judge | None = None) -> None:
        self._judge = judge

    @property
    def name(self) -> str:
        """Changes with the networks, the head, the judge and VERSION."""
        judge = self._judge.name if self._judge else ""
        made_of = "".join([str(VERSION), judge, *SHA256.values()]).encode()
        digest = hashlib.sha256(made_of + HEAD_FILE.read_bytes()).hexdigest()
        return f"mesh-{digest[:12]}"

    def read(self, path: Path) -> VideoFace:
        trusted = (*TRUSTED, *(self._judge.trusted if self._judge else ()))
        return describe(follow_face(read_frames(path), self._judge), trusted)


@cache
def open_face_reader(expression_model: str | None = None) -> FaceReader:
    """The reader of the package; several threads can share it.

    Args:
        expression_model: the folder of EmotiEffLib's network, or EMOTIEFFLIB, in place of the
            judge of expressions that comes with the package.

    Raises:
        UsageError: that network is not to be had, or is another one.
    """
    if expression_model is None:
        return MeshReader()
    from mreactor_ref.features.video.emotieffnet import EmotiEffNet

    return MeshReader(EmotiEffNet(None if expression_model == EMOTIEFFLIB else expression_model))
