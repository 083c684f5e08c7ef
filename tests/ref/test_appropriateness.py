"""FRCorr and FRDist: known answers, independent computations, lengths."""

from functools import cache

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.appropriateness import (
    DISTANCE_GROUPS,
    concordance,
    frcorr,
    frdist,
)
from mreactor_ref.metrics.lengths import stretched_length
from mreactor_ref.metrics.warping import dtw
from mreactor_ref.signals import AFFECT_SLICE, ATTRIBUTES


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((*shape, ATTRIBUTES)).astype(np.float32)


def test_concordance_of_a_sequence_with_itself_is_one():
    x = draw(1, 40)
    np.testing.assert_allclose(concordance(x, x), 1, atol=1e-6)
    np.testing.assert_allclose(concordance(x, 2 * x.mean(1, keepdims=True) - x), -1, atol=1e-6)


def test_concordance_by_hand():
    # Means 2 and 3, variances 2/3 and 8/3, covariance 4/3: (8/3) / (10/3 + 1) = 8/13.
    x, y = np.array([[[1.0], [2.0], [3.0]]]), np.array([[[1.0], [3.0], [5.0]]])
    assert concordance(x, y)[0, 0, 0] == pytest.approx(8 / 13)


@pytest.mark.parametrize("shift", [0.1, 1.0, -2.0])
def test_concordance_of_a_shifted_sequence(shift):
    x = draw(1, 200)[..., :1].astype(np.float64)
    expected = 2 * x.var() / (2 * x.var() + shift**2)
    assert concordance(x, x + shift)[0, 0, 0] == pytest.approx(expected)


def test_concordance_against_corrcoef():
    x, y = draw(3, 50, seed=1), draw(4, 50, seed=2)
    result = concordance(x, y)
    assert result.shape == (3, 4, ATTRIBUTES)
    for s, r, c in [(0, 0, 0), (2, 3, 24), (1, 2, 7)]:
        a, b = x[s, :, c].astype(float), y[r, :, c].astype(float)
        top = 2 * np.corrcoef(a, b)[0, 1] * a.std() * b.std()
        bottom = a.var() + b.var() + (a.mean() - b.mean()) ** 2
        assert result[s, r, c] == pytest.approx(top / (bottom + 1e-8))


def test_constant_channels_count_zero_even_when_they_agree():
    x = draw(1, 30)
    x[..., :5] = 1.0
    assert np.abs(concordance(x, x)[..., :5]).max() == 0
    assert frcorr([x], [[x[0]]]) == pytest.approx(20 / 25, abs=1e-6)


def test_frcorr_takes_the_best_sums_over_reactions_and_averages_over_clips():
    real = [draw(60, seed=seed) for seed in range(3)]
    perfect = np.stack([real[2], real[0], real[2]])
    opposite = 2 * real[0].mean(0) - real[0]
    assert frcorr([perfect], [real]) == pytest.approx(3, abs=1e-6)
    assert frcorr([perfect, opposite[None]], [real, real[:1]]) == pytest.approx(1, abs=1e-6)


def recursive_dtw(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, for comparison."""
    cost = cdist(x, y, "sqeuclidean")

    @cache
    def best(i: int, j: int) -> float:
        if i == 0 and j == 0:
            return cost[0, 0]
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return cost[i, j] + min(best(a, b) for a, b in before if a >= 0 and b >= 0)

    return best(len(x) - 1, len(y) - 1) ** 0.5


@pytest.mark.parametrize(("t", "u", "channels"), [(1, 1, 2), (1, 9, 3), (20, 20, 15), (30, 17, 2)])
def test_dtw_against_the_definition(t, u, channels):
    x, y = draw(t, seed=1)[:, :channels], draw(u, seed=2)[:, :channels]
    assert dtw(x, y) == pytest.approx(recursive_dtw(x, y))
    assert dtw(x, y) == pytest.approx(dtw(y, x))


def test_dtw_of_the_same_is_zero_and_pausing_is_free():
    x = draw(30)
    assert dtw(x, x) == 0
    assert dtw(x, np.repeat(x, 3, axis=0)) == 0


def test_dtw_by_hand():
    # 0 0 1 against 0 1 2: the zeros share the first, the ones meet, the 2 is 1 away.
    x, y = np.array([[0.0], [0.0], [1.0]]), np.array([[0.0], [1.0], [2.0]])
    assert dtw(x, y) == 1
    # Constants 0 and 2 of length 9: nine steps of 4, the root of 36.
    assert dtw(np.zeros((9, 1)), np.full((9, 1), 2.0)) == 6


def test_frdist_weighs_its_groups():
    # All channels 1 apart for 16 frames: sqrt(16 * channels) in each group.
    real, generated = np.zeros((16, ATTRIBUTES)), np.ones((2, 16, ATTRIBUTES))
    expected = 4 * (15**0.5 / 15 + 2**0.5 + 8**0.5 / 8)
    assert frdist([generated], [[real]]) == pytest.approx(2 * expected)


def test_the_groups_cover_every_channel_once():
    channels = [np.arange(ATTRIBUTES)[part] for part, _ in DISTANCE_GROUPS]
    assert sorted(np.concatenate(channels)) == list(range(ATTRIBUTES))


def test_frdist_takes_the_nearest_of_all_groups_together():
    generated, real = draw(3, 25, seed=1), [draw(25, seed=seed) for seed in range(2, 8)]
    real[3][:, AFFECT_SLICE] = generated[0][:, AFFECT_SLICE]  # near in one group only
    total = 0.0
    for reaction in generated:
        total += min(
            sum(w * recursive_dtw(reaction[:, part], other[:, part]) for part, w in DISTANCE_GROUPS)
            for other in real
        )
    assert frdist([generated], [real]) == pytest.approx(total)


def test_frdist_is_zero_for_real_reactions():
    real = [draw(40, seed=seed) for seed in range(3)]
    assert frdist([np.stack(real)], [real]) == 0


def test_real_reactions_of_other_lengths_are_stretched_if_asked_for():
    generated = draw(2, 40)
    longer = [np.repeat(reaction, 3, axis=0) for reaction in generated]
    assert frcorr([generated], [longer], stretched_length) == pytest.approx(2, abs=1e-6)
    assert frdist([generated], [longer], stretched_length) == 0


@pytest.mark.parametrize("measure", [frcorr, frdist])
def test_a_clip_without_appropriate_reactions_is_an_error(measure):
    with pytest.raises(UsageError, match="clip 1 has no appropriate"):
        measure([draw(1, 9)] * 2, [[draw(9)], []])
    with pytest.raises(UsageError, match="clip 0 has no appropriate"):
        measure([draw(1, 9)], [[draw(0)]])
    with pytest.raises(UsageError, match="no clip"):
        measure([], [])
