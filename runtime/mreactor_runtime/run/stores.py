"""Folders at URLs, such as s3://bucket/clips, that a run sees as folders on this machine.

What is there is mirrored: a file of the same name, size and time that holds nothing yet. It is
filled when it is needed, and emptied when it is not any more, so a store of any size takes the room
of a few clips. Any file system of fsspec will do.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from mreactor_ref.errors import UsageError

# Stores that put a whole object or none; elsewhere a file gets its name when it is all there.
WHOLE_OBJECTS = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "memory"))
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
# Files that are looked into to tell whether they are clips, where they stand alone.
LOOKED_INTO = (".json", ".csv", ".npy")


def is_url(place: str | Path) -> bool:
    """Whether it lies in a store, and not in a folder of this machine."""
    return "://" in str(place)


class Mirror:
    """A folder of a store, as a folder here.

    Args: url: of the store's folder. folder: here, empty.
    Raises: UsageError: there is no such kind of store, or it cannot be reached.
    """

    def __init__(self, url: str, folder: Path):
        import fsspec

        self.url, self.folder = url.rstrip("/"), folder
        try:
            self._store, root = fsspec.url_to_fs(url)
            self._root = root.rstrip("/")
            self._store.invalidate_cache()
            there: dict[str, dict[str, Any]] = self._store.find(self._root, detail=True)
        except (OSError, ValueError, ImportError) as error:
            raise UsageError(f"cannot be reached: {error}", url) from None
        self._remote: dict[Path, dict[str, Any]] = {}  # place here -> what the store says of it
        self._families: dict[tuple[Path, str], set[Path]] = defaultdict(set)
        folder.mkdir(parents=True, exist_ok=True)
        for name, facts in there.items():
            parts = PurePosixPath(name[len(self._root) :].strip("/")).parts
            if parts and not any(part in ("..", "") or part.startswith(".") for part in parts):
                path = folder.joinpath(*parts)
                self._add(path, facts | {"name": name})
                self.empty(path)

    def fill_lone(self) -> None:
        """Fill the files that must be looked into to tell whether they are clips."""
        for path in self._remote:
            alone = len(self._families[_family(path)]) == 1
            if alone and path.suffix.lower() in LOOKED_INTO:
                self.fill(path)

    def files(self) -> Iterable[Path]:
        """The files of the store, at their places here."""
        return self._remote.keys()

    def holds(self, path: Path) -> bool:
        """Whether a file here is one of the store."""
        return path in self._remote

    def fill(self, path: Path) -> None:
        """Copy a file from the store. Raises what the store raises."""
        facts = self._remote[path]
        self._store.get_file(facts["name"], str(path))
        _set_time(path, facts)

    def empty(self, path: Path) -> None:
        """Make a file hold nothing, with its size and time."""
        facts = self._remote[path]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(facts["size"] or 0)
        _set_time(path, facts)

    def put(self, path: Path, content: bytes) -> None:
        """Write a file into the store, whole or not at all."""
        name = f"{self._root}/{path.relative_to(self.folder).as_posix()}"
        parent, _, last = name.rpartition("/")
        self._store.makedirs(parent, exist_ok=True)
        if WHOLE_OBJECTS.isdisjoint(_protocols(self._store)):
            partial = f"{parent}/.{last}.{os.getpid()}.partial"
            self._store.pipe_file(partial, content)
            self._store.mv(partial, name)
        else:
            self._store.pipe_file(name, content)
        self._add(path, {"name": name, "size": len(content)})

    def url_of(self, path: Path) -> str:
        """Where a file is in the store, for people."""
        return f"{self.url}/{path.relative_to(self.folder).as_posix()}"

    def remove_gone(self, paths: Iterable[Path]) -> None:
        """Remove those files from the store that are not here any more."""
        for path in paths:
            if path in self._remote and not path.exists():
                name = self._remote.pop(path)["name"]
                self._families[_family(path)].discard(path)
                with suppress(FileNotFoundError):
                    self._store.rm_file(name)

    def of(self, path: Path) -> list[Path]:
        """The files of the store whose names are that of a path and a suffix."""
        family = self._families[_family(path)]
        return sorted(other for other in family if other.name.startswith(f"{path.name}."))

    def _add(self, path: Path, facts: dict[str, Any]) -> None:
        self._remote[path] = facts
        self._families[_family(path)].add(path)


def _family(path: Path) -> tuple[Path, str]:
    return path.parent, path.name.split(".")[0]


def _protocols(store: Any) -> set[str]:
    return {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)


def _set_time(path: Path, facts: dict[str, Any]) -> None:
    """The time of change, as far as the store tells one."""
    value = next((facts[name] for name in TIMES if facts.get(name) is not None), 0.0)
    seconds = value.timestamp() if isinstance(value, datetime) else float(value)
    os.utime(path, ns=(nanoseconds := round(seconds * 1e6) * 1000, nanoseconds))
