"""The lines of a run on its clips: where they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mreactor_runtime.run.failures import Failure, add_failure
from mreactor_runtime.run.manifest import Line, Manifest, collect


class Records(Protocol):
    """Keeps the lines of clips, as they end."""

    def add(self, line: Line) -> None:
        """A line of the manifest."""
        ...

    def add_failure(self, failure: Failure) -> None:
        """A line of errors.jsonl."""
        ...


@dataclass(frozen=True)
class FileRecords:
    """The lines in files of the output: `errors` is made where a clip fails."""

    manifest: Manifest
    errors: Path

    def add(self, line: Line) -> None:
        self.manifest.add(line)

    def add_failure(self, failure: Failure) -> None:
        add_failure(self.errors, failure)

    def close(self, in_order: bool) -> None:
        """Write no more; the lines are put into the order of the ids if asked."""
        self.manifest.close(in_order)
        if in_order and self.errors.is_file():
            collect(self.errors, [self.errors])
