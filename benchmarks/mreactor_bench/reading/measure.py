"""How fast training reads prepared features on one core, and what memory it takes for that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from mreactor_bench.reading.long_tree import SPLIT, TreeSize
from mreactor_ref.data.draws import Draws, DropRates, statistics
from mreactor_ref.data.dyads import Dyads, load_dyads
from mreactor_ref.data.prepare import FeatureOptions, prepare_split
from mreactor_ref.data.prepared import FeatureType

Say = Callable[[str], None]
PIECES = 10  # of an epoch, after each of which the memory is looked at


@dataclass(frozen=True)
class Pass:
    """One way through the features.

    Attributes:
        frames: of speakers that were read. seconds: on the wall. core_seconds: of this thread.
        memory: bytes of this process's own after each tenth of the pass; mapped pages of files,
            which the system takes back when it needs them, do not count. Empty where the system
            does not tell.
    """

    frames: int
    seconds: float
    core_seconds: float
    memory: tuple[int, ...] = ()

    @property
    def frames_per_second(self) -> float:
        """On the wall."""
        return self.frames / self.seconds


@dataclass(frozen=True)
class Reading:
    """What was measured.

    Attributes:
        passes: what was done -> how it went.
        features: bytes of the prepared features.
    """

    passes: dict[str, Pass]
    features: int


def measure_reading(
    root: Path,
    size: TreeSize,
    folder: Path,
    *,
    dtype: FeatureType = "float32",
    window: int = 128,
    epochs: int = 2,
    say: Say,
) -> Reading:
    """Prepare the features of a tree and read them as training does, on one thread.

    An epoch draws as many windows as there are clips. Before the statistics and before the first
    epoch the system is asked to forget the files, so that both read the disk.

    Args:
        folder: of the features.
        window: frames of a training window, each with two reactions.
    """
    passes: dict[str, Pass] = {}
    with threadpool_limits(1):
        say("preparing")
        options = FeatureOptions(size.config(), folder, dtype)
        with _timed(passes, "prepare", size.clips * size.frames):
            prepare_split(root, SPLIT, options)
        say("opening")
        with _timed(passes, "open", size.clips * size.frames):
            dyads = load_dyads(root, SPLIT, size.config(), features=folder)
        say("statistics")
        forget(folder)
        with _timed(passes, "statistics", size.clips * size.frames):
            stats = statistics(dyads, size.config())
        draws = Draws(
            *(dyads, stats),
            **{"first": 0, "last": epochs * size.clips, "frames": window, "reactions": 2},
            drop=DropRates(),
            seed=0,
        )
        forget(folder)
        for epoch in range(epochs):
            say(f"epoch {epoch + 1}")
            passes[f"epoch {epoch + 1}"] = _epoch(draws, dyads, epoch)
    bytes_there = sum(path.stat().st_size for path in folder.iterdir())
    return Reading(passes, bytes_there)


def forget(folder: Path) -> None:
    """Ask the system to drop what it keeps in memory of files, where it can be asked."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def own_memory() -> int | None:
    """Bytes of this process that are no mapped file; None where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    for line in status.read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return None


def _epoch(draws: Draws, dyads: Dyads, epoch: int) -> Pass:
    count, frames, memory = len(dyads), 0, list[int]()
    pieces = {round(count * (piece + 1) / PIECES) for piece in range(PIECES)}
    started, of_core = time.perf_counter(), time.thread_time()
    for i in range(count):
        frames += int(draws[epoch * count + i]["mask"].sum())
        if i + 1 in pieces and (bytes_now := own_memory()) is not None:
            memory.append(bytes_now)
    seconds, core_seconds = time.perf_counter() - started, time.thread_time() - of_core
    return Pass(frames, seconds, core_seconds, tuple(memory))


@contextmanager
def _timed(passes: dict[str, Pass], name: str, frames: int) -> Generator[None]:
    started, of_core = time.perf_counter(), time.thread_time()
    yield
    seconds, core_seconds = time.perf_counter() - started, time.thread_time() - of_core
    memory = own_memory()
    passes[name] = Pass(frames, seconds, core_seconds, () if memory is None else (memory,))
