"""Whether a file that stands alone is of a clip at all, by a look inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mreactor_ref.errors import ClipError
from mreactor_ref.features.faces.npy import open_rows
from mreactor_ref.features.faces.table import read_names
from mreactor_ref.features.faces.tools import is_face
from mreactor_ref.features.transcripts.text_file import MAX_BYTES
from mreactor_ref.json_text import NotJSON, parse_json

MOST_LOOKED = 5_000  # values of a json file
# Every known form of a transcript has an object with one of each.
TEXTS = frozenset(("word", "text", "content", "transcript", "punctuated_word", "alternatives"))
STARTS = frozenset(
    (
        *("start", "starttime", "start_time", "startoffset", "timestamp", "timestamps", "offsets"),
        *("offset", "from", "begin", "ts", "resultendtime", "resultendoffset", "case"),
    )
)


def why_no_clip(path: Path) -> str | None:
    """Why a lone json, csv or npy file is no clip; None for one that is, or that is damaged.

    A damaged file is a clip that fails by name; one of another kind would fail for ever.
    """
    try:
        match path.suffix.lower():
            case ".json":
                return None if is_transcript(path) else "it is a json that holds no transcript"
            case ".csv":
                names = read_names(path)
                return "it is a csv that holds no face" if names and not is_face(names) else None
            case ".npy":
                open_rows(path)
                return None
            case _:
                return None
    except ClipError as error:
        return f"it {error.problem}" if error.problem.startswith("has shape") else None
    except OSError:
        return None


def is_transcript(path: Path) -> bool:
    """Whether a json file holds a transcript, or is damaged: an object with a text and a time."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return True  # it is read as a clip, and refused there
        data = parse_json(path.read_bytes())
    except (OSError, NotJSON):
        return True  # also several documents one after the other
    left, queue = MOST_LOOKED, [data]
    while queue and left:
        value: Any = queue.pop()
        left -= 1
        if isinstance(value, dict):
            keys = {str(key).lower() for key in value}
            if keys & TEXTS and keys & STARTS:
                return True
            queue += value.values()
        elif isinstance(value, list):
            queue += value[:MOST_LOOKED]
    return False
