"""How busy a device of known speed is kept from files to files, and what it waits for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import torch

from mreactor_bench.pipeline.stand_in import StandInReactor, write_clips
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.clips import BadClip, ClipFiles, find_clips
from mreactor_ref.emotion.priors import assign
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.noise import INITIAL, normal
from mreactor_ref.signals import REACTION
from mreactor_runtime.batching import bucket
from mreactor_runtime.run.job import InProcess, Job, do_job
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.plan import plan_run
from mreactor_runtime.run.reading import ClipReader, Read
from mreactor_runtime.run.summary import Silent
from mreactor_runtime.sampling_options import Sampling

CPU = torch.device("cpu")
BUSY = 0.9  # what a device is to be kept
TIMED = 20  # clips whose single parts are timed


@dataclass(frozen=True)
class Clips:
    """What is run: a tree of so many clips, read for a model of these sizes."""

    root: Path
    config: ModelConfig
    frames: int
    samples: int


@dataclass(frozen=True)
class Run:
    """One run over all clips.

    Attributes:
        readers: threads that read. busy: of the seconds, the device's.
        seconds: on the wall, without what preparing the device took, which is in `stages`.
        core_seconds: of all threads of this process. stages: seconds by stage, which overlap.
    """

    readers: int
    clips: int
    seconds: float
    busy: float
    core_seconds: float
    stages: dict[str, float]

    @property
    def busy_share(self) -> float:
        """By the device's own clock."""
        return self.busy / self.seconds

    def cores_for(self, seconds: float) -> float:
        """Cores at work all the time that keep a device of so many seconds a clip BUSY, by the
        arithmetic: as if all that the host does could be shared out."""
        return BUSY * self.core_seconds / self.clips / seconds


def run_once(clips: Clips, seconds: float, readers: int, output: Path) -> Run:
    """From files to files, with a device that takes `seconds` a clip.

    PyTorch has one thread here, since beside a GPU the host has nothing that is worth more.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    reactor = StandInReactor(clips.config, seconds)
    options = Options(sampling=_sampling(reactor, clips), batch_size=16)
    clips_of_run, plan = find_clips(clips.root), plan_run(clips.root, reactor, options, (), None)
    in_process = InProcess(reactor, extras=(), explain=None, hear=None, readers=readers)
    job = Job(clips_of_run, output, plan, options, Silent(), in_process)
    reactor.source.priors(["Ready."])  # what is loaded once is no part of the run
    before = time.process_time()
    summary = do_job(job)
    core_seconds = time.process_time() - before
    torch.set_num_threads(threads)
    busy = summary.device_seconds
    return Run(readers, summary.done, summary.working_seconds, busy, core_seconds, summary.stages)


def _sampling(reactor: StandInReactor, clips: Clips) -> Sampling:
    return Sampling(samples=clips.samples, solver=reactor.sampling.solver)


def core_milliseconds(clips: Clips) -> dict[str, float]:
    """What the single parts of a clip take of one core, one after the other."""
    sampling = _sampling(StandInReactor(clips.config, 0.0), clips)
    timed_clips = find_clips(clips.root).clips[:TIMED]
    read, recovery = reader_of(clips, sampling), ExpressiveRecovery()
    threads = torch.get_num_threads()

    def timed(work: Callable[[int], object]) -> float:
        work(0)  # loads
        before = time.process_time()
        for i in range(len(timed_clips)):
            work(i)
        return 1000 * (time.process_time() - before) / len(timed_clips)

    reads = [read(files) for files in timed_clips]  # sets one thread, as beside a sampler
    said = [one.clip.utterances for one in reads if isinstance(one, Read)]
    both = timed(lambda i: read(timed_clips[i]))
    priors = timed(lambda i: assign(said[i], recovery, clips.samples, sampling.seed, "clip"))
    table, length = sampling.solver.table(clips.config.train_steps), bucket(clips.frames)
    places = list(product(range(clips.samples), (INITIAL, *table.noisy_steps)))
    noise = timed(lambda i: [normal(i, "clip", *place, length, REACTION) for place in places])
    torch.set_num_threads(threads)
    return {"reading": both - priors, "priors": priors, "noise": noise}


def reader_of(clips: Clips, sampling: Sampling) -> ClipReader:
    """A reader as a run beside a sampler has it."""
    return ClipReader(clips.config, ExpressiveRecovery(), sampling, None, True, CPU)


def reading_rate(clips: Clips, workers: int, processes: bool) -> float:
    """Clips a second that are read, with their priors, by threads of one reader or by processes."""
    files = list(find_clips(clips.root).clips)
    sampling = _sampling(StandInReactor(clips.config, 0.0), clips)
    if not processes:
        read = reader_of(clips, sampling)
        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(read, files[:workers]))  # loads
            started = time.perf_counter()
            list(threads.map(read, files))
            return len(files) / (time.perf_counter() - started)
    shares = [files[i::workers] for i in range(workers)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        given = [clips] * workers, [sampling] * workers, shares
        seconds = list(pool.map(_read_share, *given))
    return sum(len(share) / spent for share, spent in zip(shares, seconds, strict=True))


def _read_share(clips: Clips, sampling: Sampling, share: Sequence[ClipFiles | BadClip]) -> float:
    read = reader_of(clips, sampling)
    read(share[0])
    started = time.perf_counter()
    for files in share:
        read(files)
    return time.perf_counter() - started


def prepared(root: Path, count: int, frames: int, samples: int, has_words: bool) -> Clips:
    """The clips, written."""
    return Clips(root, write_clips(root, count, frames, has_words), frames, samples)


def temporary() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed at the end."""
    return tempfile.TemporaryDirectory(prefix="mreactor-pipeline-")
