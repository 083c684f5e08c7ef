"""Where a clip goes when it was sampled, or has failed: its files, its picture, its line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mreactor_ref.errors import ClipError, MReactorError
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.reactor import ClipReactions
from mreactor_runtime.run.ledger import Ledger
from mreactor_runtime.run.manifest import Line
from mreactor_runtime.run.outputs import is_disk_full, write_json, write_npz
from mreactor_runtime.run.reading import Read
from mreactor_runtime.run.resume import PICTURE, PRIORS, beside
from mreactor_runtime.run.summary import WRITE

# Draws a clip and its reactions to a path.
Draw = Callable[[SpeakerClip, ClipReactions, Path], None]


class TooManyFailed(Exception):
    """More clips than are allowed."""


@dataclass(frozen=True)
class Results:
    """The results of one run.

    Attributes:
        explained: whether to write what was said of each clip's priors.
        debug: raise an error that is nobody's clip.
        max_errors: clips that may fail; None is no limit.
    """

    output: Path
    ledger: Ledger
    draw: Draw | None
    explained: bool
    debug: bool
    max_errors: int | None

    def write(
        self, read: Read, clip: SpeakerClip, reactions: ClipReactions, seconds: float
    ) -> None:
        """The files of one clip, and then its line. `seconds`: that it took so far."""
        started = time.perf_counter()
        path = self.output / f"{clip.id}.npz"
        try:
            digest = write_npz(path, reactions)
            if self.explained:
                write_json(beside(path, PRIORS), read.explained)
            self._draw(clip, reactions, path)
        except Exception as problem:
            if is_disk_full(problem):
                raise  # so it is for every clip
            self.failed(read, problem, seconds + time.perf_counter() - started)
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
        self.ledger.done(clip.id, line, count, 1000 * (seconds + spent))

    def _draw(self, clip: SpeakerClip, reactions: ClipReactions, path: Path) -> None:
        """The clip's picture, beside its result; a picture that fails does not fail the clip."""
        if self.draw is None:
            return
        try:
            self.draw(clip, reactions, beside(path, PICTURE))
        except Exception as problem:
            if self.debug or is_disk_full(problem):
                raise
            text = f"no picture of it: {type(problem).__name__}: {problem}"
            self.ledger.say_of("picture", clip.id, clip.id, text)

    def failed(self, read: Read, problem: BaseException, seconds: float) -> None:
        """Put a clip down as failed; no older result of it may stay, for the manifest denies it.

        Raises: the problem, where it is not this clip's alone.
        """
        clip_id, error = read.files.id, str(problem)
        if not isinstance(problem, ClipError):
            # Ctrl-C, or wrong for every clip
            if not isinstance(problem, Exception) or isinstance(problem, MReactorError):
                raise problem
            if self.debug:
                raise problem
            error = f"{clip_id}: unexpected {type(problem).__name__}: {problem}"
        path = self.output / f"{clip_id}.npz"
        for old in (path, beside(path, PRIORS), beside(path, PICTURE)):
            old.unlink(missing_ok=True)
        self.ledger.failed(clip_id, error, 1000 * seconds)

    def check(self) -> None:
        """Raises TooManyFailed."""
        if self.max_errors is not None and self.ledger.failures > self.max_errors:
            raise TooManyFailed
