"""Takes values out of a stranger's json file without trusting it."""

from __future__ import annotations

from typing import Any, cast

from mreactor_ref.features.transcripts.clock import seconds
from mreactor_ref.features.transcripts.word import Piece, Unreadable

Entry = dict[str, Any]

TEXT_KEYS = ("punctuated_word", "word", "text", "content")
START_KEYS = ("start", "startTime", "start_time")
END_KEYS = ("end", "endTime", "end_time")


def entry(value: object) -> Entry:
    """The value if it is a mapping, else an empty one."""
    return cast("Entry", value) if isinstance(value, dict) else {}


def entries(value: object) -> list[Entry]:
    """The value if it is a list of mappings only, else an empty list."""
    if not isinstance(value, list):
        return []
    items = cast("list[object]", value)
    return cast("list[Entry]", items) if all(isinstance(x, dict) for x in items) else []


def first(item: Entry, keys: tuple[str, ...]) -> Any:
    """The value of the first key that is there and not null."""
    return next((item[key] for key in keys if item.get(key) is not None), None)


def text_of(item: Entry, name: str) -> str:
    """The text of a word or segment.

    Raises:
        Unreadable: it has none.
    """
    text = first(item, TEXT_KEYS)
    if not isinstance(text, str):
        raise Unreadable(f"{name} has no text", 'each has "word" or "text"')
    return " ".join(text.split())


def times_of(item: Entry, unit: float = 1.0) -> tuple[float | None, float | None]:
    """Start and end of a word or segment in seconds; numbers are in `unit` seconds."""
    pair = item.get("timestamp")
    if isinstance(pair, list | tuple) and len(cast("list[object]", pair)) == 2:
        start, end = cast("list[object]", pair)
    else:
        start, end = first(item, START_KEYS), first(item, END_KEYS)
    return seconds(start, unit), seconds(end, unit)


def pieces_of(items: list[Entry], unit: float = 1.0) -> tuple[Piece, ...]:
    """The words of a list that have text.

    Raises:
        Unreadable: a word without text.
    """
    pieces = (Piece(text_of(x, f"word {i}"), *times_of(x, unit)) for i, x in enumerate(items))
    return tuple(piece for piece in pieces if piece.text)


def name_of(value: object) -> str | None:
    """A speaker's name or number as text."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value) or None
    return None
