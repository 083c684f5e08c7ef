"""The head as the pages have it: a script with the mesh, packed into whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.action_units import ARKIT_SHAPES
from mreactor_ref.head.head import PARTS, Head, load_head
from mreactor_ref.head.picture import inside_mouth, paint
from mreactor_runtime.view.script import call, packed

Place = tuple[float, float, float]
STEP = 1e-5  # metres in one of a place's whole numbers
SKIN = PARTS.index("skin")
# Of the coarse triangles: the vertices of the skin in one cube become one, in a small cube around
# the eyes; nose and lips stay whole, for lips that touch must part. A box is mirrored: its middle
# and half its size. All in metres. Below LOWEST nothing shows.
CUBE, SMALL_CUBE, LOWEST = 0.008, 0.0025, -0.17
EYES = ((0.030, 0.016, 0.085), (0.023, 0.020, 0.03))
WHOLE = (
    ((0.000, -0.012, 0.105), (0.019, 0.022, 0.03)),
    ((0.000, -0.054, 0.095), (0.036, 0.018, 0.03)),
)


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
            "coarse": packed(_coarse(head), np.uint16),
            "parts": packed(part, np.uint8),
            "mouth": packed(mouth, np.uint8),
            "colours": packed(np.rint(255 * np.clip(colours, 0, 1)), np.uint8),
            "counts": [len(rows) for rows in moved],
            "moved": packed(np.concatenate(moved), np.uint16),
            "added": packed(np.rint(np.concatenate(added) / STEP), np.int16),
        },
    )


def _coarse(head: Head) -> np.ndarray:
    """(N', 3) triangles of the same vertices, with few where nothing moves."""
    vertices = head.vertices
    mirrored = np.abs(vertices * (1, 0, 0)) + vertices * (0, 1, 1)

    def inside(middle: Place, half: Place) -> NDArray[np.bool_]:
        return np.all(np.abs(mirrored - middle) < half, axis=1)

    kept = np.ones(len(vertices), bool)
    kept[head.triangles[head.parts == SKIN]] = False
    for box in WHOLE:
        kept |= inside(*box)
    eyes = inside(*EYES)
    size = np.where(eyes, SMALL_CUBE, CUBE)[:, None]
    cubes = np.column_stack([np.floor(vertices / size), eyes])
    _, cube = np.unique(cubes, axis=0, return_inverse=True)
    number = np.arange(len(vertices))
    first = np.full(cube.max() + 1, len(vertices))
    np.minimum.at(first, cube[~kept], number[~kept])
    triangles = np.where(kept, number, first[cube])[head.triangles]
    a, b, c = triangles.T
    whole = (a != b) & (b != c) & (c != a) & (vertices[triangles, 1].max(axis=1) > LOWEST)
    whole &= head.parts != PARTS.index("tongue")
    return triangles[whole]
