"""Whose reaction it is: windows, nearest styles, and the record of a simulated tree."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mreactor_bench.identity import POSE, pose_windows, read_styles, style_poses
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import COEFFICIENTS

FPS = 25.0
RESTS = {"calm": (0.1, 0.0, -0.2), "near": (-0.2, 0.1, 0.2)}


def reaction(rest, seconds: float, seed: int = 0) -> np.ndarray:
    """Coefficients of a head that rests somewhere, and trembles."""
    frames = round(seconds * FPS)
    coefficients = np.random.default_rng(seed).normal(0, 0.01, (frames, COEFFICIENTS))
    coefficients[:, POSE] += rest
    return coefficients.astype(np.float32)


def poses():
    reactions = [(name, reaction(rest, 12, i)) for i, (name, rest) in enumerate(RESTS.items())]
    windows = [pose_windows(x, FPS) for _, x in reactions]
    return style_poses(windows, [name for name, _ in reactions])


def test_windows_are_means_of_two_seconds():
    ramp = np.zeros((125, COEFFICIENTS), np.float32)
    ramp[:, POSE[0]] = np.arange(125)
    windows = pose_windows(ramp, FPS)
    assert windows.shape == (2, 3)
    assert windows[:, 0].tolist() == [24.5, 74.5]


def test_a_short_reaction_is_one_window():
    assert pose_windows(reaction((1, 2, 3), 0.4), FPS).shape == (1, 3)


def test_one_listener_does_not_change():
    for rest in RESTS.values():
        assert not poses().changes(reaction(rest, 20, 5), FPS)


def test_a_listener_who_becomes_another_is_found():
    both = np.concatenate([reaction(rest, 6, 7) for rest in RESTS.values()])
    assert poses().changes(both, FPS)


def test_styles_come_from_the_record_of_the_tree(tmp_path):
    styles = {"session-0": {"clip-1": "near", "clip-0": "calm"}}
    (tmp_path / "dataset.json").write_text(json.dumps({"styles": {"test": styles}}))
    assert read_styles(tmp_path, "test") == {"test/session-0/clip-0": ["calm", "near"]}


@pytest.mark.parametrize("content", [None, "[]", '{"styles": {"train": {}}}', "{"])
def test_a_tree_that_was_not_simulated_says_so(tmp_path, content):
    if content is not None:
        (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UsageError, match=r"dataset\.json.*styles.*mreactor-data simulate"):
        read_styles(tmp_path, "test")
