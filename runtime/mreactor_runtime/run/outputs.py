"""Files of a run: reactions as npz and records as JSON, with the same bytes again."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.files import write_whole
from mreactor_ref.json_text import NotJSON, parse_json
from mreactor_ref.signals import Reactions
from mreactor_runtime.provenance import Provenance

PROVENANCE = "provenance"  # the member of an npz: text without axes, JSON


def npz_bytes(reactions: Reactions, provenance: Provenance) -> memoryview:
    """A clip's result as npz. The bytes hold no date (1980's)."""
    content = io.BytesIO()
    np.savez(
        content,
        attributes=reactions.attributes,
        coefficients=reactions.coefficients,
        provenance=np.array(provenance.to_json()),
    )
    return content.getbuffer()


def write_npz(path: Path, reactions: Reactions, provenance: Provenance) -> str:
    """Write a clip's result whole or not at all; its SHA-256."""
    content = npz_bytes(reactions, provenance)
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """An object from a file; None where there is none, or it is damaged."""
    try:
        value = parse_json(path.read_bytes())
    except (OSError, NotJSON):
        return None
    return value if isinstance(value, dict) else None
