"""The head's mesh, its 52 ARKit targets, and where the face landmarks lie on it.

MakeHuman's base mesh and the "Face Units 01" targets by Mika Suominen, both CC0 1.0; see
head/README.md. `scripts/make_head.py` makes the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.signals import Array

HEAD_FILE = Path(__file__).with_name("head.npz")
PARTS = ("skin", "eyes", "teeth", "tongue")

# ARKit's names in the order of Apple's and of every table here.
TARGETS = (
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight"),
    *("eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight"),
    *("eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft"),
    *("jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight"),
    *("mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft"),
    *("mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)


@dataclass(frozen=True)
class Head:
    """The head at rest and what each expression adds to it.

    The unit is the metre, x points to the head's left, y up, z out of the face; the origin is
    between the ears. N triangles, V vertices.

    Attributes:
        vertices: (V, 3) float32.
        triangles: (N, 3) int32, counter-clockwise seen from outside.
        parts: (N,) uint8, the place of each triangle's material in PARTS.
        targets: (52, V, 3) float32, in the order of TARGETS; a weight of 1 adds all of it.
        landmarks: (468, 3) int32, the vertices of the triangle on which each face landmark lies.
        landmark_weights: (468, 3) float32, its place between them.
        canonical: (468, 3) float32, centimetres: MediaPipe's mean face, with the same axes.
    """

    vertices: Array
    triangles: NDArray[np.int32]
    parts: NDArray[np.uint8]
    targets: Array
    landmarks: NDArray[np.int32]
    landmark_weights: Array
    canonical: Array

    def posed(self, weights: Array) -> Array:
        """(V, 3) the vertices under the weights (52,) of the targets."""
        return self.vertices + np.tensordot(weights, self.targets, 1).astype(np.float32)

    def at_landmarks(self, values: Array) -> Array:
        """(..., 468, 3) what values (..., V, 3) of the vertices are at the face landmarks."""
        return np.einsum("...kvc,kv->...kc", values[..., self.landmarks, :], self.landmark_weights)


@cache
def load_head() -> Head:
    """Read the head that comes with the package."""
    with np.load(HEAD_FILE) as file:
        step = np.float32(file["step"])  # metres
        return Head(
            vertices=file["vertices"] * step,
            triangles=file["triangles"].astype(np.int32),
            parts=file["parts"],
            targets=file["targets"] * step,
            landmarks=file["landmarks"].astype(np.int32),
            landmark_weights=file["landmark_weights"],
            canonical=file["canonical"],
        )


def weights_of(**levels: float) -> Array:
    """(52,) weights of the targets by name, 0 where none is given.

    Raises:
        ValueError: a name that no target has.
    """
    weights = np.zeros(len(TARGETS), np.float32)
    for name, level in levels.items():
        weights[TARGETS.index(name)] = level
    return weights
