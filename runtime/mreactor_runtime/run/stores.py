"""Folders at URLs, such as s3://bucket/clips, that a run sees as folders on this machine.

What is there is mirrored: a file of the same name, size and time that holds nothing yet. It is
filled when it is needed, and emptied when it is not any more, so a store of any size takes the room
of a few clips. Any file system of fsspec will do.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from mreactor_ref.errors import UsageError

# Stores that put a whole object or none; elsewhere a file gets its name when it is all there.
WHOLE_OBJECTS = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "memory"))
PARTIAL = re.compile(r"\.(.+)\.[^.]+-[0-9]+\.partial")  # until then
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
# Files that are looked into to tell whether they are clips, where they stand alone.
LOOKED_INTO = (".json", ".csv", ".npy")


def is_url(place: str | Path) -> bool:
    """Whether it lies in a store, and not in a folder of this machine."""
    return "://" in str(place)


def is_of_one_process(place: str | Path) -> bool:
    """Whether it is a store that other processes do not see."""
    return str(place).startswith("memory://")


@dataclass(frozen=True)
class Stored:
    """What a store says of a file: its name there, its size, and when it was changed, in ns."""

    name: str
    size: int
    time: int


class Mirror:
    """A folder of a store, as a folder here. It knows of no file until it is told, or lists them.

    Args: url: of the store's folder. folder: here, empty.
    Raises: UsageError: there is no such kind of store.
    """

    def __init__(self, url: str, folder: Path):
        import fsspec

        self.url, self.folder = url.rstrip("/"), folder
        with _reaching(url):
            self._store, root = fsspec.url_to_fs(url)
            self._store.invalidate_cache()
        self._root = root.rstrip("/")
        self._stored: dict[Path, Stored] = {}  # by the place here
        self._families: dict[tuple[Path, str], set[Path]] = defaultdict(set)
        self._partials: list[tuple[Path, str]] = []  # what they were to become, and their names
        folder.mkdir(parents=True, exist_ok=True)

    def list(self) -> None:
        """Learn what the store has. Raises UsageError where it cannot be reached."""
        with _reaching(self.url):
            there: dict[str, dict[str, Any]] = self._store.find(self._root, detail=True)
        for name, facts in there.items():
            parts = PurePosixPath(name[len(self._root) :].strip("/")).parts
            if not parts or any(part in ("..", "") for part in parts):
                continue
            path = self.folder.joinpath(*parts)
            if not any(part.startswith(".") for part in parts):
                self.expect(path, Stored(name, facts["size"] or 0, _time_of(facts)))
            elif match := PARTIAL.fullmatch(parts[-1]):
                self._partials.append((path.with_name(match[1]), name))

    def expect(self, path: Path, stored: Stored) -> None:
        """Learn of a file of the store, at its place here."""
        self._stored[path] = stored
        self._families[_family(path)].add(path)
        self.empty(path)

    def forget(self) -> None:
        """Know of no file any more, and have none here."""
        self._stored.clear()
        self._families.clear()
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def fill_lone(self) -> None:
        """Fill the files that must be looked into to tell whether they are clips."""
        for path in self._stored:
            alone = len(self._families[_family(path)]) == 1
            if alone and path.suffix.lower() in LOOKED_INTO:
                self.fill(path)

    def files(self) -> Mapping[Path, Stored]:
        """The files of the store, by their places here."""
        return self._stored

    def fill(self, path: Path) -> None:
        """Copy a file from the store. Raises what the store raises."""
        stored = self._stored[path]
        self._store.get_file(stored.name, str(path))
        os.utime(path, ns=(stored.time, stored.time))

    def empty(self, path: Path) -> None:
        """Make a file hold nothing, with its size and time."""
        stored = self._stored[path]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(stored.size)
        os.utime(path, ns=(stored.time, stored.time))

    def put(self, path: Path, content: bytes) -> None:
        """Write a file into the store, whole or not at all."""
        name = f"{self._root}/{path.relative_to(self.folder).as_posix()}"
        parent, _, last = name.rpartition("/")
        self._store.makedirs(parent, exist_ok=True)
        if WHOLE_OBJECTS.isdisjoint(_protocols(self._store)):
            writer = f"{socket.gethostname().partition('.')[0]}-{os.getpid()}"
            partial = f"{parent}/.{last}.{writer}.partial"
            self._store.pipe_file(partial, content)
            self._store.mv(partial, name)
        else:
            self._store.pipe_file(name, content)
        self._stored[path] = Stored(name, len(content), 0)
        self._families[_family(path)].add(path)

    def url_of(self, path: Path) -> str:
        """Where a file is in the store, for people."""
        return f"{self.url}/{path.relative_to(self.folder).as_posix()}"

    def remove_gone(self, paths: Iterable[Path]) -> None:
        """Remove those files from the store that are not here any more."""
        for path in paths:
            if path in self._stored and not path.exists():
                self._families[_family(path)].discard(path)
                self._remove(self._stored.pop(path).name)

    def remove_partials(self, places: Iterable[Path]) -> None:
        """Remove what killed processes left half written, before it was listed, of the files
        `of` these places."""
        families = {_family(place) for place in places}
        for path, name in self._partials:
            if _family(path) in families:
                self._remove(name)

    def of(self, path: Path) -> list[Path]:
        """The files of the store whose names are that of a path and a suffix."""
        family = self._families[_family(path)]
        return sorted(other for other in family if other.name.startswith(f"{path.name}."))

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._store.rm_file(name)


class Mirrors:
    """The inputs and the output of a run as folders here, where they are URLs below one of them.

    Args: folder: of the mirrors. inputs, output: folders, or URLs.

    Attributes:
        inputs, output: here. place: the output as it was given.
        sources: mirrors of inputs. results: the mirror of the output; None where it is a folder.
    """

    def __init__(self, folder: Path, inputs: Iterable[str | Path], output: str | Path):
        self.folder, self.place = folder, output
        self.sources: list[Mirror] = []
        self.inputs = [self._source(place, i) for i, place in enumerate(inputs)]
        self.results = Mirror(str(output), folder / "output") if is_url(output) else None
        self.output = Path(output) if self.results is None else self.results.folder

    def _source(self, place: str | Path, number: int) -> str | Path:
        if not is_url(place):
            return place
        name = str(place).rstrip("/").rpartition("/")[2]
        self.sources.append(Mirror(str(place), self.folder / f"input{number}" / name))
        return self.sources[-1].folder

    @property
    def all(self) -> list[Mirror]:
        return [*self.sources, *([] if self.results is None else [self.results])]

    def around(self, path: Path) -> Mirror:
        """The mirror that a path lies in."""
        return next(mirror for mirror in self.all if path.is_relative_to(mirror.folder))

    def holding(self, paths: Iterable[Path]) -> Iterator[tuple[Mirror, Path]]:
        """Those of some files that are copies of an input's, with their mirrors."""
        for path in paths:
            for mirror in self.sources:
                if path in mirror.files():
                    yield mirror, path

    def with_urls(self, text: str) -> str:
        """What is said of files here, said of those at URLs."""
        for mirror in self.all:
            text = text.replace(str(mirror.folder), mirror.url)
        return text


@contextmanager
def _reaching(url: str) -> Generator[None]:
    """Raises UsageError where the block fails to reach a store."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"cannot be reached: {error}", url) from None


def _family(path: Path) -> tuple[Path, str]:
    return path.parent, path.name.split(".")[0]


def _protocols(store: Any) -> set[str]:
    return {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)


def _time_of(facts: dict[str, Any]) -> int:
    """The time of change, as far as the store tells one, in whole microseconds."""
    value = next((facts[name] for name in TIMES if facts.get(name) is not None), 0.0)
    seconds = value.timestamp() if isinstance(value, datetime) else float(value)
    return round(seconds * 1e6) * 1000
