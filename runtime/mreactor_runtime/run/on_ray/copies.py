"""Folders of the workers of a cluster for copies of what lies at URLs, and how they go again."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

PATIENCE = 30.0  # seconds that a worker has to end


def made_folder(origin: Path) -> Path:
    """A folder for this process, which nobody else may read.

    Args: origin: the folder of the process that shares the work out, whose name is the run's alone.
    """
    folder = Path(tempfile.gettempdir(), f"{origin.name}-{os.getpid()}").resolve()
    folder.mkdir(mode=0o700)
    return folder


def drop_folders(origin: Path) -> None:
    """Remove the folders of all processes on this machine, as soon as each has ended."""
    latest = time.monotonic() + PATIENCE
    for folder in Path(tempfile.gettempdir()).glob(f"{origin.name}-*"):
        process = Path("/proc", folder.name.rpartition("-")[2])
        while process.exists() and time.monotonic() < latest:
            time.sleep(0.05)
        shutil.rmtree(folder, ignore_errors=True)
