"""Where the project keeps what it can make again: features of training clips, exported bundles."""

from __future__ import annotations

import os
import threading
from pathlib import Path

CACHE_VARIABLE = "MREACTOR_CACHE"


def cache_folder() -> Path:
    """The user's cache folder, or $MREACTOR_CACHE. It need not exist."""
    import platformdirs

    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("mreactor")


def replace_text(path: Path, text: str) -> None:
    """Write a file, and its folder, in one step: a reader finds the whole of it or the old one.

    Raises:
        OSError: it cannot be written; nothing is left of it then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}-{threading.get_ident()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
