"""Outlooks: how gloomily or sunnily each reaction of a clip takes what is said.

A reaction's outlook is a number in [0, 1) that holds for the whole of it. By it a reaction gets its
subject of each utterance (`emotion.priors.assign`) and its listener (`listeners.draw_codes`), so
that a gloomy subject meets a listener of a kind that takes things gloomily.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo one, are spread evenly however many there are


def outlooks(seed: int, clip_id: str, reactions: Iterable[int]) -> NDArray[np.float64]:
    """The outlook of each reaction of a clip, (S,), from 0, the gloomiest, up to 1.

    They are multiples of the golden ratio from a start that seed and clip fix: evenly spread, and
    reaction number r has the same one however many reactions there are.
    """
    text = f"{seed}/{clip_id}".encode("utf-8", "surrogatepass")
    start = int.from_bytes(blake2b(text, digest_size=8).digest()) / 2**64
    return np.fromiter(((start + GOLDEN * r) % 1.0 for r in reactions), np.float64)
