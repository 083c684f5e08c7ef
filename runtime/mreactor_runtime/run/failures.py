"""Failed clips as lines of `errors.jsonl`: which, at what, why, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mreactor_ref.errors import MReactorError

WORKER = "worker"  # the stage of a clip over which the processes that did it have died


@dataclass(frozen=True)
class Failure:
    """Why a clip has no result.

    Attributes:
        id: of the clip.
        stage: of `summary.STAGES`, in which it failed; or WORKER.
        kind: the class of the error; `ClipError` is one that was foreseen.
        path: the file that is wrong, where one is.
        message: what was wrong. remedy: what to do about it, where that is known.
    """

    id: str
    stage: str
    kind: str
    path: str | None
    message: str
    remedy: str | None

    @property
    def text(self) -> str:
        """For people, in one line."""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{self.path or self.id}: {self.message}{remedy}"


def failure_of(clip_id: str, stage: str, problem: Exception) -> Failure:
    """The failure that an error is."""
    kind = type(problem).__name__
    if isinstance(problem, MReactorError):
        path = None if problem.path is None else str(problem.path)
        return Failure(clip_id, stage, kind, path, problem.problem, problem.fix)
    return Failure(clip_id, stage, kind, None, f"unexpected {kind}: {problem}", None)


def add_failure(path: Path, failure: Failure) -> None:
    """Add a line to a file, which is made where there is none."""
    with path.open("ab") as file:
        file.write(json.dumps(asdict(failure)).encode() + b"\n")
