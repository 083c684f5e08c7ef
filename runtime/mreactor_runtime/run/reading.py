"""What the threads that read make of a clip's files: streams, and the priors of what is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.clips import BadClip, ClipFiles, FeatureReader
from mreactor_ref.emotion.priors import Prior, PriorSource
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.run.manifest import state_of

# Says how the priors of a clip came about: anything that JSON can hold.
Explain = Callable[[SpeakerClip], Any]


@dataclass(frozen=True)
class Read:
    """A clip that was read, or the error that came of it.

    Attributes:
        warnings: of the reader. notes: of the source of priors.
        explained: what `Explain` said. seconds: that all this took.
        state: of the files, before they were read.
    """

    files: ClipFiles | BadClip
    seconds: float
    state: str | None = None
    clip: SpeakerClip | None = None
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    explained: Any = None
    error: BaseException | None = None

    @property
    def frames(self) -> int:
        return self.clip.frames if self.clip else 0


class PriorsAhead:
    """A source of priors that is asked while a clip is read, and remembers until it is needed.

    The source is asked by one thread at a time: its models and notes are not made for more.
    """

    def __init__(self, source: PriorSource):
        self.source = source
        self._lock = threading.Lock()
        self._known: dict[tuple[str, ...], list[tuple[Prior, ...]]] = {}
        self._told = len(source.notes)

    @property
    def notes(self) -> Sequence[str]:
        return self.source.notes

    def foresee(self, clip: SpeakerClip, explain: Explain | None) -> tuple[Any, list[str]]:
        """Ask for the priors of a clip now. What `explain` says of it, and the new notes."""
        texts = tuple(utterance.text for utterance in clip.utterances)
        with self._lock:
            self._known[texts] = self.source.priors(texts)
            return explain(clip) if explain else None, self._new_notes()

    def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
        """See `PriorSource`."""
        known = self._known.get(tuple(utterances))
        if known is not None:
            return known
        with self._lock:
            return self.source.priors(utterances)

    def forget(self, clip: SpeakerClip) -> None:
        """The clip is done. (Another with the same words asks again.)"""
        self._known.pop(tuple(utterance.text for utterance in clip.utterances), None)

    def new_notes(self) -> list[str]:
        """What nobody was told yet."""
        with self._lock:
            return self._new_notes()

    def _new_notes(self) -> list[str]:
        new = list(self.source.notes[self._told :])
        self._told += len(new)
        return new


class ClipReader:
    """Reads clips, in any thread. Each thread has encoders of its own: tokenizers need that.

    A thread that reads beside the sampler uses one core, so as not to stand in its way. (The
    streams are the same, to the last bit, for any number of threads.) On CUDA the encoders run
    there too, so that a large one on a core does not keep the sampler waiting.
    """

    def __init__(
        self,
        config: ModelConfig,
        priors: PriorsAhead,
        explain: Explain | None,
        beside: bool,
        device: torch.device,
    ):
        self._config, self._priors, self._explain = config, priors, explain
        self._beside, self._device = beside, device
        self._own = threading.local()

    def __call__(self, files: ClipFiles | BadClip) -> Read:
        """An error is returned, not raised: it counts in the clip's turn."""
        started = time.perf_counter()
        state = state_of(files)
        try:
            if isinstance(files, BadClip):
                raise files.error
            clip, warnings = self._features().read(files)
            explained, notes = self._priors.foresee(clip, self._explain)
        except BaseException as error:
            return Read(files, time.perf_counter() - started, state, error=error)
        spent = time.perf_counter() - started
        return Read(files, spent, state, clip, warnings, notes, explained)

    def _features(self) -> FeatureReader:
        if not hasattr(self._own, "features"):
            if self._beside:
                torch.set_num_threads(1)  # of the kernels that this thread starts
            self._own.features = FeatureReader(self._config, self._device)
        return self._own.features
