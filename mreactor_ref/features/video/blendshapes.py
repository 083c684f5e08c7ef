"""The 52 ARKit blendshapes of a face, by non-negative least squares on the targets of the head.

A frame's landmarks, turned upright, differ from the face's own rest by what its expression adds:
`landmarks = rest + weights @ targets`. All that the least squares need of the 468 points are their
products with the targets, 52 numbers a frame, so a long video is never held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.video.landmarks import Mesh
from mreactor_ref.features.video.pose import STEADY, to_axes
from mreactor_ref.head.head import TARGETS, load_head
from mreactor_ref.head.turn import similarity
from mreactor_ref.signals import Array

# What the landmarks do not show: the pupils, the tongue, and how far cheeks and jaw stand out.
UNSEEN = (
    *(n for n in TARGETS if n.startswith("eyeLook")),
    *("tongueOut", "cheekPuff", "jawForward"),
)
DEPTH_SHARE = 0.3  # of the depth, which the network guesses, against x and y
# What a target costs, in its own square: those that resemble a more usual one cost more.
RARE = (
    *("Dimple", "Stretch", "Press", "mouthLeft", "mouthRight", "jawLeft", "jawRight", "Shrug"),
    *("Roll", "Funnel", "mouthClose"),
)
COST, RARE_COST = 0.02, 0.3
LEAST_COST = 0.002  # of the mean square of all targets, for those that move little
# Muscles that work against each other do not explain one face together.
ANTAGONISTS = (
    ("mouthSmile", "mouthFrown"),
    ("browDown", "browOuterUp"),
    ("eyeBlink", "eyeWide"),
    ("eyeSquint", "eyeWide"),
    ("mouthStretch", "mouthPucker"),
)
OPPOSED = 0.5  # as if their targets had this cosine
LOWER_FACE = (-0.5, -5.5)  # cm: heights of the canonical face between which what is below begins
CERTAIN = ("mouthSmile", "mouthDimple", "jawOpen")
DOUBT = 0.1  # added to what the expression network says
SHOWN = 0.3  # certain weights that make a frame count less by a factor of e
MOST = 1.2  # of a weight
SWEEPS = 60


@dataclass(frozen=True)
class Targets:
    """The targets at the landmarks.

    Attributes:
        rows: (52, 1404) float64, what each adds to the weighted landmarks, without what a wrong
            pose or another shape of face would add as well (`_confusions`); 0 if unseen.
        gram: (52, 52) products of the rows, with the costs.
        shown: (52,) whether the landmarks show it.
    """

    rows: NDArray[np.float64]
    gram: NDArray[np.float64]
    shown: NDArray[np.bool_]


@cache
def load_targets() -> Targets:
    """The head's targets, as landmarks that are turned upright show them."""
    head = load_head()
    rest = head.at_landmarks(head.vertices).astype(np.float64)
    moved = rest + head.at_landmarks(head.targets)
    still = _upright(rest)
    rows = np.array([(_upright(face) - still).ravel() for face in moved]) * _axis_weights()
    basis = np.linalg.qr(_confusions().T * _axis_weights()[:, None])[0]
    rows -= rows @ basis @ basis.T
    shown = np.array([name not in UNSEEN for name in TARGETS])
    rows[~shown] = 0
    return Targets(rows, _with_costs(rows @ rows.T, shown), shown)


def _confusions() -> NDArray[np.float64]:
    """(12, 1404) what is no expression: the face moved, turned and stretched along each axis, and
    its lower part moved against the upper, as the landmarks of a nodding head show it."""
    x, y, z = (load_head().canonical - load_head().canonical.mean(axis=0)).astype(np.float64).T
    one, none = np.ones_like(x), np.zeros_like(x)
    upper, lower = LOWER_FACE
    below = np.clip((upper - load_head().canonical[:, 1]) / (upper - lower), 0, 1)
    fields = [(none, -z, y), (z, none, -x), (-y, x, none)]
    for moved in ((one, one, one), (x, y, z), (below, below, below)):
        fields += [tuple(m if i == k else none for k, m in enumerate(moved)) for i in range(3)]
    return np.array([np.stack(field, axis=1).ravel() for field in fields], np.float64)


def _with_costs(gram: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The products of the rows (52, 52) with what weights cost and which exclude each other."""
    squares = gram.diagonal().copy()
    rare = np.array([any(part in name for part in RARE) for name in TARGETS])
    costs = np.where(rare, RARE_COST, COST) * squares
    gram = gram + np.diag(costs + LEAST_COST * squares.sum() / shown.sum())
    for one, other in ANTAGONISTS:
        for a, b in product(_sides(one), _sides(other)):
            gram[a, b] = gram[b, a] = OPPOSED * np.sqrt(squares[a] * squares[b])
    return gram


def _sides(stem: str) -> list[int]:
    return [k for k, name in enumerate(TARGETS) if name.startswith(stem)]


def upright(mesh: Mesh) -> NDArray[np.float64]:
    """(468, 3) the landmarks in centimetres, turned and moved onto the canonical face."""
    return _upright(to_axes(mesh))


def _upright(points: NDArray[np.float64]) -> NDArray[np.float64]:
    steady = list(STEADY)
    scale, turn, shift = similarity(points[steady], load_head().canonical[steady])
    return scale * points @ turn.T + shift


def _axis_weights() -> NDArray[np.float64]:
    return np.tile([1.0, 1.0, DEPTH_SHARE], len(load_head().canonical))


def products(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(52,) the products of the targets with what upright points (468, 3) add to the canonical
    face."""
    added = (points - load_head().canonical).ravel() * _axis_weights()
    return load_targets().rows @ added


def rest_products(wanted: NDArray[np.float64], neutral: Array) -> NDArray[np.float64]:
    """(52,) the products of the face's own rest, estimated from its frames.

    It is the mean of all frames. One counts the more, the more neutral the expression network
    finds it, and the less it shows for certain (CERTAIN) beside the canonical face. As far as
    even those frames are not neutral, what they show for certain is taken out again, and brows
    and eyes, which are at rest most of the time, rest at their median.

    Args:
        wanted: (T, 52) products of the frames.
        neutral: (T,) the probability that a frame is neutral.
    """
    certain = np.array([any(part in name for part in CERTAIN) for name in TARGETS])
    upper = np.array([name.startswith(("brow", "eye")) for name in TARGETS])
    shown = solve(wanted)[:, certain].sum(axis=1, dtype=np.float64)
    counted = np.square(neutral + DOUBT) * np.exp((shown.min() - shown) / SHOWN)
    counted /= counted.sum()
    doubt = 1 - float(counted @ neutral)
    mean = counted @ wanted
    mean[upper] += doubt * (np.median(wanted[:, upper], axis=0) - mean[upper])
    rows = load_targets().rows
    return mean - doubt * rows @ (rows.T @ (solve(mean[None])[0] * certain))


def solve(wanted: NDArray[np.float64]) -> Array:
    """(T, 52) the weights, 0 to MOST, whose faces are nearest to products (T, 52).

    Coordinate descent, all frames at once.
    """
    targets = load_targets()
    weights = np.zeros_like(wanted)
    for _ in range(SWEEPS):
        for k in np.flatnonzero(targets.shown):
            slope = wanted[:, k] - weights @ targets.gram[k]
            weights[:, k] = np.clip(weights[:, k] + slope / targets.gram[k, k], 0, MOST)
    return weights.astype(np.float32)
