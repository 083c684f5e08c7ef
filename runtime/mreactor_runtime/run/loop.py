"""Clips from files to files: read ahead in threads, sampled here, written in a thread."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Self

import torch

from mreactor_ref.data.clips import BadClip, ClipFiles
from mreactor_ref.data.inputs import check_there
from mreactor_ref.data.reading import Hear
from mreactor_ref.errors import ClipError, MReactorError
from mreactor_ref.stages import listening
from mreactor_runtime.batching import by_bucket
from mreactor_runtime.engines.names import CUDA
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.run.batches import Batches, Result
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.pipeline import ReadAhead, Writer, windows
from mreactor_runtime.run.reading import ClipReader, Explain, Read, Unread
from mreactor_runtime.run.results import Results
from mreactor_runtime.run.summary import DECODE, PREPARE, SAMPLE

LEAST_WINDOW = 16  # clips that are put in order of their lengths
WINDOW_FRAMES = 1024  # for each of these, which bounds the memory of long clips
# Threads that read; the sampler needs little of the processor beside CUDA.
READERS_BESIDE_CPU, READERS_BESIDE_CUDA = 1, 4
USUAL_FRAMES = 750  # of a clip, 30 s


class ClipLoop:
    """Reads, samples and writes clips of a run, once or again and again with others.

    Args:
        results: where they go, with what is said of them.
        folders: of the input; where they have gone as a whole, that ends the run.
        hear: what finds words in a sound.
        readers: threads that read; None for as many as fit the device.
    """

    def __init__(
        self,
        reactor: Reactor,
        options: Options,
        results: Results,
        explain: Explain | None,
        hear: Hear | None,
        folders: Sequence[Path],
        readers: int | None = None,
    ):
        self.reactor, self.options, self.results = reactor, options, results
        self.sampling = options.sampling or reactor.sampling
        self.folders = folders
        device = reactor.engine.device
        beside = READERS_BESIDE_CUDA if device.type == CUDA else READERS_BESIDE_CPU
        self._readers = readers or beside
        self._compiled = False
        self._read = ClipReader(
            *(reactor.config, reactor.source, self.sampling, explain, options.overlap, device),
            *(options.reading, hear, self._reached),
        )
        self._batches = Batches(
            self._generate,
            device.type,
            self.sampling.samples,
            options.batch_size,
            lambda text: self.results.ledger.say(text),
            reactor.free_memory,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._read.__exit__(*error)

    def steps(self, clips: Sequence[ClipFiles | BadClip]) -> Generator[None]:
        """Do the clips; a step is over when one has gone to the thread that writes, or has failed.

        Raises:
            TooManyFailed: more have failed than may.
            MReactorError: other than ClipError: wrong for every clip.
        """
        threads, most = torch.get_num_threads(), max(LEAST_WINDOW, 2 * self._batches.largest)
        clock = self.reactor.clock
        worked = clock.seconds
        try:
            with self._reads(clips, most) as reads, Writer(self.options.overlap) as writer:
                if not self._compiled:  # for all lengths, while the first clip is read
                    self._prepare([USUAL_FRAMES])
                    self._compiled = True
                for window in windows(reads, _frames, most, most * WINDOW_FRAMES):
                    yield from self._window(window, writer)
            self.results.check()  # of what was written last
        finally:
            self.results.ledger.worked(clock.seconds - worked)
            torch.set_num_threads(threads)  # a thread that reads has set it for itself

    def _reached(self, clip_id: str, stage: str, part: float) -> None:
        self.results.ledger.reached(clip_id, stage, part)

    def _generate(self, reads: Sequence[Read]) -> Sequence[ClipReactions | ClipError]:
        """Reactions to clips of one bucket."""
        with listening(partial(self._reached, reads[0].clip.id)):
            return self.reactor.generate_batch(
                [read.clip for read in reads], [read.priors for read in reads], self.sampling
            )

    def _reads(
        self, clips: Sequence[ClipFiles | BadClip], most: int
    ) -> AbstractContextManager[Iterable[Read | Unread]]:
        """The clips as they were read, in order."""
        if not self.options.overlap:
            return nullcontext(map(self._read, clips))
        return ReadAhead(clips, self._read, _frames, self._readers, most, most * WINDOW_FRAMES)

    def _window(self, window: Sequence[Read | Unread], writer: Writer) -> Iterator[None]:
        """Some clips, a bucket after the other. Raises TooManyFailed."""
        ledger, reads = self.results.ledger, list[Read]()
        for read in window:
            ledger.spent(DECODE, read.seconds)
            if isinstance(read, Unread):
                if isinstance(read.files, ClipFiles):
                    check_there(self.folders, read.files.paths)
                self.results.failed(read, read.error, DECODE, read.seconds)
                self.results.check()
                yield
            else:
                reads.append(read)
        self._prepare([read.frames for read in reads])
        for numbers in by_bucket([read.frames for read in reads]):
            for sampled in self._batches.run([reads[number] for number in numbers]):
                ledger.spent(SAMPLE, sampled.seconds)
                share = sampled.seconds / len(sampled.results)
                for read, result in sampled.results:
                    self._sampled(read, result, share, writer)
                    yield

    def _prepare(self, frames: Sequence[int]) -> None:
        """Make the device ready for clips of some lengths; it costs time once a bucket.

        Raises: MReactorError: wrong for every clip. What else goes wrong will be the clips' own.
        """
        started = time.perf_counter()
        try:
            self.reactor.prepare(frames, self.sampling)
        except MReactorError:
            raise
        except Exception as error:
            text = f"could not be prepared: {type(error).__name__}: {error}"
            self.results.ledger.say(f"clips of {max(frames)} frames and less {text}")
            self.reactor.free_memory()
        self.results.ledger.spent(PREPARE, time.perf_counter() - started)

    def _sampled(self, read: Read, result: Result, seconds: float, writer: Writer) -> None:
        """A clip comes from the sampler: its result goes to the writer."""
        ledger = self.results.ledger
        ledger.tell(read.clip, read.warnings)
        for note in read.notes:
            ledger.say(note)
        seconds += read.seconds
        if isinstance(result, Exception):
            self.results.failed(read, result, SAMPLE, seconds)
        else:
            writer.do(lambda: self.results.write(read, result, seconds))
        self.results.check()


def _frames(read: Read | Unread) -> int:
    return read.frames
