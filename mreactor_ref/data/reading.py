"""How the files of clips are read, as one value, and the reader that it asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mreactor_ref.config import ModelConfig
from mreactor_ref.features.transcribe_options import TranscribeOptions, open_transcriber

if TYPE_CHECKING:
    import torch

    from mreactor_ref.data.clips import FeatureReader
    from mreactor_ref.features.words import Transcript
    from mreactor_ref.signals import Array


Hear = Callable[["Array"], "Transcript"]


@dataclass(frozen=True)
class ReadOptions:
    """How the files of clips are read.

    Attributes:
        strict: a file that cannot be read is its clip's error; else the clip goes without it.
        video_faces: whether the face of a video is read, where a clip has no other.
        transcribe: how words are found in a sound, where a clip has none.
    """

    strict: bool = False
    video_faces: bool = True
    transcribe: TranscribeOptions = field(default_factory=TranscribeOptions)


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
) -> FeatureReader:
    """A reader of clips for a model.

    Args:
        hear: of `open_hearing`, which several readers can share.
        device: where encoders that are neural networks run.
    """
    from mreactor_ref.data.clips import FeatureReader
    from mreactor_ref.features.video import read_face_of_video

    options = options or ReadOptions()
    face = read_face_of_video if options.video_faces else None
    return FeatureReader(config, device, strict=options.strict, video_face=face, transcriber=hear)
