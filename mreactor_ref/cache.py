"""Where the project keeps what it can make again: features of training clips, exported bundles."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "MREACTOR_CACHE"


def cache_folder() -> Path:
    """The user's cache folder, or $MREACTOR_CACHE. It need not exist."""
    import platformdirs

    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("mreactor")
