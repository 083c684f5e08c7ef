"""One voice out of the channels of a sound."""

from __future__ import annotations

import numpy as np

from mreactor_ref.features.sound_track import Track
from mreactor_ref.signals import Array

SILENT_SHARE = 1e-8  # of the energy of the other channel: 80 dB below
CENTRE_SHARE = 1e-3  # 30 dB below the mean of the others the centre carries no voice
OPPOSITE = -0.7  # correlation of two channels below which they would cancel out


def mix(track: Track) -> tuple[Array, list[str]]:
    """(N,) one voice, full scale 1, and a line for each thing that was mended.

    Left and right are averaged, so a sound stored twice is as loud as the same sound stored once;
    where one is silent the other is taken, and where they would cancel out one is turned. Of more
    channels the centre is taken, which carries the voice of a film, unless it is silent.
    """
    rows = track.rows if track.unit == 1.0 else track.rows / np.float32(track.unit)
    if len(rows) == 1:
        return rows[0], []
    first, second = rows
    energy, other = _product(first, first), _product(second, second)
    if track.surround:
        if other <= CENTRE_SHARE * energy:
            return first, []
        return second, ["of its channels the centre is taken, which carries the voice"]
    if min(energy, other) <= SILENT_SHARE * max(energy, other):
        if energy == other == 0.0:
            return first, []
        side, row = ("left", first) if energy > other else ("right", second)
        return row, [f"one of its two channels is silent: the {side} one is taken"]
    if _product(first, second) < OPPOSITE * np.sqrt(energy * other):
        line = "its two channels are in opposite phase and would cancel out: one is turned"
        return (first - second) / 2, [line]
    return (first + second) / 2, []


def _product(a: Array, b: Array) -> float:
    return float(np.einsum("n,n->", a, b, dtype=np.float64))
