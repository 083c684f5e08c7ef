"""Pictures of the head: what is nearest in each pixel, with skin, brows, eyes, lips and hair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.head.head import PARTS, Head, load_head
from mreactor_ref.head.turn import rotation
from mreactor_ref.signals import Array

Points = NDArray[np.float64]

Picture = NDArray[np.uint8]

# Colours, linear in what is shown, 0 to 1.
SKIN = (0.83, 0.62, 0.52)
LIPS = (0.75, 0.51, 0.45)
HAIR = (0.20, 0.13, 0.09)
WHITE = (0.80, 0.78, 0.76)
IRIS = (0.20, 0.15, 0.10)
PUPIL = (0.03, 0.03, 0.03)
TEETH = (0.92, 0.90, 0.84)
TONGUE = (0.72, 0.33, 0.33)
MOUTH = (0.22, 0.07, 0.07)

SHIRT = (0.20, 0.27, 0.38)
WALL = np.array([0.62, 0.66, 0.68])

# Places on the head at rest, metres.
COLLAR = -0.115  # height of the shirt in front
LIP_LINE = -0.0537  # between the lips
EYE = (0.0300, 0.0140, 0.070)  # the pupil's axis, and what lies before the iris

LIGHT = np.array([0.25, 0.55, 0.8]) / np.linalg.norm([0.25, 0.55, 0.8])
HALFWAY = np.array([0.1299, 0.2856, 0.9495])  # between light and camera
AMBIENT = 0.6
SAMPLES = 2  # of each pixel, along each side


@dataclass(frozen=True)
class View:
    """Where the head is and how it is seen.

    Attributes:
        width, height: pixels.
        pitch, yaw, roll: radians; down, to the head's left, and its left ear down are positive.
        distance: metres from the camera to the head's origin.
        focal: of the camera, in picture heights.
        offset: (2,) where the head's origin is, in metres right of and above the middle.
    """

    width: int
    height: int
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    distance: float = 1.0
    focal: float = 2.2
    offset: tuple[float, float] = (0.0, 0.0)


def project(points: Array, view: View) -> NDArray[np.float64]:
    """Points (N, 3) of the head -> (N, 3): x and y in pixels, y down, and depth in metres."""
    placed = points @ rotation(view.pitch, view.yaw, view.roll).T + [*view.offset, -view.distance]
    scale = view.focal * view.height / -placed[:, 2]
    x = view.width / 2 + placed[:, 0] * scale
    y = view.height / 2 - placed[:, 1] * scale
    return np.stack([x, y, -placed[:, 2]], axis=1)


@dataclass(frozen=True)
class Fragments:
    """What is nearest in each pixel of a picture: triangle (H, W), -1 for none, and its share of
    each of the triangle's corners (H, W, 3)."""

    triangle: NDArray[np.int64]
    shares: NDArray[np.float64]


def rasterise(corners: NDArray[np.float64], width: int, height: int) -> Fragments:
    """Find the nearest triangle of each pixel.

    Args:
        corners: (N, 3, 3) of each triangle: x, y in pixels and depth, counter-clockwise as seen
            in a picture whose y points up; the others face away and are left out.
    """
    from mreactor_ref.head.raster import nearest_triangles

    return Fragments(*nearest_triangles(np.ascontiguousarray(corners), width, height))


def draw(weights: Array, view: View) -> Picture:
    """The head under the weights (52,) of its targets, before a plain wall: (H, W, 3) RGB."""
    head, finer = load_head(), SAMPLES
    posed = head.posed(weights)
    corners = project(posed, view)[head.triangles] * [finer, finer, 1]
    width, height = view.width * finer, view.height * finer
    fragments = rasterise(corners, width, height)
    seen = fragments.triangle >= 0
    triangle, shares = fragments.triangle[seen], fragments.shares[seen]
    normals = vertex_normals(posed, head) @ rotation(view.pitch, view.yaw, view.roll).T

    def inside(values: Array | Points) -> Points:
        return np.einsum("nvc,nv->nc", values[head.triangles[triangle]], shares)

    normal = inside(normals)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    part = head.parts[triangle]
    colour, gloss = paint(inside(head.vertices), part)
    light = AMBIENT + (1 - AMBIENT) * np.clip(normal @ LIGHT, 0, 1)
    shine = np.clip(normal @ HALFWAY, 0, 1) ** 40
    picture = np.empty((height, width, 3))
    picture[:] = WALL * np.linspace(1.05, 0.85, height)[:, None, None]
    picture[seen] = colour * light[:, None] + (gloss * shine)[:, None]
    picture = picture.reshape(view.height, finer, view.width, finer, 3).mean(axis=(1, 3))
    return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def vertex_normals(vertices: Array, head: Head) -> Array:
    """(V, 3) of length one, of the vertices (V, 3): the larger a triangle, the more it says."""
    a, b, c = (vertices[head.triangles[:, i]] for i in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(normals, head.triangles[:, i], faces)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def paint(rest: Points, part: NDArray[np.uint8]) -> tuple[Points, Points]:
    """Colour (N, 3) and gloss (N,) of points by their place on the head at rest, (N, 3)."""
    colour = np.array([SKIN, WHITE, TEETH, TONGUE])[part]
    gloss = np.array([0.08, 0.5, 0.3, 0.15])[part]
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    skin = part == PARTS.index("skin")

    def over(shade: tuple[float, float, float], share: Points) -> None:
        colour[:] += np.clip(share, 0, 1)[:, None] * (np.array(shade) - colour)

    over(SHIRT, skin * _soft(COLLAR - y - 0.25 * z, 0.003))
    hairline = 0.072 - 0.9 * np.maximum(0, 0.045 - z)
    ear = _soft(x - 0.0735, 0.001) * (y < 0.035)
    over(HAIR, skin * _soft(y - hairline, 0.004) * (1 - ear))
    arch = 0.0310 + 0.005 * np.sin((x - 0.012) / 0.036 * 2.4)
    along = _soft(x - 0.013, 0.002) * _soft(0.050 - x, 0.004)
    over(HAIR, 0.85 * skin * along * _soft(0.0033 - np.abs(y - arch), 0.0012) * (z > 0.04))
    bow = np.maximum(0, 1 - (x / 0.0265) ** 2)
    lip = _soft(LIP_LINE + 0.0095 * bow - y, 0.001) * _soft(y - LIP_LINE + 0.0115 * bow, 0.001)
    over(LIPS, skin * lip * (z > 0.07) * (x < 0.0265))
    over(MOUTH, skin * inside_mouth(x, y, z))
    eye = part == PARTS.index("eyes")
    from_pupil = np.hypot(x - EYE[0], y - EYE[1])
    front = eye * (z > EYE[2])
    over(IRIS, front * _soft(0.0058 - from_pupil, 0.0006))
    over(PUPIL, front * _soft(0.0026 - from_pupil, 0.0006))
    return colour, gloss


def inside_mouth(x: Points, y: Points, z: Points) -> NDArray[np.bool_]:
    """Whether a place of the skin at rest is behind the lips."""
    return (np.abs(x) < 0.034) & (y > -0.072) & (y < -0.02) & (z < 0.078) & (z > -0.01)


def _soft(distance: Points, width: float) -> Points:
    """0 below, 1 above, a slope of this width between."""
    return np.clip(0.5 + distance / width, 0, 1)
