"""Mirrors of a run's inputs and output where these are URLs, and its records, which go there.

The manifest and what goes with it are written in a folder of this machine, as of any run, and
uploaded now and then and in the end. Of folders all stays where it is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mreactor_ref.data.clips import Found, find_clips
from mreactor_ref.errors import UsageError
from mreactor_ref.files import write_whole
from mreactor_runtime.run.job import Job, do_job
from mreactor_runtime.run.resume import IsWhole, is_as_written
from mreactor_runtime.run.shard import ERRORS, MANIFEST, RUN, SHARD_NAMES, shard_files
from mreactor_runtime.run.stores import Mirrors
from mreactor_runtime.run.summary import Outcome, Progress, Summary

RECORDS_SECONDS = 60.0  # between two uploads of the manifest


@contextmanager
def staged(
    inputs: Sequence[str | Path], output: str | Path, progress: Progress
) -> Generator[Stage]:
    """The stage of a run, until the block ends.

    Raises: UsageError: a store cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="mreactor-") as folder:
        yield Stage(Mirrors(Path(folder).resolve(), inputs, output), progress)


class Stage:
    """The mirrors of a run, listed, and a progress that uploads its records now and then."""

    def __init__(self, mirrors: Mirrors, progress: Progress):
        self.mirrors, self._progress = mirrors, progress
        self._uploaded = time.monotonic()
        for mirror in mirrors.all:
            mirror.list()
        for mirror in mirrors.sources:
            mirror.fill_lone()
        if mirrors.results is not None:
            for path in self._records():
                if path in mirrors.results.files():
                    mirrors.results.fill(path)

    @property
    def is_whole(self) -> IsWhole:
        """Tells whether a result of an earlier run is whole."""
        return is_as_written if self.mirrors.results is None else _is_there

    def clips(self) -> Found:
        """`find_clips` of the inputs. Raises UsageError."""
        try:
            return find_clips(self.mirrors.inputs)
        except UsageError as error:
            where = error.path and self.mirrors.with_urls(str(error.path))
            raise UsageError(self.mirrors.with_urls(error.problem), where, error.fix) from None

    def run(self, job: Job) -> Summary:
        """`do_job`; its records go where they belong, however it ends. Raises what that raises."""
        if self.mirrors.results is not None:
            places = [self.mirrors.output / clip.id for clip in job.clips]
            self.mirrors.results.remove_partials([*places, *self._records()])
        try:
            summary = do_job(job)
        finally:
            self._put_records()
            self._put_urls()
        summary.output = self.mirrors.place
        return summary

    def begin(self, clips: int) -> None:
        self._progress.begin(clips)

    def say(self, text: str) -> None:
        self._progress.say(self.mirrors.with_urls(text))

    def reached(self, clip_id: str, stage: str, part: float) -> None:
        self._progress.reached(clip_id, stage, part)

    def finished(self, outcome: Outcome) -> None:
        if time.monotonic() - self._uploaded > RECORDS_SECONDS:
            self._put_records()
        error = outcome.error and self.mirrors.with_urls(outcome.error)
        self._progress.finished(replace(outcome, error=error))

    def _put_records(self) -> None:
        """Upload the manifest and what goes with it; where they are gone here, remove them."""
        results = self.mirrors.results
        if results is None:
            return
        records = self._records()
        results.remove_gone(records)
        for path in records:
            if path.is_file():
                results.put(path, self.mirrors.with_urls(path.read_text()).encode())
        self._uploaded = time.monotonic()

    def _put_urls(self) -> None:
        """In the records of an output that is here, name files by their URLs."""
        if self.mirrors.results is not None or not self.mirrors.sources:
            return
        for path in self._records():
            told = path.read_text() if path.is_file() else ""
            if (shown := self.mirrors.with_urls(told)) != told:
                write_whole(path, shown.encode())

    def _records(self) -> list[Path]:
        """The manifest and what goes with it, of the whole run and of shards."""
        names = {MANIFEST, RUN, ERRORS}
        if self.mirrors.results is not None:
            names |= {p.name for p in self.mirrors.results.files() if _is_of_shard(p.name)}
        names |= {p.name for kind in SHARD_NAMES for p in shard_files(self.mirrors.output, kind)}
        return [self.mirrors.output / name for name in sorted(names)]


def _is_there(path: Path, sha256: str | None) -> bool:
    """Whether a store has a result: it has it whole."""
    return path.is_file()


def _is_of_shard(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in SHARD_NAMES.values())
