"""The files of a run's inputs: folders in depth, single files, and patterns."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mreactor_ref.data.layout import (
    AUDIO,
    PROCESSED,
    RUN_FILES,
    RUN_PAIR,
    VIDEO,
    VIEW_DATA,
    is_result,
)
from mreactor_ref.errors import MReactorError, UsageError

RESULT = "it is a result of a run"
# Folders without end, whose files are no files.
SYSTEM = ("/proc", "/sys", "/dev")

# Folders, files, and patterns such as `talks/*.wav`.
Inputs = str | Path | Sequence[str | Path]


def listed(inputs: Inputs) -> list[str | Path]:
    """The inputs as a list, also where there is one."""
    return [inputs] if isinstance(inputs, str | Path) else list(inputs)


@dataclass(frozen=True)
class Ignored:
    """A file that no clip is read from, and why."""

    path: Path
    reason: str


@dataclass
class Folder:
    """A folder that is an input, or that holds files which are.

    Attributes:
        path: clips are named by their place below it.
        named: its files that are the inputs; None is all that lie below it.
        places: file -> its place below the folder, of all that may belong to a clip.
        ignored: files below it that cannot.
    """

    path: Path
    named: list[Path] | None = None
    places: dict[Path, PurePosixPath] = field(default_factory=dict[Path, PurePosixPath])
    ignored: list[Ignored] = field(default_factory=list[Ignored])


def look_through(inputs: Sequence[str | Path]) -> list[Folder]:
    """The folders of the inputs, with their files. Files of one folder come together.

    A name with *, ? or [ that is no file stands for all that it matches, as in a shell.

    Raises:
        UsageError: an input is not there, or matches nothing.
    """
    folders: dict[tuple[Path, bool], Folder] = {}
    for path in (match for given in inputs for match in _matches(given)):
        if path.is_dir():
            folders.setdefault((path, True), Folder(path))
        else:
            folder = folders.setdefault((path.parent, False), Folder(path.parent, []))
            assert folder.named is not None
            folder.named.append(path)
    for folder in folders.values():
        _fill(folder)
    return list(folders.values())


def check_there(folders: Iterable[Path], files: Iterable[Path]) -> None:
    """Find out whether a clip cannot be read because the input as a whole has gone.

    Args: folders: of the input. files: of the clip.
    Raises: MReactorError where the clip has no file any more, and a folder nothing at all.
    """
    if any(path.exists() for path in files):
        return
    for folder in folders:
        try:
            gone = not any(True for _ in os.scandir(folder))
        except OSError:
            gone = True
        if gone:
            fix = "bring it back and run it again: what is done is kept"
            raise MReactorError("the input has gone, or is empty now", folder, fix)


def _matches(given: str | Path) -> list[Path]:
    path = Path(given)
    if path.exists():
        return [path]
    if glob.has_magic(str(given)):
        hits = sorted(Path(hit) for hit in glob.glob(str(given), recursive=True))
        if hits:
            return hits
        raise UsageError("matches nothing", path, "give a folder of clips, or a clip's file")
    raise UsageError(
        "there is no such file or folder", path, "give the folder that holds the clips"
    )


def _fill(folder: Folder) -> None:
    files = _walk(folder) if folder.named is None else _beside(folder.path)
    for path in files:
        if not stat.S_ISREG(_mode(path)):
            folder.ignored.append(Ignored(path, "it is no file that can be read"))
        else:
            folder.places[path] = PurePosixPath(path.relative_to(folder.path).as_posix())
    for path in _results(folder):
        del folder.places[path]
        folder.ignored.append(Ignored(path, RESULT))


def _mode(path: Path) -> int:
    if path.is_symlink() and _is_system(os.path.realpath(path)):
        return 0
    try:
        return path.stat().st_mode
    except OSError:  # a link to nothing
        return 0


def _walk(folder: Folder) -> Iterator[Path]:
    """Files in depth without the hidden ones; folders that are links count, once.

    Links that lead to the system's folders, or to one above the input, are not followed.
    """
    seen: set[str] = set()
    top = os.path.realpath(folder.path)
    for root, folders, names in os.walk(folder.path, followlinks=True):
        real = os.path.realpath(root)
        why = "it leads to the system's own files" if _is_system(real) else None
        if real != top and os.path.commonpath((real, top)) == real:
            why = "it leads to a folder above the input"
        if why:
            folder.ignored.append(Ignored(Path(root), why))
        if why or real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def _is_system(real: str) -> bool:
    return real.startswith(SYSTEM) and any(
        os.path.commonpath((real, system)) == system for system in SYSTEM
    )


def _beside(folder: Path) -> Iterator[Path]:
    """The files of a folder that may belong to one of them."""
    for place in (folder, folder / PROCESSED):
        if place.is_dir():
            paths = sorted(path for path in place.iterdir() if not path.name.startswith("."))
            yield from (path for path in paths if not path.is_dir())


def _results(folder: Folder) -> list[Path]:
    """Files that runs have written: into a folder of their own, or beside the clips; and pages."""
    views = {path.parent for path in folder.places if path.name == VIEW_DATA}
    shown = {path for path in folder.places if not views.isdisjoint(path.parents)}
    by_folder: dict[Path, set[str]] = {}
    for path in folder.places:
        if RUN_FILES.fullmatch(path.name):
            by_folder.setdefault(path.parent, set()).add(path.name.split(".")[0].split("-")[0])
    outputs = {path for path, kinds in by_folder.items() if kinds.issuperset(RUN_PAIR)}
    media = {
        parent
        for path in folder.places.keys() - shown
        if path.suffix.lower() in (*AUDIO, *VIDEO)
        for parent in path.parents
    }
    # an output without sounds in it is nobody's clips; the input itself may be one
    whole = {path for path in outputs if path != folder.path and path not in media}
    return [
        path
        for path in folder.places
        if path in shown
        or not whole.isdisjoint(path.parents)
        or (
            (is_result(path.name) or path.suffix == ".npz") and not outputs.isdisjoint(path.parents)
        )
    ]
