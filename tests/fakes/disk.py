"""A disk that fails while a file is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mreactor_ref import files

FULL = OSError(28, "No space left on device")


def fail_writing(
    patch: pytest.MonkeyPatch,
    fails: Callable[[Path], bool] = lambda path: True,
    error: BaseException = FULL,
) -> None:
    """Files that `fails` takes end with an error, with half of their content on the disk."""
    sync = files.sync

    def half(path: Path) -> None:
        match = files.PARTIAL.fullmatch(path.name)
        if match and fails(path.with_name(match[1])):
            os.truncate(path, path.stat().st_size // 2)
            raise error
        sync(path)

    patch.setattr(files, "sync", half)
