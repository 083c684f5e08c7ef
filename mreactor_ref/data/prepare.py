"""Prepares the features of a tree ahead of training: in shards, and on from where it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.dyads import prepare_pair
from mreactor_ref.data.layout import MARS_SPEAKER
from mreactor_ref.data.pairs import Pair
from mreactor_ref.data.prepared import FeatureType, Prepared
from mreactor_ref.data.trees import read_tree
from mreactor_ref.errors import ClipError, MReactorError, UsageError

CPU = "cpu"
BLOCK = 8  # pairs that a process gets at once


@dataclass(frozen=True)
class PreparedSplit:
    """What became of a shard of a split, or of a part of it.

    Attributes:
        made, kept: clips whose features were made now, and were there before.
        problems: one for each clip that cannot be used.
    """

    made: int = 0
    kept: int = 0
    problems: tuple[ClipError, ...] = ()

    def __add__(self, other: PreparedSplit) -> PreparedSplit:
        problems = (*self.problems, *other.problems)
        return PreparedSplit(self.made + other.made, self.kept + other.kept, problems)


@dataclass(frozen=True)
class FeatureOptions:
    """Where features are kept, and how they are made.

    Attributes:
        config: the model whose encoders and frames they are for.
        folder: of the features; in the user's cache if None. Shards may write into one.
        dtype: of sound and words.
        device: of the encoders.
    """

    config: ModelConfig
    folder: Path | None = None
    dtype: FeatureType = "float32"
    device: str = CPU


def prepare_split(
    root: Path,
    split: str,
    options: FeatureOptions,
    *,
    roles: Sequence[str] = (MARS_SPEAKER,),
    fps: float | None = None,
    shard: tuple[int, int] = (1, 1),
    devices: Sequence[str] = (CPU,),
    progress: Callable[[int, int], None] | None = None,
) -> PreparedSplit:
    """Make what is missing of the features of a split.

    Args:
        root, split, roles, fps: see `read_tree`.
        shard: (i, n): of the pairs every n-th, from the i-th on, counted from 1.
        devices: of the encoders, in place of that of the options; a process for each where there
            are several.
        progress: called with the number of pairs done and their total.

    Raises:
        UsageError: the tree cannot be used, the folder cannot be written, or there is no such
            device.
        MReactorError: a process was killed. What was made is kept.
    """
    tree = read_tree(root, split, roles, fps, matrix=False)
    first, step = shard
    pairs = tree.pairs[first - 1 :: step]
    done, result = 0, PreparedSplit(problems=tree.problems if first == 1 else ())
    for part in _parts(pairs, tree.fps, options, devices):
        result += part
        done += part.made + part.kept + len(part.problems)
        if progress is not None:
            progress(done, len(pairs))
    return result


def choose_devices(names: str) -> list[str]:
    """The devices of a list with commas; of "auto" every GPU, or the CPU where there is none.

    Raises:
        UsageError: torch sees no such device.
    """
    import torch

    count = torch.cuda.device_count()
    if names == "auto":
        return [f"cuda:{number}" for number in range(count)] or [CPU]
    devices = [name.strip() for name in names.split(",")]
    devices = [f"cuda:{name}" if name.isdecimal() else name for name in devices]
    known = {CPU, *(f"cuda:{number}" for number in range(count))}
    for device in devices:
        if device not in known:
            fix = f"there is: {', '.join(sorted(known))}"
            raise UsageError(f"no device {device!r}", fix=fix)
    return devices


def _parts(
    pairs: Sequence[Pair], fps: float, options: FeatureOptions, devices: Sequence[str]
) -> Iterator[PreparedSplit]:
    """What becomes of the pairs, a few at a time."""
    if len(devices) == 1:
        prepare = partial(_prepare, options=replace(options, device=devices[0]), fps=fps)
        yield from (prepare((pair,)) for pair in pairs)
        return
    with _processes(len(devices)) as processes:
        futures: list[Future[PreparedSplit]] = []
        for number, start in enumerate(range(0, len(pairs), BLOCK)):
            turn = number % len(devices)
            here = replace(options, device=devices[turn])
            block = pairs[start : start + BLOCK]
            futures.append(processes[turn].submit(_prepare, block, here, fps))
        try:
            yield from (future.result() for future in as_completed(futures))
        except BrokenProcessPool:
            raise MReactorError(
                "a process that prepared features was killed; what was made is kept",
                options.folder,
                "run again to go on, with fewer --devices if the memory was too small",
            ) from None


@contextmanager
def _processes(count: int) -> Generator[list[ProcessPoolExecutor]]:
    """So many pools of one process, each of which keeps what it has loaded."""
    cores = max(1, len(os.sched_getaffinity(0)) // count)
    pools = [
        ProcessPoolExecutor(1, get_context("spawn"), _use_cores, (cores,)) for _ in range(count)
    ]
    try:
        yield pools
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _use_cores(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _prepare(pairs: Iterable[Pair], options: FeatureOptions, fps: float) -> PreparedSplit:
    """Prepare some pairs in this process."""
    prepared, result = _opened(options), PreparedSplit()
    for pair in pairs:
        try:
            there = prepared.has_clip(pair.speaker)
            prepare_pair(pair, prepared, fps)
            result += PreparedSplit(made=not there, kept=there)
        except ClipError as error:
            result += PreparedSplit(problems=(error,))
    return result


@cache
def _opened(options: FeatureOptions) -> Prepared:
    """Encoders are loaded once in a process."""
    return Prepared(options.config, options.folder, options.dtype, options.device)
