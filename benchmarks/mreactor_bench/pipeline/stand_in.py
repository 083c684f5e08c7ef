"""A device that takes a known time for a clip, and clips that cost next to nothing to read.

What is left of a run is what a fast device waits for: reading, priors, noise, tensors, writing.
The device works off its queue beside the host, as a GPU does; its encoder takes no time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mreactor_bench.reading.long_tree import SESSION_CLIPS, SPLIT, TreeSize, write_long_tree
from mreactor_ref.config import ModelConfig
from mreactor_ref.emotion.priors import Priors
from mreactor_ref.errors import ClipError
from mreactor_ref.schedule import SolverTable
from mreactor_ref.signals import MINILM_WIDTH, REACTION, WAV2VEC_WIDTH, SpeakerClip
from mreactor_runtime.device_clock import DeviceClock
from mreactor_runtime.opening import ModelFacts
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.sampling_options import Sampling
from mreactor_runtime.tensors import MODULATION, MODULATOR, TIMESTEP

SENTENCES = (  # each clip has some of them, so that no two have the same words
    *("I have won the prize.", "My dog died last night.", "We are moving to another town."),
    *("The train was late again.", "She said yes!", "They have cut my hours at work."),
    *("It is raining, and I forgot my coat.", "I passed the last of my exams."),
)
SECONDS_A_SENTENCE = 5


def write_clips(root: Path, clips: int, frames: int, has_words: bool) -> ModelConfig:
    """A tree of clips with features of sound and face, and with subtitles where asked for.

    Returns: the sizes of a model that takes them: `base`, with words for MiniLM.
    """
    size = TreeSize(clips, frames, WAV2VEC_WIDTH)
    write_long_tree(root, size)
    values = size.config().to_dict() | {"words_encoder": "minilm", "words": MINILM_WIDTH}
    config = ModelConfig.from_dict(values)
    for clip in range(clips if has_words else 0):
        session = f"session{clip // SESSION_CLIPS}"
        path = root / SPLIT / "words/speaker" / session / f"Camera-{clip}.srt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_subtitles(clip, frames / config.fps), encoding="utf-8")
    return config


def _subtitles(clip: int, seconds: float) -> str:
    cues = range(max(1, int(seconds // SECONDS_A_SENTENCE)))
    return "\n".join(
        f"{cue + 1}\n{_time(cue)} --> {_time(cue + 1)}\n"
        f"{SENTENCES[(clip + cue) % len(SENTENCES)]} That was number {clip}.\n"
        for cue in cues
    )


def _time(cue: int) -> str:
    minutes, seconds = divmod(SECONDS_A_SENTENCE * cue, 60)
    return f"00:{minutes:02}:{seconds:02},000"


class StandIn(Sampler):
    """A sampler whose device sleeps so many seconds for a clip, one clip after the other."""

    def __init__(self, seconds: float):
        self.clock = DeviceClock(torch.device("cpu"))
        self._seconds = seconds
        self._device = ThreadPoolExecutor(1, "device")
        self._queued: list[Future[None]] = []

    def run(
        self,
        inputs: Mapping[str, Tensor],
        start: Tensor,
        table: SolverTable,
        modulation: Tensor,
        guidance: float = 1.0,
        noise: Callable[[int], Tensor] | None = None,
    ) -> Tensor:
        """Queue a clip, once its noise is there; its result is the noise."""
        for step in table.noisy_steps:
            assert noise is not None
            noise(step)
        self._queued.append(self._device.submit(self._work))
        return start

    def prepare(
        self, sizes: Iterable[Mapping[str, int]], table: SolverTable, guidance: float = 1.0
    ) -> None:
        """There is nothing to record."""

    def _work(self) -> None:
        with self.clock.span():
            time.sleep(self._seconds)

    def wait(self) -> None:
        """Until all that was queued is done."""
        for clip in self._queued:
            clip.result()
        self._queued.clear()

    def close(self) -> None:
        self.wait()


class StandInReactor(Reactor):
    """A reactor on that device."""

    def __init__(self, config: ModelConfig, seconds: float):
        shares = np.full(config.listeners, 1 / config.listeners, np.float32)
        channels = torch.zeros(REACTION), torch.ones(REACTION)
        super().__init__(ModelFacts("stand-in", "0" * 64, config, *channels, shares), _NoEngine())
        self.stand_in = self._sampler = StandIn(seconds)
        self.clock = self.stand_in.clock

    def generate_batch(
        self, clips: Sequence[SpeakerClip], priors: Sequence[Priors], sampling: Sampling
    ) -> list[ClipReactions | ClipError]:
        results = super().generate_batch(clips, priors, sampling)
        self.stand_in.wait()
        return results


class _NoEngine:
    """Takes no time, and computes nothing."""

    name, keeps_scores, device = "stand-in", False, torch.device("cpu")

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {MODULATION: torch.zeros(len(inputs[TIMESTEP]), 1, 1)} if graph == MODULATOR else {}
