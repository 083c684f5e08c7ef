"""Takes clips in, reads them in threads, samples those of one bucket together, makes answers.

    with Service(reactor, Limits()) as service:
        service.places.take()
        job = service.submit(source, asked)
        job.outcome.result()  # an `Answer`, or a `Refused`

The sampler has a thread of its own, for a reactor is not made for two. It takes the clip that has
waited longest and, of the others, those with the same bucket and sampling, as many as go into one
call of the sampler. A reaction is the same in any batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import torch

from mreactor_ref.data.reading import Hear, ReadOptions
from mreactor_ref.errors import ClipError, MReactorError, UsageError
from mreactor_runtime.batching import by_bucket
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.run.batches import Batches
from mreactor_runtime.run.reading import Read
from mreactor_runtime.run.summary import DECODE, SAMPLE, WRITE
from mreactor_runtime.sampling_options import Sampling
from mreactor_runtime.serve.answers import make_answer
from mreactor_runtime.serve.features import Features
from mreactor_runtime.serve.jobs import READING, READY, SAMPLING, Job, Jobs
from mreactor_runtime.serve.limits import Limits
from mreactor_runtime.serve.metrics import CANCELLED, DONE, FAILED, Metrics
from mreactor_runtime.serve.options import Asked
from mreactor_runtime.serve.places import Places
from mreactor_runtime.serve.problems import Refused, log, refused_clip
from mreactor_runtime.serve.reading import RequestReader
from mreactor_runtime.serve.uploads import Upload, silence

CLOSING_SECONDS = 10.0
LOOKS_SECONDS = 0.2  # between looks whether answers are fetched


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A clip that is read and waits for the sampler."""

    job: Job
    read: Read


class Service:
    """A reactor at work for requests.

    Args:
        reading, hear: how files are read, as in a run.
        readers: threads that read.
        batch_size: clips in one call of the sampler, as in a run.
        warm: load and try all that a clip needs when the block begins.

    Attributes:
        places: room for clips; who submits one has taken it. jobs: that are kept.
        folder: for the files of requests.

    Raises:
        UsageError: a clip's own sampling is beyond the limits.
    """

    def __init__(
        self,
        reactor: Reactor,
        limits: Limits,
        reading: ReadOptions | None = None,
        hear: Hear | None = None,
        readers: int = 1,
        batch_size: int | None = None,
        warm: bool = True,
    ):
        for name, value in (
            ("samples", reactor.sampling.samples),
            ("steps", reactor.sampling.solver.steps),
        ):
            if value > getattr(limits, name):
                problem = f"{name} is {value}, more than a request may ask for"
                raise UsageError(problem, fix=f"raise --max-{name}")
        self.reactor, self.limits = reactor, limits
        self.places, self.jobs, self.metrics = Places(limits.queue), Jobs(limits), Metrics()
        self._batch_size, self._warm, self._count = batch_size, warm, readers
        self._reader = RequestReader(reactor, limits.clip_seconds, reading, hear)
        self._readers = ThreadPoolExecutor(readers, "reads clips")
        self._answers = ThreadPoolExecutor(1, "makes answers")
        self._changed = threading.Condition()
        self._ready: list[_Waiting] = []
        self._closed = False
        self._threads = torch.get_num_threads()
        self._sampler = threading.Thread(target=self._sample_all, name="samples", daemon=True)
        self._directory = TemporaryDirectory(prefix="mreactor-serve-")
        self.folder = Path(self._directory.name)
        self.metrics.tell_of(reactor)
        self.metrics.follow("mreactor_taken_clips", "Not answered.", lambda: self.places.taken)
        self.metrics.follow("mreactor_ready_clips", "Read, to sample.", lambda: len(self._ready))
        self.metrics.follow("mreactor_kept_jobs", "Jobs that are kept.", lambda: self.jobs.kept)

    def __enter__(self) -> Self:
        self._sampler.start()
        try:
            if self._warm:
                self._warm_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._reader.__exit__()  # a decoder at work is ended
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._sampler.join(CLOSING_SECONDS)
        self._answers.shutdown(wait=True, cancel_futures=True)
        self._directory.cleanup()

    def _warm_up(self) -> None:
        """A second of sound and a word through every reader. Raises MReactorError: it fails."""
        asked = Asked("warm-up", self.reactor.sampling, None, True, 0.0)
        jobs: list[Job] = []
        for _ in range(self._count):
            self.places.take()
            jobs.append(self.submit(silence(self.folder), asked))
        for job in jobs:
            if isinstance(outcome := job.outcome.result(), Refused):
                raise MReactorError(f"no reactions can be made: {outcome}", fix="see above")

    @property
    def alive(self) -> bool:
        """Whether clips are still sampled."""
        return self._sampler.is_alive()

    def submit(self, source: Upload | Features, asked: Asked) -> Job:
        """Put a clip to work, for which a place is taken; it is given back in any case."""
        job = Job(asked)
        job.outcome.add_done_callback(lambda _: self.places.give_back())
        self._readers.submit(self._read, job, source)
        return job

    def drain(self, seconds: float) -> bool:
        """Take no more clips, and wait until all that were taken are answered and fetched.

        Returns: whether they are.
        """
        self.places.close()
        end = time.monotonic() + seconds
        idle = self.places.wait_until_free(seconds)
        while idle and self.jobs.unfetched and time.monotonic() < end:
            time.sleep(LOOKS_SECONDS)
        return idle and not self.jobs.unfetched

    def _read(self, job: Job, source: Upload | Features) -> None:
        try:
            if not job.outcome.set_running_or_notify_cancel():
                self.metrics.clips.labels(CANCELLED).inc()
                return
            job.stage = READING
            read = self._reader.read(source, job.asked.clip_id, job.asked.sampling)
        except BaseException as error:
            folder = source.folder if isinstance(source, Upload) else None
            self._fail(job, DECODE, error, folder)
            return
        finally:
            if isinstance(source, Upload):
                source.remove()
        self.metrics.seconds.labels(DECODE).observe(read.seconds)
        job.stage = READY
        with self._changed:
            self._ready.append(_Waiting(job, read))
            self._changed.notify_all()

    def _sample_all(self) -> None:
        # A thread that reads sets the number for itself, and PyTorch takes the last that was set
        # for a new thread, once, when it first needs it; asking makes that now.
        torch.set_num_threads(self._threads)
        torch.get_num_threads()
        while (batch := self._next()) is not None:
            waiting, batches = batch
            left = list(waiting)
            try:
                for sampled in batches.run([one.read for one in waiting]):
                    self.metrics.batch.observe(len(sampled.results))
                    share = sampled.seconds / len(sampled.results)
                    for _, result in sampled.results:
                        self._sampled(left.pop(0), result, share)
            except Exception as error:  # wrong for all of them
                for one in left:
                    self._fail(one.job, SAMPLE, error)

    def _next(self) -> tuple[list[_Waiting], Batches] | None:
        """Clips to sample now, the one that has waited longest among them; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._closed)
            if self._closed:
                return None
            sampling = self._ready[0].job.asked.sampling
            batches = self._batches(sampling)
            alike = [one for one in self._ready if one.job.asked.sampling == sampling]
            buckets = by_bucket([one.read.frames for one in alike])
            places = next(places for places in buckets if 0 in places)[: batches.largest]
            chosen = [alike[place] for place in places]
            self._ready = [one for one in self._ready if one not in chosen]
        for one in chosen:
            one.job.stage = SAMPLING
        return chosen, batches

    def _batches(self, sampling: Sampling) -> Batches:
        return Batches(
            *(partial(self._generate, sampling), self.reactor.engine.device.type),
            *(sampling.samples, self._batch_size, log.warning, self.reactor.free_memory),
        )

    def _generate(
        self, sampling: Sampling, reads: Sequence[Read]
    ) -> list[ClipReactions | ClipError]:
        clips, priors = [read.clip for read in reads], [read.priors for read in reads]
        return self.reactor.generate_batch(clips, priors, sampling)

    def _sampled(self, one: _Waiting, result: ClipReactions | Exception, seconds: float) -> None:
        self.metrics.seconds.labels(SAMPLE).observe(seconds)
        self.places.took(seconds)
        if isinstance(result, Exception):
            self._fail(one.job, SAMPLE, result)
        else:
            self._answers.submit(self._answer, one, result)

    def _answer(self, one: _Waiting, reactions: ClipReactions) -> None:
        started, job = time.perf_counter(), one.job
        try:
            answer = make_answer(reactions, job.asked, tuple(one.read.warnings))
        except BaseException as error:
            self._fail(job, WRITE, error)
            return
        self.metrics.seconds.labels(WRITE).observe(time.perf_counter() - started)
        samples, frames = reactions.attributes.shape[:2]
        self.metrics.frames.inc(frames)
        self.metrics.reactions.inc(samples)
        self.metrics.clips.labels(DONE).inc()
        job.outcome.set_result(answer)

    def _fail(self, job: Job, stage: str, error: BaseException, folder: Path | None = None) -> None:
        self.metrics.clips.labels(FAILED).inc()
        job.outcome.set_result(refused_clip(job.asked.clip_id, stage, error, folder))
