"""What the tests of runs share: quick reactors, clips without words, and what a run has left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fakes.engines import FakeEngine, TwoSubjects, fake_model
from mreactor_ref.emotion.priors import Priors
from mreactor_ref.errors import ClipError
from mreactor_ref.signals import COEFFICIENTS, SpeakerClip
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.summary import Outcome
from mreactor_runtime.sampling_options import Sampling, changed


class Heard:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        self.clips: int | None = None
        self.said: list[str] = []
        self.outcomes: list[Outcome] = []

    def begin(self, clips: int) -> None:
        assert self.clips is None  # a run begins once
        self.clips = clips

    def say(self, text: str) -> None:
        self.said.append(text)

    def reached(self, *_): ...

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def ids(self) -> list[str]:
        return [outcome.clip_id for outcome in self.outcomes]


class SlowEngine(FakeEngine):
    """A fake that takes its time for a clip, asleep."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def encoder(self, **inputs: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        time.sleep(self.seconds)
        return super().encoder(**inputs)


class BatchReactor(Reactor):
    """A fake that takes clips of one bucket together, and keeps the sizes of its batches.

    Attributes:
        room: clips for which its memory suffices.
    """

    def __init__(self, room: int = 1000, error: Exception | None = None):
        super().__init__(fake_model(), FakeEngine(), TwoSubjects())
        self.room, self.error = room, error
        self.batches: list[int] = []

    def generate_batch(
        self, clips: Sequence[SpeakerClip], priors: Sequence[Priors], sampling: Sampling
    ) -> list[ClipReactions | ClipError]:
        self.batches.append(len(clips))
        if len(clips) > self.room:
            raise self.error or RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().generate_batch(clips, priors, sampling)


def run_options(**values: Any) -> Options:
    """Options of a run, and of its sampling where it has those names."""
    of_run = {
        field.name: values.pop(field.name) for field in fields(Options) if field.name in values
    }
    return Options(sampling=changed(Sampling(), **values), **of_run)


def reactor(engine: FakeEngine | None = None) -> Reactor:
    return Reactor(fake_model(), engine or FakeEngine(), source=TwoSubjects())


def open_fake(device: str, threads: int | None):
    """For a process of its own."""
    assert device == "cpu"
    assert threads
    return reactor(), [], None


def open_marked(folder: Path, seconds: float, device: str, threads: int | None):
    """Likewise, with a file in a folder whose name is the process, and so long for each clip."""
    (folder / str(os.getpid())).touch()
    return reactor(SlowEngine(seconds)), [], None


def write_faces(folder: Path, frames: dict[str, int]) -> None:
    """Clips of nothing but a face, which are read in no time."""
    for seed, (name, length) in enumerate(frames.items()):
        path = folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed).normal(size=(length, COEFFICIENTS))
        np.save(path, values.astype(np.float32))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def results_of(folder: Path) -> dict[str, bytes]:
    """Each npz by its path below the folder."""
    found = folder.rglob("*.npz")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def files_in(folder: Path) -> set[str]:
    """All files, hidden ones too."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def terminated(code: str, arguments: list[str], output: Path) -> tuple[int, str, str]:
    """Run Python code in a process, and end it by SIGTERM when three clips are done.

    Args: output: of the run that the code does.
    Returns: its exit code, standard output and standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    manifest = output / "manifest.jsonl"
    latest = time.monotonic() + 90
    while time.monotonic() < latest:
        if manifest.is_file() and manifest.read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.1)
    process.terminate()
    told, errors = process.communicate(timeout=60)
    return process.returncode, told, errors
