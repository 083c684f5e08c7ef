"""Counts what workers have begun and not ended: that is what they may have died over."""

from __future__ import annotations

from collections import Counter

MOST_TRIES = 3  # of a clip that is alone with its worker, and of opening the model


class Tries:
    """An actor that outlives the workers. A key is a chunk of clips, or anything else."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, key: str) -> int:
        """How often it was begun before, and not ended."""
        self._begun[key] += 1
        return self._begun[key] - 1

    def end(self, key: str) -> None:
        self._begun[key] -= 1
