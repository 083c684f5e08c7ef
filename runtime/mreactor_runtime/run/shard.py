"""A part of a run, and the names of the files that say what was done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mreactor_ref.errors import UsageError

T = TypeVar("T")

MANIFEST, RUN, ERRORS = "manifest.jsonl", "run.json", "errors.jsonl"
SHARD_NAMES = {
    MANIFEST: re.compile(r"manifest-([0-9]+)-of-([0-9]+)\.jsonl"),
    RUN: re.compile(r"run-([0-9]+)-of-([0-9]+)\.json"),
    ERRORS: re.compile(r"errors-([0-9]+)-of-([0-9]+)\.jsonl"),
}


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1: of the clips in order of their ids every `count`-th.

    Several shards can write into one folder, since each has its own manifest and run file.

    Raises:
        UsageError: no such part.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if self.count < 1 or not 1 <= self.index <= self.count:
            most = max(self.count, 1)
            known = "the only shard of 1 is 1/1"
            if most > 1:
                known = f"the shards of {most} are 1/{most} to {most}/{most}"
            raise UsageError(f"there is no shard {self.index}/{self.count}", fix=known)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """ "I/N". Raises UsageError."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if not match:
            raise UsageError(f"shard is {text!r}, not like 1/4", fix="the first of four is 1/4")
        return cls(int(match[1]), int(match[2]))

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """This part of `items`."""
        return items[self.index - 1 :: self.count]

    def split(self, parts: int) -> list[Shard]:
        """Shards that are the same items together: parts of this part."""
        return [Shard(self.index + self.count * i, self.count * parts) for i in range(parts)]


WHOLE = Shard(1, 1)


def manifest_path(output: Path, shard: Shard = WHOLE) -> Path:
    """The manifest of a whole run, or that of a shard beside it."""
    if shard == WHOLE:
        return output / MANIFEST
    return output / f"manifest-{shard.index}-of-{shard.count}.jsonl"


def run_path(output: Path, shard: Shard = WHOLE) -> Path:
    """Likewise, of the file that says what the run was."""
    if shard == WHOLE:
        return output / RUN
    return output / f"run-{shard.index}-of-{shard.count}.json"


def errors_path(output: Path, shard: Shard = WHOLE) -> Path:
    """Likewise, of the file that says why clips have failed."""
    if shard == WHOLE:
        return output / ERRORS
    return output / f"errors-{shard.index}-of-{shard.count}.jsonl"


def shard_files(output: Path, name: str) -> list[Path]:
    """The files of all shards in a folder; `name` is MANIFEST, RUN or ERRORS."""
    if not output.is_dir():
        return []
    return sorted(path for path in output.iterdir() if SHARD_NAMES[name].fullmatch(path.name))


def shard_of_file(path: Path) -> Shard:
    """The shard whose file it is, one of `shard_files`."""
    matches = (pattern.fullmatch(path.name) for pattern in SHARD_NAMES.values())
    name = next(match for match in matches if match is not None)
    return Shard(int(name[1]), int(name[2]))
