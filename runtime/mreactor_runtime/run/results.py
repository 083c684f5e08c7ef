"""Writes each clip's result, and records its outcome in the manifest and the summary."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mreactor_ref.errors import ClipError, MReactorError
from mreactor_ref.features.video.table import SUFFIX as FACE_TABLE
from mreactor_ref.files import is_disk_full, write_whole
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.forms import beside, forms_beside
from mreactor_runtime.reactor import ClipReactions
from mreactor_runtime.run.extras import PICTURE, PRIORS, Extra
from mreactor_runtime.run.failures import Failure, failure_of
from mreactor_runtime.run.manifest import DONE, FAILED, Line
from mreactor_runtime.run.outputs import write_json, write_npz
from mreactor_runtime.run.reading import Read, Unread
from mreactor_runtime.run.records import Records
from mreactor_runtime.run.shard import MANIFEST
from mreactor_runtime.run.summary import WRITE, Outcome, Progress, Summary

MOST_SAID = 20  # warnings, and failed extras of a kind; the manifest has all warnings


class TooManyFailed(Exception):
    """More clips than are allowed."""


class Ledger:
    """Records the outcomes of a run's clips, and tells who listens; in any thread.

    Args: head: the fields that every line of the manifest has.
    """

    def __init__(self, records: Records, summary: Summary, progress: Progress, head: Line):
        self._records, self._summary, self._progress = records, summary, progress
        self._head = head
        self._lock = threading.RLock()  # saying is part of writing down
        self._said: dict[str, set[str]] = {}  # of each kind what was said

    def done(self, clip: SpeakerClip, line: Line, reactions: int, milliseconds: float) -> None:
        """A clip's result is written."""
        missing = _missing(clip)
        with self._lock:
            self._write(clip.id, DONE, line, milliseconds, None)
            self._summary.done += 1
            self._summary.reactions += reactions
            self._summary.missing.update(missing)
            self._progress.finished(Outcome(clip.id, reactions, milliseconds, missing=missing))

    def failed(self, failure: Failure, milliseconds: float) -> None:
        """A clip has no result."""
        with self._lock:
            self._records.add_failure(failure)
            self._write(failure.id, FAILED, {}, milliseconds, failure.text)
            self._summary.failed[failure.id] = failure.text
            self._progress.finished(Outcome(failure.id, 0, milliseconds, failure.text))

    def _write(
        self, clip_id: str, status: str, line: Line, milliseconds: float, error: str | None
    ) -> None:
        end = {"milliseconds": round(milliseconds, 1), "error": error}
        self._records.add({"id": clip_id, "status": status} | self._head | line | end)

    def spent(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._summary.stages[stage] += seconds

    def reached(self, clip_id: str, stage: str, part: float) -> None:
        """How far a stage of a clip is."""
        with self._lock:
            self._progress.reached(clip_id, stage, part)

    def say(self, text: str) -> None:
        """Something the user should know."""
        with self._lock:
            self._summary.notes.append(text)
            self._progress.say(text)

    def say_of(self, kind: str, what: str, clip_id: str, text: str) -> None:
        """Likewise of a clip: each `what` once, and no more than MOST_SAID of a kind."""
        with self._lock:
            said = self._said.setdefault(kind, set())
            if what not in said and len(said) < MOST_SAID:
                said.add(what)
                more = "; the others are only in " + MANIFEST if kind == "warning" else ""
                last = f" (no more are said{more})" if len(said) == MOST_SAID else ""
                self.say(f"{clip_id}: {text}{last}")

    def tell(self, clip: SpeakerClip, warnings: Sequence[str]) -> None:
        """Pass on each warning, and each kind of missing stream, once a run."""
        with self._lock:
            said = self._said.setdefault("missing", set())
            for name in _missing(clip):
                if name not in said:
                    said.add(name)
                    self.say(f"{clip.id} has no {name}: the model does without (said once a run)")
            for warning in warnings:
                self.say_of("warning", warning, clip.id, warning)

    @property
    def failures(self) -> int:
        return len(self._summary.failed)


@dataclass(frozen=True)
class Results:
    """Writes the results of a run.

    Attributes:
        extras: what is written beside each.
        explain: whether to write how each clip's priors came about.
        debug: raise an error that is nobody's clip.
        max_errors: clips that may fail; None is no limit.
    """

    output: Path
    ledger: Ledger
    extras: Sequence[Extra]
    explain: bool
    debug: bool
    max_errors: int | None

    def write(self, read: Read, reactions: ClipReactions, seconds: float) -> None:
        """The files of one clip, and then its line. `seconds`: that it took so far."""
        started, clip = time.perf_counter(), read.clip
        path = self.output / f"{clip.id}.npz"
        try:
            _remove(forms_beside(path))  # of an older result
            digest = write_npz(path, reactions)
            if self.explain:
                write_json(beside(path, PRIORS), read.explanation)
            self._write_face(read, beside(path, FACE_TABLE))
            for extra in self.extras:
                self._write_extra(extra, clip, reactions, path)
        except Exception as problem:
            if is_disk_full(problem):
                raise  # so it is for every clip
            self.failed(read, problem, WRITE, seconds + time.perf_counter() - started)
            return
        spent = time.perf_counter() - started
        self.ledger.spent(WRITE, spent)
        line: Line = {"frames": clip.frames, "fps": clip.fps, "sha256": digest}
        line |= {"files": read.state, "warnings": list(read.warnings)}
        line["reactions"] = [
            {"subjects": [p.subject for p in row], "priors": [asdict(p) for p in row]}
            for row in reactions.priors
        ]
        count = len(reactions.attributes)
        self.ledger.done(clip, line, count, 1000 * (seconds + spent))

    def _write_face(self, read: Read, path: Path) -> None:
        """The face out of the clip's video; not beside the video, where it would be the clip's."""
        video = read.files.video
        if read.face_table is None or video is None:
            return
        if path.resolve() != video.with_suffix(FACE_TABLE).resolve():
            write_whole(path, read.face_table)

    def _write_extra(
        self, extra: Extra, clip: SpeakerClip, reactions: ClipReactions, path: Path
    ) -> None:
        """Something beside the result at `path`; where it fails, the clip does not."""
        try:
            extra.write(clip, reactions, path)
        except Exception as problem:
            if self.debug or is_disk_full(problem):
                raise
            text = f"no {extra.what} of it: {type(problem).__name__}: {problem}"
            self.ledger.say_of(extra.what, clip.id, clip.id, text)

    def failed(
        self, read: Read | Unread, problem: BaseException, stage: str, seconds: float
    ) -> None:
        """Put a clip down as failed; no older result of it may stay, for the manifest denies it.

        Raises: the problem, where it is not this clip's alone.
        """
        if not isinstance(problem, Exception):
            raise problem  # Ctrl-C
        if not isinstance(problem, ClipError) and (
            isinstance(problem, MReactorError) or self.debug
        ):
            raise problem  # wrong for every clip
        path = self.output / f"{read.files.id}.npz"
        _remove((path, beside(path, PRIORS), beside(path, PICTURE), *forms_beside(path)))
        self.ledger.failed(failure_of(read.files.id, stage, problem), 1000 * seconds)

    def check(self) -> None:
        """Raises TooManyFailed."""
        if self.max_errors is not None and self.ledger.failures > self.max_errors:
            raise TooManyFailed


def _missing(clip: SpeakerClip) -> tuple[str, ...]:
    missing = [name for name in ("sound", "words") if getattr(clip, name) is None]
    face = [name for name in ("coefficients", "attributes") if getattr(clip, name) is None]
    return (*missing, *(["face"] if len(face) == 2 else [f"face {name}" for name in face]))


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        if os.path.isfile(file):  # a folder of that name, or one too long to be, is not ours
            file.unlink()
