"""Action units and ARKit's 52 face shapes: the one table that says which unit is which shape.

It serves both ways, `unit_levels` and `unit_shapes`. It is the usual correspondence of the
definitions of FACS (Ekman, Friesen and Hager 2002) with those of ARKit, not fitted to coded faces.
It is weak: a linear map of blendshapes to action units that py-feat fitted on 350,000 frames
explains a quarter of their variance (py-feat 2.1.5, feat/utils/blendshape_to_au.py). TRUSTED names
the units that can be relied on; the others are hints.
"""

from __future__ import annotations

import numpy as np

from mreactor_ref.features.occurrence import THRESHOLD
from mreactor_ref.head.head import TARGETS
from mreactor_ref.signals import ACTION_UNITS, Array

ARKIT_SHAPES = TARGETS

# What a unit is the sum of. A name without its side stands for the mean of left and right.
# AU23 has no shape of its own. AU25 is the gap between the lips: an open jaw with closed lips
# (mouthClose undoes jawOpen) is none.
UNIT_SHAPES: dict[str, dict[str, float]] = {
    "AU1": {"browInnerUp": 1.0},
    "AU2": {"browOuterUp": 1.0},
    "AU4": {"browDown": 1.0},
    "AU6": {"cheekSquint": 1.0},
    "AU7": {"eyeSquint": 1.0},
    "AU9": {"noseSneer": 1.0},
    "AU10": {"mouthUpperUp": 1.0},
    "AU12": {"mouthSmile": 1.0},
    "AU14": {"mouthDimple": 1.0},
    "AU15": {"mouthFrown": 1.0},
    "AU17": {"mouthShrugLower": 1.0},
    "AU23": {"mouthRollLower": 0.5, "mouthRollUpper": 0.5},
    "AU24": {"mouthPress": 1.0},
    "AU25": {"jawOpen": 1.0, "mouthClose": -1.0, "mouthLowerDown": 1.0, "mouthUpperUp": 1.0},
    "AU26": {"jawOpen": 1.0},
}
LIPS, JAW = "AU25", "jawOpen"
PRESENT_SHAPE = 0.3  # a weight from which a unit occurs; chosen, not fitted
TRUSTED = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU25", "AU26")
HINTS = tuple(name for name in ACTION_UNITS if name not in TRUSTED)


def sides(name: str) -> tuple[str, ...]:
    """The shapes that a name of UNIT_SHAPES stands for: itself, or left and right."""
    return (name,) if name in ARKIT_SHAPES else (f"{name}Left", f"{name}Right")


def _places(name: str) -> list[int]:
    return [ARKIT_SHAPES.index(shape) for shape in sides(name)]


def _matrix() -> Array:
    """(52, 15) the share of each shape in each unit."""
    matrix = np.zeros((len(ARKIT_SHAPES), len(ACTION_UNITS)), np.float32)
    for column, unit in enumerate(ACTION_UNITS):
        for name, share in UNIT_SHAPES[unit].items():
            matrix[_places(name), column] = share / len(_places(name))
    return matrix


def _shown() -> Array:
    """(15, 52) which shapes a unit shows in, 0 or 1; none for the lips, see `unit_shapes`."""
    shown = (_MATRIX.T > 0).astype(np.float32)
    shown[ACTION_UNITS.index(LIPS)] = 0
    return shown


_MATRIX = _matrix()
_SHOWN = _shown()


def unit_levels(shapes: Array) -> Array:
    """How strongly each action unit shows: (T, 52) weights of ARKIT_SHAPES -> (T, 15), 0 to 1."""
    return np.clip(shapes @ _MATRIX, 0.0, 1.0)


def unit_shapes(levels: Array) -> Array:
    """The shapes in which action units show: (T, 15), 0 to 1 -> (T, 52) weights of ARKIT_SHAPES.

    The reverse of `unit_levels` by the same table: the shapes of a unit take its level, times what
    brings a unit at its threshold to a weight of PRESENT_SHAPE. An occurrence tells no strength, so
    1 becomes 0.6. The lips (AU25) take only what jaw and upper lip (AU26, AU10) leave over: the
    lower lip goes down where that is too little, and mouthClose undoes the jaw where it is too
    much. No unit tells of gaze, blinks or the tongue, and none is made up.
    """
    levels = np.clip(levels, 0.0, 1.0)
    shapes = levels @ _SHOWN
    lips = ACTION_UNITS.index(LIPS)
    gap = levels[:, [lips]] - np.clip(shapes @ _MATRIX[:, [lips]], 0.0, 1.0)
    shapes[:, _places("mouthLowerDown")] = np.maximum(gap, 0)
    shapes[:, _places("mouthClose")] = np.clip(-gap, 0, shapes[:, _places(JAW)])
    return (shapes * (PRESENT_SHAPE / THRESHOLD)).astype(np.float32)
