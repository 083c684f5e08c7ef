"""The nearest real reaction: exactly that of plain warping, and what is left out of it."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mreactor_ref.metrics import warping
from mreactor_ref.metrics.appropriateness import DISTANCE_GROUPS, frdist
from mreactor_ref.metrics.warping import dtw, nearest_distance, sequences

dtw_ndim = pytest.importorskip("dtaidistance.dtw_ndim")

KINDS = ("noise", "walk", "occurrences", "constant")


def draw(rng: np.random.Generator, kind: str, frames: int, channels: int) -> np.ndarray:
    noise = rng.normal(size=(frames, channels))
    if kind == "walk":
        return np.cumsum(noise, axis=0)
    if kind == "occurrences":
        return (noise > 0.5).astype(float)
    return np.full((frames, channels), noise[0]) if kind == "constant" else noise


def plain(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, row by row."""
    cost = cdist(x, y, "sqeuclidean")
    total = np.full((len(x) + 1, len(y) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(x)):
        for j in range(len(y)):
            total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    return total[-1, -1] ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_dtw_of_many_shapes_against_the_definition_and_dtaidistance(kind):
    rng = np.random.default_rng(1)
    for _ in range(60):
        channels, *lengths = rng.integers(1, 5), *rng.integers(1, 40, size=2)
        x, y = (draw(rng, kind, n, channels) for n in lengths)
        assert dtw(x, y) == pytest.approx(plain(x, y), rel=1e-12, abs=1e-12)
        assert dtw(x, y) == pytest.approx(dtw_ndim.distance(x, y), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bound_changes_nothing_above_the_distance_and_all_below(kind):
    rng = np.random.default_rng(2)
    for _ in range(60):
        channels, *lengths = rng.integers(1, 5), *rng.integers(1, 40, size=2)
        x, y = (draw(rng, kind, n, channels) for n in lengths)
        squared = plain(x, y) ** 2
        bounded = warping._warp(sequences(x), sequences(y), squared * (1 + 1e-9) + 1e-12)
        assert bounded == pytest.approx(squared, rel=1e-12, abs=1e-12)
        assert warping._warp(sequences(x), sequences(y), squared * (1 - 1e-6) - 1e-9) == np.inf


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_lie_on_their_side(kind):
    rng = np.random.default_rng(3)
    for _ in range(40):
        x, y = draw(rng, kind, 30, 3), draw(rng, kind, 30, 3)
        exact = plain(x, y)
        a, b = sequences(x), sequences(y)
        assert warping._lower(a, b) ** 0.5 <= exact * (1 + 1e-12) + 1e-12
        assert warping._unwarped([a], [b], np.ones(1)) >= exact * (1 - 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [(40, 40), (40, 25)])
def test_the_nearest_is_that_of_plain_warping(kind, lengths):
    rng = np.random.default_rng(4)
    weights = [weight for _, weight in DISTANCE_GROUPS]
    for _ in range(5):
        generated = draw(rng, kind, lengths[0], 25)
        real = [draw(rng, kind, lengths[1], 25) for _ in range(12)]
        expected = min(
            sum(w * plain(generated[:, part], y[:, part]) for part, w in DISTANCE_GROUPS)
            for y in real
        )
        groups = [[sequences(r, part) for part, _ in DISTANCE_GROUPS] for r in (generated, *real)]
        found = nearest_distance(groups[0], groups[1:], weights)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_frdist_of_one_and_of_two_frames():
    rng = np.random.default_rng(5)
    for frames in (1, 2):
        generated, real = rng.random((1, frames, 25)), [rng.random((frames, 25)) for _ in range(3)]
        expected = min(
            sum(w * plain(generated[0][:, part], y[:, part]) for part, w in DISTANCE_GROUPS)
            for y in real
        )
        assert frdist([generated], [real]) == pytest.approx(expected, rel=1e-12)


def test_most_warping_is_left_out_where_reactions_differ(monkeypatch: pytest.MonkeyPatch):
    """One near reaction among forty that are far: the bounds alone must do away with these."""
    rng = np.random.default_rng(6)
    generated = rng.random((1, 100, 25))
    real = [generated[0] + rng.normal(0, 0.01, (100, 25)), *(10 + rng.random((40, 100, 25)))]
    warped, warp = [], warping._warp
    monkeypatch.setattr(warping, "_warp", lambda *a: warped.append(a) or warp(*a))
    frdist([generated], [real])
    assert len(warped) == len(DISTANCE_GROUPS)
