"""Draws docs/head_sheet.png: each action unit on the head at 0, 0.5 and 1, and eight expressions.

    python scripts/head_sheet.py [docs/head_sheet.png]

Needs matplotlib. Units become shapes by `unit_shapes`, as on the pages and in converted files.
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure

from mreactor_ref.features.action_units import unit_shapes
from mreactor_ref.head.picture import Picture, View, draw
from mreactor_ref.signals import ACTION_UNITS

VIEW = View(150, 165, focal=3.6, offset=(0.0, 0.012))
LEVELS, UNITS_A_ROW = (0.0, 0.5, 1.0), 3
# The prototypes of the Facial Action Coding System (Ekman, Friesen and Hager 2002), of those units
# that reactions have.
EXPRESSIONS = {
    "Neutral": (),
    "Happy": ("AU6", "AU12"),
    "Sad": ("AU1", "AU4", "AU15"),
    "Surprise": ("AU1", "AU2", "AU25", "AU26"),
    "Fear": ("AU1", "AU2", "AU4", "AU7", "AU25", "AU26"),
    "Disgust": ("AU9", "AU15", "AU17"),
    "Anger": ("AU4", "AU7", "AU23", "AU24"),
    "Contempt": ("AU14",),
}


def head(levels: dict[str, float]) -> Picture:
    """The head under levels of action units by name."""
    values = np.array([[levels.get(unit, 0.0) for unit in ACTION_UNITS]], np.float32)
    return draw(unit_shapes(values)[0], VIEW)


def main(path: str) -> None:
    columns = UNITS_A_ROW * len(LEVELS)
    rows = -(-len(ACTION_UNITS) // UNITS_A_ROW)
    figure = Figure(figsize=(1.25 * columns, 1.6 * (rows + 1)), layout="constrained")
    axes = figure.subplots(rows + 1, columns)
    for axis in axes.flat:
        axis.set_axis_off()
    cells = [(unit, level) for unit in ACTION_UNITS for level in LEVELS]
    for axis, (unit, level) in zip(axes.flat[: len(cells)], cells, strict=True):
        axis.imshow(head({unit: level}))
        axis.set_title(f"{unit} at {level:g}", fontsize=8, pad=2)
    for axis, (name, units) in zip(axes[-1][: len(EXPRESSIONS)], EXPRESSIONS.items(), strict=True):
        axis.imshow(head(dict.fromkeys(units, 1.0)))
        axis.set_title(f"{name}\n{' '.join(unit[2:] for unit in units)}", fontsize=8, pad=2)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["docs/head_sheet.png"]))
