"""The head: what it is made of, and that its landmarks and pictures fit it."""

from __future__ import annotations

import numpy as np
import pytest

from mreactor_ref.head.head import HEAD_FILE, PARTS, TARGETS, load_head, weights_of
from mreactor_ref.head.picture import View, draw, project
from mreactor_ref.head.turn import angles, rotation, similarity

LIPS = {13: "mouthUpperUp", 14: "mouthLowerDown"}


def test_sizes() -> None:
    head = load_head()
    vertices = len(head.vertices)
    assert HEAD_FILE.stat().st_size < 300_000
    assert len(TARGETS) == len(set(TARGETS)) == 52
    assert head.targets.shape == (52, vertices, 3)
    assert head.triangles.max() == vertices - 1
    assert len(np.unique(head.triangles)) == vertices
    assert set(np.unique(head.parts)) == set(range(len(PARTS)))
    assert np.abs(head.targets).max(axis=(1, 2)).min() > 0.002  # each moves something, 2 mm
    assert np.abs(head.vertices).max() < 0.25


def test_sides_are_mirrored() -> None:
    """What a target of the left moves lies left of what its twin moves."""
    head = load_head()
    for left in (name for name in TARGETS if name.endswith("Left") and name != "jawLeft"):
        moved = [
            np.abs(head.targets[TARGETS.index(name)]).sum(axis=1)
            for name in (left, left.replace("Left", "Right"))
        ]
        x = [float(m @ head.vertices[:, 0] / m.sum()) for m in moved]
        if left != "mouthLeft":
            assert x[0] > 0 > x[1], left


def test_landmarks_lie_where_their_names_say() -> None:
    head = load_head()
    assert head.landmark_weights.sum(axis=1) == pytest.approx(np.ones(468), abs=1e-4)
    assert head.landmark_weights.min() >= 0
    points = head.at_landmarks(head.vertices)
    scale, turn, shift = similarity(points, head.canonical)
    apart = np.linalg.norm(scale * points @ turn.T + shift - head.canonical, axis=1)
    assert apart.mean() < 0.6  # centimetres: another shape of face
    assert apart.max() < 2
    assert angles(turn) == pytest.approx([0, 0, 0], abs=0.05)


@pytest.mark.parametrize("lip", LIPS)
def test_each_lip_has_its_own_landmark(lip: int) -> None:
    """The middles of the lips' edges lie nearly in one place, but move apart."""
    head = load_head()
    moved = head.at_landmarks(head.targets)
    own, other = (
        np.abs(sum(moved[TARGETS.index(LIPS[key] + side)][lip] for side in ("Left", "Right")))[1]
        for key in (lip, 27 - lip)
    )
    assert own > 2 * other


def test_weights_by_name() -> None:
    weights = weights_of(jawOpen=0.5)
    assert weights[TARGETS.index("jawOpen")] == 0.5
    assert weights.sum() == 0.5
    with pytest.raises(ValueError, match="not in tuple"):
        weights_of(jaw=1.0)


def test_turns() -> None:
    assert angles(rotation(0.2, -0.4, 0.1)) == pytest.approx([0.2, -0.4, 0.1])
    nose = np.array([0.0, 0.0, 1.0])
    assert (rotation(0.3, 0, 0) @ nose)[1] < 0  # down
    assert (rotation(0, 0.3, 0) @ nose)[0] > 0  # to the head's left
    assert (rotation(0, 0, 0.3) @ np.array([1.0, 0, 0]))[1] < 0  # the left ear down


def test_a_picture_shows_the_head_where_it_projects() -> None:
    view = View(160, 120, distance=0.8)
    picture = draw(weights_of(), view)
    assert picture.shape == (120, 160, 3)
    (x, y, _), *_ = project(load_head().at_landmarks(load_head().vertices)[[4]], view)
    nose = picture[round(y), round(x)].astype(int)
    assert nose[0] > nose[2] + 20  # skin, no wall
    wall = picture[5, 5].astype(int)
    assert abs(wall[0] - wall[2]) < 20


def test_a_closed_eye_hides_the_iris() -> None:
    view = View(160, 120, distance=0.6)
    dark = [
        (draw(weights_of(**levels), view)[40:60].sum(axis=2) < 150).sum()
        for levels in ({}, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    ]
    assert dark[1] < dark[0]
