"""A run whose clips or results lie at URLs: the job of a folder, with copies on the way.

Each clip's files are copied when it is read and dropped when it is done; its results are uploaded
then, and the manifest after them, now and then and in the end. The job knows nothing of this.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import overload

from mreactor_ref.data.clips import BadClip, ClipFiles, find_clips
from mreactor_ref.data.reading import open_hearing
from mreactor_ref.errors import ClipError
from mreactor_ref.features.video.table import SUFFIX as FACE_TABLE
from mreactor_ref.files import write_whole
from mreactor_runtime.forms import RESULT
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.extras import PICTURE, PRIORS, Extra
from mreactor_runtime.run.job import Do, InProcess, Job, do_job
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.plan import plan_run
from mreactor_runtime.run.reading import Explain
from mreactor_runtime.run.resume import is_as_written
from mreactor_runtime.run.shard import ERRORS, MANIFEST, RUN, SHARD_NAMES, shard_files
from mreactor_runtime.run.stores import Mirror, is_url
from mreactor_runtime.run.summary import Outcome, Progress, Silent, Summary

RECORDS_SECONDS = 60.0  # between two uploads of the manifest

Clip = ClipFiles | BadClip


def run_staged(
    inputs: Sequence[str],
    output: str | Path,
    reactor: Reactor,
    options: Options | None = None,
    progress: Progress | None = None,
    extras: Sequence[Extra] = (),
    explain: Explain | None = None,
) -> Summary:
    """`run_job` where inputs, or the output, are folders at URLs.

    A run goes on where one has ended, as of a folder; a result that is there counts as whole. No
    lock holds another machine off: shards have files of their own, two runs of one do not.

    Raises: as `run_job`; and what a store raises that cannot be reached any more.
    """
    options, progress = options or Options(), progress or Silent()
    with tempfile.TemporaryDirectory(prefix="mreactor-") as name:
        stage = _Stage(Path(name).resolve(), inputs, output, progress)
        found = find_clips(stage.inputs)
        plan = plan_run(inputs, reactor, options, extras, explain)
        hear = open_hearing(options.reading, reactor.engine.device.type)
        do = partial(stage.do, InProcess(reactor, extras, explain, hear))
        stage.suffixes = (RESULT, PRIORS, PICTURE, FACE_TABLE, *plan.beside)
        is_whole = is_there if stage.results else is_as_written
        job = Job(found, stage.output, plan, options, stage, do, is_whole)
        try:
            with only_run(stage.output, job.shard):
                summary = do_job(job)
        finally:
            stage.put_records()
            stage.put_urls()
        summary.output = output
        return summary


def is_there(path: Path, sha256: str | None) -> bool:
    """Whether a store has a result: it has it whole."""
    return path.is_file()


class _Stage:
    """The folders of a run on this machine, and a progress that uploads what is finished.

    Attributes:
        inputs, output: here. results: the mirror of the output; None where it is a folder.
        suffixes: of the files of a result.
    """

    def __init__(self, folder: Path, inputs: Sequence[str], output: str | Path, progress: Progress):
        self._progress, self._folder = progress, folder
        self._mirrors: list[Mirror] = []
        self._clips: dict[str, Clip] = {}
        self.suffixes: tuple[str, ...] = (RESULT,)
        self._uploaded = time.monotonic()
        self.inputs = [self._mirrored(place, i) for i, place in enumerate(inputs)]
        self.results: Mirror | None = None
        self.output = Path(output)
        if is_url(output):
            self.results = Mirror(str(output), folder / "output")
            self.output = self.results.folder
            for path in self._records():
                if self.results.holds(path):
                    self.results.fill(path)

    def _mirrored(self, place: str, number: int) -> str | Path:
        if not is_url(place):
            return place
        name = place.rstrip("/").rpartition("/")[2]
        mirror = Mirror(place, self._folder / f"input{number}" / name)
        mirror.fill_lone()
        self._mirrors.append(mirror)
        return mirror.folder

    def do(self, inner: Do, job: Job, clips: Sequence[Clip]) -> None:
        self._clips = {clip.id: clip for clip in clips}
        inner(job, _Fetched(clips, self._fetched))

    def _fetched(self, clip: Clip) -> Clip:
        """A clip whose files are here; a `BadClip` where they cannot be had."""
        if isinstance(clip, BadClip):
            return clip
        for mirror, path in self._stored(clip):
            try:
                mirror.fill(path)
            except Exception as problem:  # whatever a store raises costs this clip alone
                what = f"cannot be copied: {type(problem).__name__}: {problem}"
                return BadClip(clip.id, ClipError(what, mirror.url_of(path), "run it again"))
        return clip

    def _stored(self, clip: Clip) -> Iterator[tuple[Mirror, Path]]:
        for path in clip.paths if isinstance(clip, ClipFiles) else ():
            for mirror in self._mirrors:
                if mirror.holds(path):
                    yield mirror, path

    def begin(self, clips: int) -> None:
        self._progress.begin(clips)

    def say(self, text: str) -> None:
        self._progress.say(text)

    def reached(self, clip_id: str, stage: str, part: float) -> None:
        self._progress.reached(clip_id, stage, part)

    def finished(self, outcome: Outcome) -> None:
        """A clip is done: its results go to the store, and its files from here."""
        if self.results is not None:
            place = self.output / outcome.clip_id
            self.results.remove_gone(self.results.of(place))
            for suffix in self.suffixes:
                path = place.with_name(place.name + suffix)
                if path.is_file():
                    self.results.put(path, path.read_bytes())
                    self.results.empty(path)
        for mirror, path in self._stored(self._clips[outcome.clip_id]):
            mirror.empty(path)
        if time.monotonic() - self._uploaded > RECORDS_SECONDS:
            self.put_records()
        error = outcome.error and self._with_urls(outcome.error.encode()).decode()
        self._progress.finished(replace(outcome, error=error))

    def put_records(self) -> None:
        """Upload the manifest and what goes with it; where they are gone here, remove them."""
        if self.results is None:
            return
        records = self._records()
        self.results.remove_gone(records)
        for path in records:
            if path.is_file():
                self.results.put(path, self._with_urls(path.read_bytes()))
        self._uploaded = time.monotonic()

    def put_urls(self) -> None:
        """In the records of an output that is here, name files by their URLs."""
        for path in [] if self.results else self._records():
            told = path.read_bytes() if path.is_file() else b""
            if (shown := self._with_urls(told)) != told:
                write_whole(path, shown)

    def _with_urls(self, told: bytes) -> bytes:
        for mirror in self._mirrors:
            told = told.replace(str(mirror.folder).encode(), mirror.url.encode())
        return told

    def _records(self) -> list[Path]:
        """The manifest and what goes with it, of the whole run and of shards."""
        names = {MANIFEST, RUN, ERRORS}
        if self.results is not None:
            names |= {path.name for path in self.results.files() if _is_of_shard(path.name)}
        names |= {path.name for name in SHARD_NAMES for path in shard_files(self.output, name)}
        return [self.output / name for name in sorted(names)]


def _is_of_shard(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in SHARD_NAMES.values())


class _Fetched(Sequence[Clip]):
    """Clips that are copied here when they are taken, by the thread that reads them."""

    def __init__(self, clips: Sequence[Clip], fetch: Callable[[Clip], Clip]):
        self._clips, self._fetch = clips, fetch

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | Sequence[Clip]:
        if isinstance(index, slice):
            return _Fetched(self._clips[index], self._fetch)
        return self._fetch(self._clips[index])
