"""The manifest of a run: JSON lines, one a clip, and what an earlier run's lines are still worth.

At any moment each line is whole, except that a killed process may leave the last one torn; readers
here pass over that. While a run goes on, the lines are in the order in which clips end; when it
ends, they are put into the order of the ids. Lines are read one at a time, never all at once: that
of a long clip is large.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mreactor_ref.data.clips import BadClip, ClipFiles
from mreactor_ref.files import open_whole
from mreactor_ref.json_text import NotJSON, parse_json

DONE, FAILED = "done", "failed"

Line = dict[str, Any]


class Place(NamedTuple):
    """Where a line stands, in bytes."""

    path: Path
    start: int
    length: int


class Manifest:
    """A manifest that grows by a line at a time, each written out at once.

    Args:
        path: continued where it is.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path.open("ab")

    def add(self, line: Line) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def close(self, in_order: bool) -> None:
        """Write no more; the lines are put into the order of the ids if asked."""
        self._file.close()
        if in_order:
            collect(self.path, [self.path])


def collect(
    target: Path, sources: Iterable[Path], keep: Callable[[Line], bool] = lambda line: True
) -> list[str]:
    """Write a manifest of those lines of others that `keep` takes, in order of their ids.

    Of several lines for one clip the last that is taken counts. A target that is that already is
    left as it is.

    Returns: the ids.
    """
    places: dict[str, Place] = {}
    for source in sources:
        for place, line in _lines(source):
            if keep(line):
                places[line["id"]] = place
    ordered = [place for _, place in sorted(places.items())]
    if _is_all_of(target, ordered):
        return sorted(places)
    with open_whole(target) as file:
        for place in ordered:
            with place.path.open("rb") as source:
                source.seek(place.start)
                file.write(source.read(place.length).rstrip(b"\n") + b"\n")
    return sorted(places)


def _is_all_of(path: Path, places: Sequence[Place]) -> bool:
    """Whether a file is nothing but these lines, in this order."""
    end = 0
    for place in places:
        if place.path != path or place.start != end:
            return False
        end += place.length
    if not path.is_file() or path.stat().st_size != end:
        return False
    with path.open("rb") as file:
        file.seek(max(end - 1, 0))
        return file.read() in (b"\n", b"")


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a manifest, in their order; none where there is no such file."""
    return (line for _, line in _lines(path))


def _lines(path: Path) -> Iterator[tuple[Place, Line]]:
    """The lines of a manifest that are whole; none where there is no such file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        start = 0
        for raw in file:
            try:
                line = parse_json(raw)
            except NotJSON:  # torn, or not ours
                line = None
            if isinstance(line, dict) and isinstance(line.get("id"), str):
                yield Place(path, start, len(raw)), line
            start += len(raw)


def state_of(files: ClipFiles | BadClip) -> str | None:
    """A short hash of the names, sizes and times of change of a clip's files, as `make` would look.

    None where they cannot be seen, or contradict each other.
    """
    if isinstance(files, BadClip):
        return None
    try:
        states = [
            (path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files.paths
        ]
    except OSError:
        return None
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]
