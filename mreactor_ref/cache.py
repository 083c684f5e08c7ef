"""Where the project keeps what it can make again: features of training clips, exported bundles."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mreactor_ref.errors import UsageError

CACHE_VARIABLE = "MREACTOR_CACHE"
ROOT_USER = 0


def cache_folder() -> Path:
    """The user's cache folder, or $MREACTOR_CACHE. It need not exist.

    Raises:
        UsageError: another user can write there. What is kept there runs: engines are built of it.
    """
    import platformdirs

    chosen = os.environ.get(CACHE_VARIABLE)
    folder = Path(chosen) if chosen else platformdirs.user_cache_path("mreactor")
    if problem := _open_to_others(folder):
        raise UsageError(problem, folder, f"make it yours alone, or set ${CACHE_VARIABLE}")
    return folder


def _open_to_others(folder: Path) -> str | None:
    """How another user can write into a folder, which need not exist."""
    if not hasattr(os, "geteuid"):
        return None  # owners are told otherwise there
    try:
        state = folder.stat()
    except OSError:
        return None
    if state.st_uid not in (os.geteuid(), ROOT_USER):
        return "the cache folder belongs to another user"
    if state.st_mode & stat.S_IWOTH:
        return "every user can write into the cache folder"
    return None
