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
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mreactor_ref.data.clips import BadClip, ClipFiles, Found, find_clips
from mreactor_ref.data.inputs import Inputs
from mreactor_ref.data.reading import Hear, open_hearing
from mreactor_ref.emotion.explain import as_dict
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import MReactorError
from mreactor_ref.files import check_writable, is_disk_full
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.extras import Extra
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.loop import ClipLoop
from mreactor_runtime.run.manifest import Manifest
from mreactor_runtime.run.names import check_names
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.outputs import write_json
from mreactor_runtime.run.plan import Plan, plan_run
from mreactor_runtime.run.reading import Explain
from mreactor_runtime.run.records import FileRecords
from mreactor_runtime.run.results import Ledger, Results, TooManyFailed
from mreactor_runtime.run.resume import IsWhole, is_as_written, keep_earlier
from mreactor_runtime.run.run_json import is_finished
from mreactor_runtime.run.shard import WHOLE, errors_path, manifest_path, run_path
from mreactor_runtime.run.summary import Progress, Silent, Summary

# Does the clips of a job that are not done yet; what it does and says of them is in the job.
Do = Callable[["Job", Sequence[ClipFiles | BadClip]], None]


class Job:
    """One run over a folder. Made by `open_job`, and by what shares a run out.

    Args: do: does the clips, here or elsewhere. Raises TooManyFailed.

    Attributes:
        records: where lines of clips go, once it runs. ledger: likewise, with what is said of them.
    """

    records: FileRecords
    ledger: Ledger

    def __init__(
        self,
        found: Found,
        output: Path,
        plan: Plan,
        options: Options,
        progress: Progress,
        do: Do,
        is_whole: IsWhole = is_as_written,
    ):
        self.found, self.output, self.plan, self.options = found, output, plan, options
        self.progress, self._do, self._is_whole = progress, do, is_whole
        self.shard = options.shard or WHOLE
        self.clips = self.shard.of(check_names(found.clips, output, plan.beside))
        self.summary = Summary(output, len(self.clips))

    @property
    def max_errors(self) -> int | None:
        """Clips that may fail; None is no limit."""
        return self.options.most_failed(len(self.clips))

    def run(self) -> Summary:
        plan, summary = self.plan, self.summary
        earlier = keep_earlier(
            *(self.output, self.clips, self.shard, plan.record, plan.beside),
            *(self.options.resume, self._is_whole),
        )
        summary.kept = len(earlier.kept)
        to_do = [clip for clip in self.clips if clip.id not in earlier.kept]
        record = plan.record | {"run": plan.fingerprint}
        run_file, errors = run_path(self.output, self.shard), errors_path(self.output, self.shard)
        all_done = not to_do and is_finished(run_file, plan.fingerprint, len(self.clips))
        if not all_done:  # else the run leaves every file as it is
            write_json(run_file, record | {"finished": False})
            errors.unlink(missing_ok=True)
        self.records = FileRecords(Manifest(manifest_path(self.output, self.shard)), errors)
        self.ledger = Ledger(self.records, summary, self.progress, plan.head)
        self.progress.begin(len(to_do))
        notes = (*plan.notes, *self.found.notes, *self._wordless(to_do), *earlier.reasons)
        for note in notes:
            self.ledger.say(note)
        ended = False
        started = time.perf_counter()
        try:
            self._do(self, to_do)
            ended = True
        except TooManyFailed:
            summary.stopped = ended = True
        finally:
            self.records.close(in_order=ended)
        summary.seconds = time.perf_counter() - started
        if not all_done:
            write_json(run_file, record | {"finished": True} | summary.to_dict())
        return summary

    def _wordless(self, clips: Sequence[ClipFiles | BadClip]) -> list[str]:
        """A line on clips whose words nobody finds."""
        silent = [c for c in clips if isinstance(c, ClipFiles) and c.sound and not c.words]
        if not silent or self.options.reading.transcribe.model:
            return []
        one = len(silent) == 1
        return [
            f"{len(silent)} {'clip has' if one else 'clips have'} sound but no words, so "
            f"{'its' if one else 'their'} reactions come from no subject of what is said: "
            "--transcribe small finds the words"
        ]


@dataclass(frozen=True)
class InProcess:
    """Does the clips of a job in this process. Attributes as of `run_job` and `ClipLoop`."""

    reactor: Reactor
    extras: Sequence[Extra]
    explain: Explain | None
    hear: Hear | None
    readers: int | None = None

    def __call__(self, job: Job, clips: Sequence[ClipFiles | BadClip]) -> None:
        results = Results(
            *(job.output, job.ledger, self.extras, self.explain is not None),
            *(job.options.debug, job.max_errors),
        )
        parts = (self.reactor, job.options, results, self.explain, self.hear, job.found.folders)
        with ClipLoop(*parts, self.readers) as loop, closing(loop.steps(clips)) as steps:
            for _ in steps:
                pass


def open_job(
    input: Inputs,
    output: Path,
    reactor: Reactor,
    options: Options,
    progress: Progress,
    extras: Sequence[Extra],
    explain: Explain | None,
) -> Job:
    """A job that this process does. Raises UsageError, as `run_job`."""
    clips = find_clips(input)
    plan = plan_run(input, reactor, options, extras, explain)
    hear = open_hearing(options.reading, reactor.engine.device.type)
    do = InProcess(reactor, extras, explain, hear)
    return Job(clips, output, plan, options, progress, do)


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
    options, progress = options or Options(), progress or Silent()
    job = open_job(input, output, reactor, options, progress, extras, explain)
    check_writable(output)
    with only_run(output, job.shard):
        return do_job(job)


def do_job(job: Job) -> Summary:
    """Run a job whose output is this process's, or that of the one that shares the work out.

    Raises: as `run_job`.
    """
    with full_disk(job.output):
        return job.run()


@contextmanager
def full_disk(output: Path) -> Generator[None]:
    """Turn the OSError of a full disk into an MReactorError that says so."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise MReactorError(
            "the disk is full", output, "make room and run it again: what is done is kept"
        ) from None
