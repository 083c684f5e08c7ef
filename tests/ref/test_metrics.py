"""Diversity, the trivial predictors, and all measures together."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.metrics.compat import EDITIONS
from mreactor_ref.metrics.diversity import frdiv, frdvs, frvar
from mreactor_ref.metrics.synchrony import frsyn
from mreactor_ref.metrics.table import MEASURES, evaluate
from mreactor_ref.metrics.trivial import (
    mean_frame,
    mean_sequence,
    mime,
    random_reactions,
    training_means,
    trivial_predictions,
)
from mreactor_ref.signals import AFFECT_SLICE, ATTRIBUTES, AU_SLICE, EXPRESSION_SLICE, VALENCE


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((*shape, ATTRIBUTES)).astype(np.float32)


def walk(*shape: int, seed: int = 0) -> np.ndarray:
    """A signal whose correlation with itself falls off with the lag."""
    return np.cumsum(draw(*shape, seed=seed).astype(np.float64) - 0.5, axis=-2)


def test_frdiv_by_hand_and_by_pdist():
    clip = np.zeros((3, 4, ATTRIBUTES))
    clip[1], clip[2] = 1, 3  # squared distances 1, 9, 4
    assert frdiv([clip]) == pytest.approx(14 / 3)
    clips = [draw(5, 20, seed=1), draw(5, 30, seed=2)]
    means = [pdist(c.reshape(5, -1).astype(float), "sqeuclidean").mean() / c[0].size for c in clips]
    assert frdiv(clips) == pytest.approx(np.mean(means))


def test_frdiv_of_copies_or_of_one_is_zero():
    assert frdiv([np.repeat(draw(1, 9), 4, axis=0)]) == 0
    assert frdiv([draw(1, 9)]) == 0


def test_frvar_is_the_unbiased_variance_over_time():
    clip = np.zeros((1, 4, ATTRIBUTES))
    clip[0, :, VALENCE] = [1, 2, 3, 4]  # sum of squares 5, over 3
    assert frvar([clip]) == pytest.approx(5 / 3 / ATTRIBUTES)
    assert frvar([clip + 7]) == pytest.approx(5 / 3 / ATTRIBUTES)
    assert frvar([clip, np.ones((2, 9, ATTRIBUTES))]) == pytest.approx(5 / 6 / ATTRIBUTES)
    assert frvar([draw(2, 1)]) == 0


def test_frdvs_compares_the_same_reaction_of_two_clips():
    a, b = np.zeros((2, 5, ATTRIBUTES)), np.zeros((2, 5, ATTRIBUTES))
    a[1], b[0] = 1, 2  # 4 for the first reactions, 1 for the second
    assert frdvs([a, b]) == pytest.approx(2.5)
    assert frdvs([a, a]) == 0
    assert frdvs([draw(2, 40)] * 3) == 0
    assert frdvs([a]) == 0


def test_frdvs_against_pdist_and_over_common_frames():
    clips = [draw(3, 20, seed=seed) for seed in range(4)]
    rows = np.stack(clips).transpose(1, 0, 2, 3).reshape(3, 4, -1).astype(float)
    expected = np.mean([pdist(row, "sqeuclidean").mean() / row.shape[1] for row in rows])
    assert frdvs(clips) == pytest.approx(expected)
    longer = [np.concatenate([clips[0], draw(3, 9, seed=9)], axis=1), *clips[1:]]
    assert frdvs(longer) == pytest.approx(expected)


def test_random_of_2025_looks_like_attributes():
    x = random_reactions(500, 10, np.random.default_rng(0))
    assert x.shape == (10, 500, ATTRIBUTES)
    assert set(np.unique(x[..., AU_SLICE])) == {0, 1}
    assert x[..., AU_SLICE].mean() == pytest.approx(0.5, abs=0.01)
    affect = x[..., AFFECT_SLICE]
    assert np.abs(affect).max() <= 1
    # A standard normal cut at 2 deviations has a deviation of 0.8796.
    assert affect.std() == pytest.approx(0.8796 / 2, abs=0.01)
    np.testing.assert_allclose(x[..., EXPRESSION_SLICE].sum(-1), 1, atol=1e-6)


def test_random_of_2023_has_the_diversity_and_variance_of_uniform_numbers():
    rng = np.random.default_rng(0)
    clips = [random_reactions(300, 10, rng, edition=2023) for _ in range(4)]
    assert frvar(clips) == pytest.approx(1 / 12, abs=1e-3)
    assert frdiv(clips) == pytest.approx(1 / 6, abs=1e-3)
    assert frdvs(clips) == pytest.approx(1 / 6, abs=1e-3)


def test_training_means_by_hand():
    long, short = np.full((3, ATTRIBUTES), 2.0), np.full((1, ATTRIBUTES), 6.0)
    for order in ([long, short], [short, long]):
        means = training_means(iter(order))
        assert means.sequence[:, 0].tolist() == [4, 2, 2]
        assert means.frame[0] == 3  # (2 + 2 + 2 + 6) / 4
    sequence = mean_sequence(means, 5, 2)
    assert sequence.shape == (2, 5, ATTRIBUTES)
    assert sequence[1, :, 7].tolist() == [4, 2, 2, 2, 2]
    assert mean_sequence(means, 2, 1)[0, :, 0].tolist() == [4, 2]
    frame = mean_frame(means, 5, 2)
    assert frame.shape == (2, 5, ATTRIBUTES)
    assert (frame == 3).all()
    with pytest.raises(UsageError, match="no training reaction"):
        training_means([])


def test_trivial_predictors_score_as_they_must():
    speakers = [walk(100, seed=1), walk(120, seed=2)]
    means = training_means([draw(110, seed=seed) for seed in range(5)])
    predictions = trivial_predictions(speakers, means, samples=3, seed=0)
    assert list(predictions) == ["B_Random", "B_Mime", "B_MeanSeq", "B_MeanFr"]
    for clips in predictions.values():
        assert [clip.shape for clip in clips] == [(3, 100, 25), (3, 120, 25)]
        assert all(clip.dtype == np.float32 for clip in clips)
    np.testing.assert_array_equal(predictions["B_Mime"][0], mime(speakers[0], 3))
    assert frsyn(predictions["B_Mime"], speakers) == 0
    assert frdiv(predictions["B_MeanSeq"]) == 0
    assert frvar(predictions["B_MeanFr"]) == pytest.approx(0, abs=1e-12)
    assert frsyn(predictions["B_MeanFr"], speakers) == 49
    assert frcorr(predictions["B_MeanFr"], [[s] for s in speakers]) == pytest.approx(0, abs=1e-9)
    assert frcorr(predictions["B_Mime"], [[s] for s in speakers]) == pytest.approx(3, abs=1e-5)
    again = trivial_predictions(speakers, means, samples=3, seed=0)
    np.testing.assert_array_equal(again["B_Random"][1], predictions["B_Random"][1])
    assert not np.array_equal(predictions["B_Random"][0], predictions["B_Random"][1][:, :100])


def test_the_table_holds_every_measure():
    predictions, speakers = [draw(2, 60, seed=1), draw(2, 70, seed=2)], [walk(60), walk(70)]
    real = [[draw(50, seed=3), draw(60, seed=4)], [draw(70, seed=5)]]
    table = evaluate(predictions, real, speakers, fps=30.0)
    assert tuple(table) == MEASURES
    assert table == {
        "FRCorr": frcorr(predictions, real),
        "FRDist": frdist(predictions, real),
        "FRDiv": frdiv(predictions),
        "FRVar": frvar(predictions),
        "FRDvs": frdvs(predictions),
        "FRSyn": frsyn(predictions, speakers, 30.0),
    }
    edition = EDITIONS["react2024"]
    compat = evaluate(predictions, real, speakers, edition=edition)
    assert compat["FRSyn"] == frsyn(predictions, speakers, edition=edition)


@pytest.mark.parametrize(
    ("predictions", "real", "speaker", "problem"),
    [
        (draw(2, 9), draw(9), draw(1, 9), r"clip 0: speaker has shape \(1, 9, 25\)"),
        (draw(9), draw(9), draw(9), r"clip 0: predictions has shape \(9, 25\)"),
        (draw(2, 9)[..., :24], draw(9), draw(9), r"shape \(2, 9, 24\), not \(S, T, 25\)"),
        (draw(0, 9), draw(9), draw(9), r"shape \(0, 9, 25\)"),
        (draw(2, 9), draw(9) * np.nan, draw(9), "appropriate reaction has values that are not"),
    ],
)
def test_the_table_refuses_other_arrays(predictions, real, speaker, problem):
    with pytest.raises(UsageError, match=problem):
        evaluate([predictions], [[real]], [speaker])


def test_the_table_refuses_clips_that_do_not_belong_together():
    with pytest.raises(UsageError, match="1 predicted clips, 2 with"):
        evaluate([draw(1, 9)], [[draw(9)], [draw(9)]], [draw(9)])


def test_order_of_reactions_and_clips_does_not_matter():
    predictions = [draw(3, 60, seed=1), draw(3, 80, seed=2), draw(3, 80, seed=3)]
    real = [[draw(60 + n, seed=10 * k + n) for n in range(3)] for k in range(3)]
    speakers = [draw(60, seed=7), draw(80, seed=8), draw(80, seed=9)]
    first = evaluate(predictions, real, speakers)
    second = evaluate(
        [clip[::-1] for clip in predictions[::-1]],
        [clip[::-1] for clip in real[::-1]],
        speakers[::-1],
    )
    assert second == pytest.approx(first)
