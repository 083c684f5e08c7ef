"""Files that are written whole or not at all, and the hashes that they are known by.

A file is written under another name beside its place, brought to the disk, and renamed. So a reader
finds the older file or the newer, never half of one, also after a power cut.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Container, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mreactor_ref.errors import UsageError

SHOWN_DIGITS = 12  # of a SHA-256, where people read it
# Of a file system, or a folder, whose state cannot be brought to the disk from here.
CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
PARTIAL = re.compile(r"\.(.+)\.[0-9]+-[0-9]+\.partial")  # as `in_place_of` names it


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all; its folder is made if need be."""
    with open_whole(path) as file:
        file.write(content)


@contextmanager
def open_whole(path: Path) -> Generator[BinaryIO]:
    """A file to write piece by piece, that takes its place when the block ends without error."""
    with in_place_of(path) as partial, partial.open("wb") as file:
        yield file


@contextmanager
def in_place_of(path: Path) -> Generator[Path]:
    """Another path beside `path`: what the block writes there takes its place, if nothing fails.

    The other name is that of this process and thread alone. It is removed where the block fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    partial = path.with_name(f".{path.name}.{writer}.partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk, where the file system can."""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


def remove_partials(folder: Path, names: Container[str]) -> None:
    """Remove what killed processes left half written of some files.

    Others are left alone: another process may be at them.

    Args:
        names: paths below the folder, with "/".
    """
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if match := PARTIAL.fullmatch(name):
                path = Path(root, match[1]).relative_to(folder).as_posix()
                if path in names:
                    Path(root, name).unlink(missing_ok=True)


@contextmanager
def unwritable(path: Path, fix: str | None = None) -> Generator[None]:
    """Turn an OSError of the block into a UsageError: the path cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror or error}", path, fix) from None


def check_writable(folder: Path) -> None:
    """Try to write a file in a folder, or where the folder is to be.

    Raises:
        UsageError: that fails.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    with unwritable(folder, "give another --output"), tempfile.TemporaryFile(dir=there):
        pass


def is_disk_full(error: BaseException) -> bool:
    """Whether nothing more can be written, of this file or any other."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown_hash(sha256: str) -> str:
    """The beginning of a hash, for people."""
    return f"{sha256[:SHOWN_DIGITS]}..."
