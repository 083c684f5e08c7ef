"""Makes a folder of reactions of a folder of clips, with a manifest: the job of `mreactor-infer`.

    run_job(Path("clips"), Path("reactions"), Reactor.open("mini", samples=10))

Each clip becomes `OUT/<clip id>.npz` with `attributes` (S, T, 25) and `coefficients` (S, T, 58),
float32; `OUT/manifest.jsonl` has a line a clip and `OUT/run.json` what the run was. The same input
and options on the same engine and machine give the same npz bytes, in one go, in shards, or in
several runs of which some were killed.

Clips are read ahead in threads, sampled here, longest of a window first, and written in a thread. A
line of the manifest is written when its npz is there, so the manifest is of use at any moment, and
a run into the same folder goes on where the last one ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mreactor_ref.data.clips import BadClip, ClipFiles, find_clips
from mreactor_ref.data.inputs import Inputs, check_there
from mreactor_ref.data.reading import check_faces, open_hearing
from mreactor_ref.emotion.explain import as_dict
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import ClipError, MReactorError
from mreactor_ref.files import check_writable, is_disk_full
from mreactor_ref.signals import SpeakerClip
from mreactor_ref.stages import listening
from mreactor_runtime.batching import by_bucket
from mreactor_runtime.engines.names import CUDA
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.run.batches import Batches, Result
from mreactor_runtime.run.extras import PRIORS, Extra
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.manifest import Manifest
from mreactor_runtime.run.names import check_names
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.outputs import write_json
from mreactor_runtime.run.pipeline import ReadAhead, Writer, windows
from mreactor_runtime.run.reading import ClipReader, Explain, Read, Unread
from mreactor_runtime.run.results import Ledger, Results, TooManyFailed
from mreactor_runtime.run.resume import keep_earlier
from mreactor_runtime.run.run_json import describe, fingerprint, is_finished
from mreactor_runtime.run.shard import WHOLE, errors_path, manifest_path, run_path
from mreactor_runtime.run.summary import DECODE, SAMPLE, Progress, Silent, Summary

LEAST_WINDOW = 16  # clips that are put in order of their lengths
WINDOW_FRAMES = 1024  # for each of these, which bounds the memory of long clips
# Threads that read; the sampler needs little of the processor beside CUDA.
READERS_BESIDE_CPU, READERS_BESIDE_CUDA = 1, 4


class Job:
    """One run over a folder. Made and run by `run_job`."""

    def __init__(
        self,
        input: Inputs,
        output: Path,
        reactor: Reactor,
        options: Options,
        progress: Progress,
        extras: Sequence[Extra],
        explain: Explain | None,
    ):
        self.output, self.reactor, self.options = output, reactor, options
        self.progress, self.extras, self.explain = progress, extras, explain
        self.shard = options.shard or WHOLE
        self.sampling = options.sampling or reactor.sampling
        self.sampling.solver.table(reactor.config.train_steps)  # or it is out of range
        self.found = find_clips(input)
        check_faces(options.reading)
        self.hear = open_hearing(options.reading, reactor.engine.device.type)
        self.beside = [suffix for extra in extras for suffix in extra.suffixes]
        self.clips = self.shard.of(check_names(self.found.clips, output, self.beside))
        self.record = describe(input, reactor, self.sampling, options)
        self.fingerprint = fingerprint(self.record)
        self.summary = Summary(output, len(self.clips))
        on_cuda = reactor.engine.device.type == CUDA
        self.readers = READERS_BESIDE_CUDA if on_cuda else READERS_BESIDE_CPU

    def run(self) -> Summary:
        wanted = self.beside + [PRIORS] * (self.explain is not None)
        earlier = keep_earlier(
            self.output, self.clips, self.shard, self.record, wanted, self.options.resume
        )
        self.summary.kept = len(earlier.kept)
        to_do = [clip for clip in self.clips if clip.id not in earlier.kept]
        record = self.record | {"run": self.fingerprint}
        run_file, errors = run_path(self.output, self.shard), errors_path(self.output, self.shard)
        all_done = not to_do and is_finished(run_file, self.fingerprint, len(self.clips))
        if not all_done:  # else the run leaves every file as it is
            write_json(run_file, record | {"finished": False})
            errors.unlink(missing_ok=True)
        manifest = Manifest(manifest_path(self.output, self.shard))
        head = {"seed": self.sampling.seed, "run": self.fingerprint}
        self.ledger = Ledger(manifest, errors, self.summary, self.progress, head)
        self.results = Results(
            self.output,
            self.ledger,
            self.extras,
            self.explain is not None,
            self.options.debug,
            self.options.most_failed(len(self.clips)),
        )
        self.progress.begin(len(to_do))
        notes = (*self.reactor.notes, *self.found.notes, *self._wordless(to_do), *earlier.reasons)
        for note in notes:
            self.ledger.say(note)
        ended = False
        started, worked = time.perf_counter(), self.reactor.clock.seconds
        try:
            self._do(to_do)
            ended = True
        finally:
            manifest.close(in_order=ended)
        self.summary.seconds = time.perf_counter() - started
        self.summary.device_seconds = self.reactor.clock.seconds - worked
        if not all_done:
            write_json(run_file, record | {"finished": True} | self.summary.to_dict())
        return self.summary

    def _wordless(self, clips: Sequence[ClipFiles | BadClip]) -> list[str]:
        """A line on clips whose words nobody finds."""
        silent = [c for c in clips if isinstance(c, ClipFiles) and c.sound and not c.words]
        if not silent or self.hear is not None:
            return []
        one = len(silent) == 1
        return [
            f"{len(silent)} {'clip has' if one else 'clips have'} sound but no words, so "
            f"{'its' if one else 'their'} reactions come from no subject of what is said: "
            "--transcribe small finds the words"
        ]

    def _do(self, clips: Sequence[ClipFiles | BadClip]) -> None:
        """Read, sample and write."""
        reactor, sampling, options = self.reactor, self.sampling, self.options
        threads, device = torch.get_num_threads(), reactor.engine.device
        read = ClipReader(
            *(reactor.config, reactor.source, sampling, self.explain, options.overlap, device),
            *(options.reading, self.hear, self.ledger.reached),
        )
        batches = Batches(
            self._generate,
            device.type,
            sampling.samples,
            options.batch_size,
            self.ledger.say,
            reactor.free_memory,
        )
        most = max(LEAST_WINDOW, 2 * batches.largest)
        try:
            with (
                read,
                self._reads(clips, read, most) as reads,
                Writer(options.overlap) as writer,
            ):
                for window in windows(reads, _frames, most, most * WINDOW_FRAMES):
                    self._window(window, batches, writer)
            self.results.check()  # of what was written last
        except TooManyFailed:
            self.summary.stopped = True
        finally:
            torch.set_num_threads(threads)  # a thread that reads has set it for itself

    def _generate(self, reads: Sequence[Read]) -> Sequence[ClipReactions | ClipError]:
        """Reactions to clips of one bucket."""
        with listening(partial(self.ledger.reached, reads[0].clip.id)):
            return self.reactor.generate_batch(
                [read.clip for read in reads], [read.priors for read in reads], self.sampling
            )

    def _reads(
        self, clips: Sequence[ClipFiles | BadClip], read: ClipReader, most: int
    ) -> AbstractContextManager[Iterable[Read | Unread]]:
        """The clips as they were read, in order."""
        if not self.options.overlap:
            return nullcontext(map(read, clips))
        return ReadAhead(clips, read, _frames, self.readers, most, most * WINDOW_FRAMES)

    def _window(self, window: Sequence[Read | Unread], batches: Batches, writer: Writer) -> None:
        """Some clips, a bucket after the other. Raises TooManyFailed."""
        reads: list[Read] = []
        for read in window:
            self.ledger.spent(DECODE, read.seconds)
            if isinstance(read, Unread):
                if isinstance(read.files, ClipFiles):
                    check_there(self.found.folders, read.files.paths)
                self.results.failed(read, read.error, DECODE, read.seconds)
                self.results.check()
            else:
                reads.append(read)
        for numbers in by_bucket([read.frames for read in reads]):
            for sampled in batches.run([reads[number] for number in numbers]):
                self.ledger.spent(SAMPLE, sampled.seconds)
                share = sampled.seconds / len(sampled.results)
                for read, result in sampled.results:
                    self._sampled(read, result, share, writer)

    def _sampled(self, read: Read, result: Result, seconds: float, writer: Writer) -> None:
        """A clip comes from the sampler: its result goes to the writer."""
        self.ledger.tell(read.clip, read.warnings)
        for note in read.notes:
            self.ledger.say(note)
        seconds += read.seconds
        if isinstance(result, Exception):
            self.results.failed(read, result, SAMPLE, seconds)
        else:
            writer.do(lambda: self.results.write(read, result, seconds))
        self.results.check()


def _frames(read: Read | Unread) -> int:
    return read.frames


def explain_with(recovery: ExpressiveRecovery) -> Explain:
    """For `run_job`: the stages of each utterance of a clip."""

    def explain(clip: SpeakerClip) -> Any:
        texts = [utterance.text for utterance in clip.utterances]
        return [
            {
                "start": utterance.start,
                "end": utterance.end,
                **as_dict(explanation, recovery.thresholds),
            }
            for utterance, explanation in zip(clip.utterances, recovery.explain(texts), strict=True)
        ]

    return explain


def run_job(
    input: Inputs,
    output: Path,
    reactor: Reactor,
    options: Options | None = None,
    progress: Progress | None = None,
    extras: Sequence[Extra] = (),
    explain: Explain | None = None,
) -> Summary:
    """Reactions to every clip of a folder. A clip that cannot be done is reported, the rest go on.

    Args:
        input: folders, files and patterns, as `find_clips` takes them.
        output: made if need be. What an earlier run did there is kept where this run would do the
            same (the same model, engine, machine, versions and options, the clip's files unchanged,
            its npz whole); anything else is replaced clip by clip.
        extras: what else is written beside each npz, such as `picture(draw)`.
        explain: its answer for each clip is written beside the npz, to `<clip id>.priors.json`.
            Called in the threads that read, one at a time.
    Raises:
        UsageError: no clips, an option out of range, or an output that cannot be written: all
            before any work.
        UsageError: another run is writing there.
        MReactorError: the disk is full, or the input has gone; what is done is kept.
        KeyboardInterrupt: what was sampled is written first.
    """
    output = Path(output)
    job = Job(input, output, reactor, options or Options(), progress or Silent(), extras, explain)
    check_writable(output)
    with only_run(output, job.shard):
        return do_job(job)


def do_job(job: Job) -> Summary:
    """Run a job whose output is this process's, or that of the one that shares the work out.

    Raises: as `run_job`.
    """
    try:
        return job.run()
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise MReactorError(
            "the disk is full", job.output, "make room and run it again: what is done is kept"
        ) from None
