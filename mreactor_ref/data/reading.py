"""How the files of clips are read, as one value, and the reader that it asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from mreactor_ref.config import ModelConfig
from mreactor_ref.features.transcribe_options import (
    TranscribeOptions,
    open_transcriber,
    transcribe_options,
)

if TYPE_CHECKING:
    import torch

    from mreactor_ref.data.clips import FeatureReader
    from mreactor_ref.features.decoder import Decoder
    from mreactor_ref.features.words import Transcript
    from mreactor_ref.signals import Array


Hear = Callable[["Array"], "Transcript"]


@dataclass(frozen=True)
class ReadOptions:
    """How the files of clips are read.

    Attributes:
        strict: a file that cannot be read is its clip's error; else the clip goes without it.
        video_faces: whether the face of a video is read, where a clip has no other.
        expression_model: another judge of expressions, as `open_face_reader` takes it.
        transcribe: how words are found in a sound, where a clip has none.
    """

    strict: bool = False
    video_faces: bool = True
    expression_model: str | None = None
    transcribe: TranscribeOptions = field(default_factory=TranscribeOptions)


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of reading clips, passed on as one argument, `reading`."""
    names = ("strict", "video_faces", "expression_model", "transcribe")

    @wraps(command)
    def gathered(**values: Any) -> None:
        reading = ReadOptions(**{name: values.pop(name) for name in names})
        command(**values, reading=reading)

    options = (
        transcribe_options(),
        click.option(
            "--video-faces/--no-video-faces",
            default=True,
            help="Read the face of a video where a clip has no other.",
        ),
        click.option(
            "--expression-model",
            metavar="FOLDER|emotiefflib",
            help="Another judge of expressions in videos: EmotiEffLib's network, from its folder.",
        ),
        click.option(
            "--strict",
            is_flag=True,
            help="Fail a clip whose files cannot all be read, instead of going without one.",
        ),
    )
    with_options: Callable[..., None] = gathered
    for option in reversed(options):
        with_options = option(with_options)
    return with_options


def check_faces(options: ReadOptions) -> None:
    """Find out before any work whether faces can be read as the options ask for.

    Raises:
        UsageError: the judge of expressions is not to be had.
    """
    if options.video_faces and options.expression_model is not None:
        from mreactor_ref.features.video import open_face_reader

        open_face_reader(options.expression_model)


def open_hearing(options: ReadOptions, device: str = "auto") -> Hear | None:
    """A function that finds words in a sound, for any number of threads; None without a model.

    Raises:
        UsageError: faster-whisper is not installed, or the weights are not to be had.
    """
    transcriber = open_transcriber(options.transcribe, device)
    if transcriber is None:
        return None
    turn = threading.Lock()

    def hear(wave: Array) -> Transcript:
        with turn:
            return transcriber(wave)

    return hear


def open_reader(
    config: ModelConfig,
    options: ReadOptions | None = None,
    hear: Hear | None = None,
    device: torch.device | str = "cpu",
    decoder: Decoder | None = None,
    keep_faces: bool = True,
) -> FeatureReader:
    """A reader of clips for a model.

    Args:
        hear: of `open_hearing`, which several readers can share.
        device: where encoders that are neural networks run.
        decoder: of sound and video; None decodes in this process.
        keep_faces: keep the faces of videos in the cache folder, and take them from there.

    Raises:
        UsageError: the judge of expressions is not to be had.
    """
    from mreactor_ref.data.clips import FeatureReader
    from mreactor_ref.features.sound import read_sound
    from mreactor_ref.features.video import open_face_reader, read_face_of_video, read_frames

    options, face = options or ReadOptions(), None
    if options.video_faces:
        frames = decoder.read_frames if decoder else read_frames
        reader = open_face_reader(options.expression_model, frames)
        face = partial(read_face_of_video, reader=reader, keep=keep_faces)
    return FeatureReader(
        config,
        device,
        strict=options.strict,
        read_sound=decoder.read_sound if decoder else read_sound,
        video_face=face,
        transcriber=hear,
    )
