"""Reads clips in threads: their streams from files, and the priors of what is said in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.clips import BadClip, ClipFiles, FeatureReader
from mreactor_ref.data.reading import Hear, ReadOptions, open_reader
from mreactor_ref.emotion.priors import Priors, PriorSource, assign
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import ClipError
from mreactor_ref.features.decoder import Decoder
from mreactor_ref.features.video import open_face_reader, read_video_face
from mreactor_ref.features.video.table import as_table
from mreactor_ref.signals import SpeakerClip
from mreactor_ref.stages import listening
from mreactor_runtime.engines.names import CUDA
from mreactor_runtime.run.manifest import state_of
from mreactor_runtime.sampling_options import Sampling

AHEAD_OF_OTHERS = -1  # priority of a CUDA stream

# Says how the priors of a clip came about: anything that JSON can hold.
Explain = Callable[[SpeakerClip], Any]


@dataclass(frozen=True)
class Read:
    """A clip that was read, and the priors of the reactions to it.

    Attributes:
        seconds: that all this took. state: of the files, before they were read.
        priors: of each reaction. warnings: of the reader. notes: of the source of priors.
        explanation: from `Explain`.
        face_table: the face that was read out of the clip's video, as `<clip>.face.csv` has it.
    """

    files: ClipFiles
    seconds: float
    state: str | None
    clip: SpeakerClip
    priors: Priors
    warnings: Sequence[str]
    notes: Sequence[str]
    explanation: Any
    face_table: bytes | None = None

    @property
    def frames(self) -> int:
        return self.clip.frames


@dataclass(frozen=True)
class Unread:
    """A clip that could not be read, or has no priors. seconds: that trying took."""

    files: ClipFiles | BadClip
    seconds: float
    error: BaseException

    frames = 0


class ClipReader:
    """Reads clips and asks for their priors, in any thread.

    Each thread has encoders of its own: tokenizers need that. The source of priors is asked by one
    thread at a time, unless it says that it takes more (`ExpressiveRecovery.is_concurrent`).

    A thread that reads beside the sampler uses one core, so as not to stand in its way. (The
    streams are the same, to the last bit, for any number of threads.) On CUDA the encoders run
    there too, so that a large one on a core does not keep the sampler waiting; each thread has a
    stream of its own there, which goes before the sampler's, so that a short encoder does not wait
    for the graphs of whole clips. Sound and video are decoded in a process beside each thread,
    where a broken file breaks nothing else.

    Args:
        source: of the priors. sampling: how many reactions need some, and the seed.
        explain: says how the priors of a clip came about.
        beside: whether it reads in threads beside the sampler. device: of the encoders.
        options: how files are read. hear: what finds words in a sound.
        reached: told how far a stage of a clip is: its id, the stage, the part.
    """

    def __init__(
        self,
        config: ModelConfig,
        source: PriorSource,
        sampling: Sampling,
        explain: Explain | None,
        beside: bool,
        device: torch.device,
        options: ReadOptions | None = None,
        hear: Hear | None = None,
        reached: Callable[[str, str, float], None] = lambda clip_id, stage, part: None,
    ):
        self._config, self._beside, self._device = config, beside, device
        self._source, self._sampling, self._explain = source, sampling, explain
        self._options, self._hear = options or ReadOptions(), hear
        self._reached = reached
        concurrent = isinstance(source, ExpressiveRecovery) and source.is_concurrent
        self._asking = nullcontext() if concurrent else threading.Lock()
        self._noting = threading.Lock()
        self._told = len(source.notes)  # notes that are not new
        self._of_thread = threading.local()
        self._decoder = Decoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._decoder.__exit__(*error)

    def __call__(self, files: ClipFiles | BadClip) -> Read | Unread:
        """An error is returned, not raised: it counts in the clip's turn."""
        started = time.perf_counter()
        state = state_of(files)
        try:
            if isinstance(files, BadClip):
                raise files.error
            with listening(partial(self._reached, files.id)), self._stream():
                clip, warnings = self._features().read(files)
            if state_of(files) != state:
                raise ClipError("its files changed while they were read", fix="run it again")
            table = self._face_table(files, clip)
            with self._asking:
                priors = self._priors(clip)
                explanation = self._explain(clip) if self._explain else None
                notes = self._new_notes()
        except BaseException as error:
            return Unread(files, time.perf_counter() - started, error)
        seconds = time.perf_counter() - started
        return Read(files, seconds, state, clip, priors, warnings, notes, explanation, table)

    def _face_table(self, files: ClipFiles, clip: SpeakerClip) -> bytes | None:
        """The face of the video, from the cache folder, where the clip's face came from there."""
        if files.video is None or files.faces or clip.attributes is None:
            return None
        reader = open_face_reader(self._options.expression_model, self._decoder.read_frames)
        return as_table(read_video_face(files.video, reader))

    def _priors(self, clip: SpeakerClip) -> Priors:
        samples, seed = self._sampling.samples, self._sampling.seed
        return assign(clip.utterances, self._source, samples, seed, clip.id)

    def _new_notes(self) -> list[str]:
        with self._noting:
            notes = list(self._source.notes[self._told :])
            self._told += len(notes)
            return notes

    def _stream(self) -> AbstractContextManager[Any]:
        """What the encoders of this thread are queued on, made current."""
        if self._device.type != CUDA or not self._beside:
            return nullcontext()
        if not hasattr(self._of_thread, "stream"):
            self._of_thread.stream = torch.cuda.Stream(self._device, priority=AHEAD_OF_OTHERS)
        return torch.cuda.stream(self._of_thread.stream)

    def _features(self) -> FeatureReader:
        if not hasattr(self._of_thread, "features"):
            if self._beside:
                torch.set_num_threads(1)  # of the kernels that this thread starts
            self._of_thread.features = open_reader(
                self._config, self._options, self._hear, self._device, self._decoder
            )
        return self._of_thread.features
