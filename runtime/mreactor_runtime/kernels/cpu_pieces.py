"""Pieces of a long clip, for what depends on a frame and those near it: memory of a piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PIECE = 4096  # frames; a clip of no more is one piece


@dataclass(frozen=True)
class Piece:
    """Frames of a clip.

    Attributes:
        frames: of the piece itself; all pieces together are the clip.
        seen: with those near it that the piece depends on.
        inside: where the piece is in what it sees.
    """

    frames: slice
    seen: slice
    inside: slice


def pieces(frames: int, margin: int) -> Iterator[Piece]:
    """Cut a clip where frames depend on `margin` more on each side."""
    for start in range(0, frames, PIECE):
        stop, first = min(start + PIECE, frames), max(0, start - margin)
        inside = slice(start - first, stop - first)
        yield Piece(slice(start, stop), slice(first, min(stop + margin, frames)), inside)
