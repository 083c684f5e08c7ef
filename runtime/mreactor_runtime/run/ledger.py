"""Where the end of each clip is put down: in the manifest, in the summary, with who listens."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.run.manifest import DONE, FAILED, Line, Manifest
from mreactor_runtime.run.shard import MANIFEST
from mreactor_runtime.run.summary import Outcome, Progress, Summary

MOST_SAID = 20  # warnings and failed pictures that are said aloud; the manifest has all warnings


class Ledger:
    """Of one run; may be written in from any thread.

    Args:
        head: what every line of the manifest says.
    """

    def __init__(self, manifest: Manifest, summary: Summary, progress: Progress, head: Line):
        self._manifest, self._summary, self._progress = manifest, summary, progress
        self._head = head
        self._lock = threading.RLock()  # saying is part of writing down
        self._said: dict[str, set[str]] = {}  # of each kind what was said

    def done(self, clip_id: str, line: Line, reactions: int, milliseconds: float) -> None:
        """A clip's result is written."""
        with self._lock:
            self._write(clip_id, DONE, line, milliseconds, None)
            self._summary.done += 1
            self._summary.reactions += reactions
            self._progress.finished(Outcome(clip_id, reactions, milliseconds))

    def failed(self, clip_id: str, error: str, milliseconds: float) -> None:
        """A clip has no result."""
        with self._lock:
            self._write(clip_id, FAILED, {}, milliseconds, error)
            self._summary.failed[clip_id] = error
            self._progress.finished(Outcome(clip_id, 0, milliseconds, error))

    def _write(
        self, clip_id: str, status: str, line: Line, milliseconds: float, error: str | None
    ) -> None:
        end = {"milliseconds": round(milliseconds, 1), "error": error}
        self._manifest.add({"id": clip_id, "status": status} | self._head | line | end)

    def spent(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._summary.stages[stage] += seconds

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
            missing = self._summary.missing
            for name in _missing(clip):
                if not missing[name]:
                    self.say(f"{clip.id} has no {name}: the model does without (said once a run)")
                missing[name] += 1
            for warning in warnings:
                self.say_of("warning", warning, clip.id, warning)

    @property
    def failures(self) -> int:
        return len(self._summary.failed)


def _missing(clip: SpeakerClip) -> list[str]:
    missing = [name for name in ("sound", "words") if getattr(clip, name) is None]
    face = [name for name in ("coefficients", "attributes") if getattr(clip, name) is None]
    return missing + (["face"] if len(face) == 2 else [f"face {name}" for name in face])
