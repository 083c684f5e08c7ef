"""Reactions as recordings of the Live Link Face app: csv with 52 shapes and the turn of the head.

The columns stand as the app records them, with JawRight before JawLeft and MouthRight before
MouthLeft, since some readers go by their places.
"""

from __future__ import annotations

import numpy as np

from mreactor_runtime.convert.tables import table_text
from mreactor_runtime.convert.take import ENGINE_ORDER, Take

SWAPPED = {
    **{"jawLeft": "jawRight", "jawRight": "jawLeft"},
    **{"mouthLeft": "mouthRight", "mouthRight": "mouthLeft"},
}
SHAPES = tuple(SWAPPED.get(name, name) for name in ENGINE_ORDER)
ANGLES = ("Yaw", "Pitch", "Roll")
TURNS = tuple(f"{what}{angle}" for what in ("Head", "LeftEye", "RightEye") for angle in ANGLES)
NAMES = (*(name[0].upper() + name[1:] for name in SHAPES), *TURNS)


def livelink_table(take: Take) -> bytes:
    """Timecode, the count of the columns that follow, 52 shapes, and nine angles.

    The angles are radians about the axes of ARKit's face, right-handed: pitch down, yaw to the
    head's own left and roll with its left ear up are positive. The eyes' are 0: a reaction does not
    tell where they look.
    """
    pitch, yaw, roll = take.angles.T
    turns = np.zeros((len(take.angles), len(TURNS)), np.float32)
    turns[:, :3] = np.stack([yaw, pitch, -roll], axis=1)
    values = np.round(np.concatenate([take.shapes_as(SHAPES), turns], axis=1), 6) + 0.0  # no -0
    rows = (
        [timecode(k, take.fps), len(NAMES), *(f"{value:.6f}" for value in row)]
        for k, row in enumerate(values.tolist())
    )
    return table_text(("Timecode", "BlendShapeCount", *NAMES), rows)


def timecode(frame: int, fps: float) -> str:
    """When a frame begins, as HH:MM:SS:FF.fff; FF counts to the rate rounded to a whole number."""
    rate = max(1, round(fps))
    seconds, thousandths = divmod(round(1000 * frame * rate / fps), 1000 * rate)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}:{thousandths / 1000:06.3f}"
