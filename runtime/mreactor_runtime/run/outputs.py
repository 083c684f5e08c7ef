"""Files of a run: reactions as npz and records as JSON, with the same bytes again."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.files import write_whole
from mreactor_ref.signals import Reactions


def write_npz(path: Path, reactions: Reactions) -> str:
    """Write a clip's result whole or not at all; its SHA-256. The bytes hold no date (1980's)."""
    content = io.BytesIO()
    np.savez(content, attributes=reactions.attributes, coefficients=reactions.coefficients)
    write_whole(path, content.getbuffer())
    return hashlib.sha256(content.getbuffer()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """An object from a file; None where there is none, or it is damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
