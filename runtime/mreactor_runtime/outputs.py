"""Files that a run leaves: written whole or not at all, and with the same bytes again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.errors import UsageError
from mreactor_ref.signals import Reactions


def check_writable(folder: Path) -> None:
    """Make a folder and try to write there. Raises UsageError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", folder, "give another --output"
        ) from None


def write_npz(path: Path, reactions: Reactions) -> str:
    """Write a clip's result whole or not at all; its SHA-256. The bytes hold no date (1980's)."""
    content = io.BytesIO()
    np.savez(content, attributes=reactions.attributes, coefficients=reactions.coefficients)
    write_whole(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write indented JSON whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name beside it, then rename: no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
