"""A take: one reaction at its rate, with the face shapes and the turn of the head for engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.action_units import unit_shapes
from mreactor_ref.head.head import TARGETS
from mreactor_ref.signals import ANGLE_SLICE, AU_SLICE, SHAPE_SLICE, Array
from mreactor_runtime.convert.options import ARKIT

SIDES = ("Left", "Right")
EYE = ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
# ARKit's shapes in the order of Audio2Face and of Unreal's enumeration.
ENGINE_ORDER = (
    *(f"eye{what}{side}" for side in SIDES for what in EYE),
    *("jawForward", "jawLeft", "jawRight", "jawOpen"),
    *("mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight"),
    *(f"mouth{w}{s}" for w in ("Smile", "Frown", "Dimple", "Stretch") for s in SIDES),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *(f"mouth{what}{side}" for what in ("Press", "LowerDown", "UpperUp") for side in SIDES),
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight"),
    "tongueOut",
)


@dataclass(frozen=True)
class Take:
    """One reaction of T frames.

    Attributes:
        attributes: (T, 25), see signals.py.
        shapes: (T, 52) weights of ARKit's shapes in the order of TARGETS, 0 to 1.
        angles: (T, 3) pitch, yaw, roll of the head in radians, see head/turn.py.
        fps: frames a second; frame k begins at k / fps seconds.
        about: what it is and where it came from, for people and as JSON.
    """

    attributes: Array
    shapes: Array
    angles: Array
    fps: float
    about: dict[str, Any]

    @property
    def times(self) -> NDArray[np.float64]:
        """(T,) seconds, when each frame begins."""
        return np.arange(len(self.attributes)) / self.fps

    def shapes_as(self, names: tuple[str, ...]) -> Array:
        """(T, 52) the weights in another order of ARKit's names."""
        return self.shapes[:, [TARGETS.index(name) for name in names]]


def make_take(
    attributes: Array, coefficients: Array, meaning: str, fps: float, about: dict[str, Any]
) -> Take:
    """A take of attributes (T, 25) and coefficients (T, 58).

    Args:
        meaning: FACEVERSE: the shapes are those of the 15 action units (`unit_shapes`), for the
            coefficients of a 3DMM have no names. ARKIT: the first 52 coefficients are the weights
            of TARGETS, and are cut to 0 to 1.
    """
    if meaning == ARKIT:
        shapes = np.clip(coefficients[:, SHAPE_SLICE], 0.0, 1.0)
    else:
        shapes = unit_shapes(attributes[:, AU_SLICE])
    return Take(attributes, shapes, coefficients[:, ANGLE_SLICE], fps, about)
