"""Reads the clips of requests, in any thread: streams out of uploaded files, and priors."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Self

import torch

from mreactor_ref.data.clips import ClipFiles, FeatureReader, find_clips
from mreactor_ref.data.reading import Hear, ReadOptions, open_reader
from mreactor_ref.emotion.priors import assign
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.decoder import Decoder
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.reading import Read
from mreactor_runtime.sampling_options import Sampling
from mreactor_runtime.serve.features import Features, as_clip
from mreactor_runtime.serve.problems import without
from mreactor_runtime.serve.uploads import Upload


class RequestReader:
    """Reads the clips of requests.

    As `run.reading.ClipReader` reads those of a run, each thread has encoders of its own, sound and
    video are decoded in a process beside it, and the source of priors is asked by one at a time.
    Each request has a sampling of its own, and nothing of it is kept: the face of a video stays out
    of the cache folder.

    Args:
        reactor: whose model the clips are for.
        seconds: of a clip, at the most.
        options: how files are read. hear: what finds words in a sound.
    """

    def __init__(
        self,
        reactor: Reactor,
        seconds: float,
        options: ReadOptions | None = None,
        hear: Hear | None = None,
    ):
        self._reactor, self._seconds = reactor, seconds
        self._options, self._hear = options or ReadOptions(), hear
        self._asking = threading.Lock()
        self._of_thread = threading.local()
        self._decoder = Decoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._decoder.__exit__(*error)

    def read(self, source: Upload | Features, clip_id: str, sampling: Sampling) -> Read:
        """A clip and its priors.

        Raises:
            ClipError: it cannot be read, is too long, or does not fit the model.
        """
        started = time.perf_counter()
        warnings: list[str] = []
        files = ClipFiles(clip_id)
        if isinstance(source, Upload):
            files = replace(_files_of(source), id=clip_id)
            clip, lines = self._features().read(files)
            warnings = [without(source.folder, line) for line in lines]
        else:
            clip = as_clip(source, clip_id, self._reactor.config)
        self._check_length(clip)
        with self._asking:
            priors = assign(
                *(clip.utterances, self._reactor.source, sampling.samples, sampling.seed, clip.id)
            )
        seconds = time.perf_counter() - started
        return Read(files, seconds, None, clip, priors, tuple(warnings), (), None)

    def _check_length(self, clip: SpeakerClip) -> None:
        if clip.frames > self._seconds * clip.fps:
            problem = f"lasts {clip.frames / clip.fps:.1f} s, more than {self._seconds:g} s"
            raise ClipError(problem, clip.id, "cut it into several clips")

    def _features(self) -> FeatureReader:
        if not hasattr(self._of_thread, "features"):
            torch.set_num_threads(1)  # of the kernels that this thread starts
            device = self._reactor.engine.device
            self._of_thread.features = open_reader(
                *(self._reactor.config, self._options, self._hear, device, self._decoder),
                keep_faces=False,
            )
        return self._of_thread.features


def _files_of(upload: Upload) -> ClipFiles:
    """The files as those of a folder with one clip. Raises ClipError where they are none."""
    try:
        clips = find_clips(upload.folder).clips
    except UsageError as error:
        raise ClipError("no clip can be read from its files", fix=error.fix) from None
    if len(clips) != 1 or not isinstance(clips[0], ClipFiles):
        raise ClipError("its files are not those of one clip")
    return clips[0]
