"""Files that a run leaves: written whole or not at all, and with the same bytes again."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Container, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mreactor_ref.errors import UsageError
from mreactor_ref.signals import Reactions

BLOCK = 1 << 20  # bytes at a time
PARTIAL = re.compile(r"\.(.+)\.[0-9]+\.partial")  # of `write_whole`: the file's name, the process


def check_writable(folder: Path) -> None:
    """Try to write in a folder, or where it is to be. Raises UsageError where that fails."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", folder, "give another --output"
        ) from None


def write_npz(path: Path, reactions: Reactions) -> str:
    """Write a clip's result whole or not at all; its SHA-256. The bytes hold no date (1980's)."""
    content = io.BytesIO()
    np.savez(content, attributes=reactions.attributes, coefficients=reactions.coefficients)
    write_whole(path, content.getbuffer())
    return hashlib.sha256(content.getbuffer()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def is_disk_full(error: BaseException) -> bool:
    """Whether nothing more can be written, of this clip or any other."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def read_json(path: Path) -> dict[str, Any] | None:
    """An object from a file; None where there is none, or it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file under another name beside it, then rename: no reader sees half of it."""
    with _renamed(path) as partial:
        partial.write_bytes(content)


@contextmanager
def open_whole(path: Path) -> Generator[BinaryIO]:
    """A file to write piece by piece, that takes its place when the block ends without error."""
    with _renamed(path) as partial, partial.open("wb") as file:
        yield file
        file.flush()


@contextmanager
def _renamed(path: Path) -> Generator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: Path, names: Container[str]) -> None:
    """Remove what a killed process left of the files `names`, paths below the folder with "/".

    Others are left alone: another process may be at them.
    """
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if found := PARTIAL.fullmatch(name):
                path = Path(root, found[1]).relative_to(folder).as_posix()
                if path in names:
                    Path(root, name).unlink(missing_ok=True)


def sha256_of(path: Path) -> str | None:
    """Of a file's content; None where there is no such file to read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                found.update(block)
    except OSError:
        return None
    return found.hexdigest()
