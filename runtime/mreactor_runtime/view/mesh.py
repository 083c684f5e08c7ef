"""The head as the pages have it: a script with the mesh, packed into whole numbers."""

from __future__ import annotations

import numpy as np

from mreactor_ref.features.action_units import ARKIT_SHAPES
from mreactor_ref.head.head import PARTS, load_head
from mreactor_ref.head.picture import inside_mouth, paint
from mreactor_runtime.view.script import call, packed

STEP = 1e-5  # metres in one of a place's whole numbers
SKIN = PARTS.index("skin")


def mesh_script() -> bytes:
    """A script that hands the head to the page: `mreactor.mesh({...})`.

    Places at rest and what each target adds are int16 in steps of STEP; of a target only the
    vertices that it moves are there, one target after the other. `colours` are the triangles' own,
    for a page that cannot draw with WebGL.
    """
    head = load_head()
    part = np.zeros(len(head.vertices), np.uint8)
    part[head.triangles.ravel()] = np.repeat(head.parts, 3)
    x, y, z = np.abs(head.vertices.T.astype(np.float64))[0], *head.vertices.T[1:]
    mouth = (part == SKIN) & inside_mouth(x, y, z)
    moved = [np.flatnonzero(np.abs(target).max(axis=1) >= STEP / 2) for target in head.targets]
    added = [target[rows] for target, rows in zip(head.targets, moved, strict=True)]
    middles = head.vertices[head.triangles].mean(axis=1).astype(np.float64)
    colours, _ = paint(middles, head.parts)
    return call(
        "mesh",
        {
            "targets": ARKIT_SHAPES,
            "step": STEP,
            "vertices": packed(np.rint(head.vertices / STEP), np.int16),
            "triangles": packed(head.triangles, np.uint16),
            "parts": packed(part, np.uint8),
            "mouth": packed(mouth, np.uint8),
            "colours": packed(np.rint(255 * np.clip(colours, 0, 1)), np.uint8),
            "counts": [len(rows) for rows in moved],
            "moved": packed(np.concatenate(moved), np.uint16),
            "added": packed(np.rint(np.concatenate(added) / STEP), np.int16),
        },
    )
