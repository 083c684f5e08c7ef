"""A folder of files that is there whole or not at all: written beside its place, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path

from mreactor_ref.errors import UsageError
from mreactor_ref.files import sync, unwritable, write_whole

ELSEWHERE = "give another --output"
MIB = 2**20


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new folder and put it in the place of whatever was there.

    Args: files: path below the folder, with "/" -> content.
    Raises: UsageError where it cannot be written, or the disk is full; then what was there stays.
    """
    with unwritable(folder, ELSEWHERE), _folder_beside(folder) as partial:
        partial.chmod(0o755)  # mkdtemp's own is for one user only
        for name, content in files.items():
            write_whole(partial / name, content)
        _replace_folder(partial, folder)
        sync(folder.parent)


def check_replaceable(folder: Path, marker: str, kind: str, least: int = 0) -> None:
    """Say now what `write_folder` would say later, after minutes of work.

    Args:
        marker: path below the folder that tells one of its `kind` from anything else.
        least: bytes that will be written at the least.
    Raises: UsageError where the folder holds something else, cannot be written or replaced, or the
        disk has not even so much room.
    """
    if folder.exists() and not (folder / marker).is_file() and not _is_empty(folder):
        raise UsageError(f"exists and is no {kind}", folder, ELSEWHERE)
    if os.path.ismount(folder):
        raise UsageError(
            f"is a mount point, whose place a {kind} cannot take", folder, "give a folder inside it"
        )
    with unwritable(folder, ELSEWHERE), _folder_beside(folder):
        pass
    free = shutil.disk_usage(folder.parent).free
    if free < least:
        raise UsageError(
            f"its disk has {free / MIB:.1f} MiB left, and a {kind} is over {least / MIB:.1f} MiB",
            folder,
            ELSEWHERE,
        )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


@contextlib.contextmanager
def _folder_beside(folder: Path) -> Generator[Path]:
    """A new folder next to one, whose parent is made; it goes, unless the block has moved it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace_folder(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; an older one is put aside first, and back when that fails."""
    with _put_aside(folder):
        new.rename(folder)


@contextlib.contextmanager
def _put_aside(folder: Path) -> Generator[None]:
    if not folder.exists():
        yield
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    try:
        folder.rename(old / folder.name)
        try:
            yield
        except BaseException:
            (old / folder.name).rename(folder)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
