"""Each challenge's numbers, against formulas of its code written out here, one value at a time."""

import numpy as np
import pytest
import torch

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.appropriateness import DISTANCE_GROUPS
from mreactor_ref.metrics.compat import EDITIONS
from mreactor_ref.metrics.synchrony import frsyn, lagged_correlation
from mreactor_ref.metrics.table import MEASURES, evaluate, score
from mreactor_ref.metrics.trivial import training_means, trivial_predictions
from mreactor_ref.signals import AU_SLICE

tslearn_dtw = pytest.importorskip("tslearn.metrics").dtw

CLIPS, SAMPLES, FRAMES = 3, 4, 160


def reactions(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Walks within [0, 1]; action units 0 or 1, some of which never occur."""
    steps = rng.normal(0, 0.05, (*shape, FRAMES, 25))
    walks = np.abs((np.cumsum(steps, axis=-2) + rng.random((*shape, 1, 25))) % 2 - 1)
    walks[..., AU_SLICE] = walks[..., AU_SLICE] > rng.choice([0.5, 2.0], (*shape, 1, 15))
    return walks.astype(np.float32)


@pytest.fixture(scope="module")
def results() -> tuple[list[np.ndarray], list[list[np.ndarray]], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    predictions = [reactions(rng, SAMPLES) for _ in range(CLIPS)]
    real = [list(reactions(rng, 5)) for _ in range(CLIPS)]
    return predictions, real, [reactions(rng) for _ in range(CLIPS)]


def concordance(x: np.ndarray, y: np.ndarray) -> float:
    values = []
    for c in range(25):
        a, b = x[:, c], y[:, c]
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.nan_to_num(np.corrcoef(a, b)[0, 1])
        spread = np.var(a) + np.var(b) + (np.mean(a) - np.mean(b)) ** 2
        values.append(2 * r * np.std(a) * np.std(b) / (spread + 1e-8))
    return float(np.mean(values))


def lag(reaction: np.ndarray, speaker: np.ndarray) -> int:
    means = []
    for k in range(-49, 50):
        pairs = []
        for c in range(25):
            x, y = torch.from_numpy(reaction[:, c]), torch.from_numpy(speaker[:, c])
            x, y = (x[k:], y[:-k]) if k > 0 else (x[:k], y[-k:]) if k < 0 else (x, y)
            with np.errstate(invalid="ignore", divide="ignore"):
                pairs.append(np.corrcoef(x.numpy(), y.numpy())[0, 1])
        means.append(torch.tensor(pairs).float().mean())
    return abs(49 - int(torch.argmax(torch.stack(means))))


@pytest.mark.parametrize("name", EDITIONS)
def test_the_numbers_are_the_challenges(name, results):
    predictions, real, speakers = results
    edition = EDITIONS[name]
    found = evaluate(predictions, real, speakers, fps=30.0, edition=edition)
    pred = torch.from_numpy(np.stack(predictions))  # (N, S, T, 25)
    pairs = list(zip(predictions, real, strict=True))
    frcorr = np.mean([sum(max(concordance(y, x) for y in r) for x in p) for p, r in pairs])
    frdist = np.mean(
        [
            sum(
                min(
                    sum(w * tslearn_dtw(x[:, part], y[:, part]) for part, w in DISTANCE_GROUPS)
                    for y in r
                )
                for x in p
            )
            for p, r in pairs
        ]
    )
    frdiv = np.mean(
        [
            float(torch.cdist(flat, flat).pow(2).sum() / (SAMPLES * (SAMPLES - 1) * flat.shape[1]))
            for flat in pred.flatten(2)
        ]
    )
    across = pred.flatten(2).transpose(0, 1)
    pairs_of_clips = CLIPS * (CLIPS - 1) * SAMPLES
    frdvs = torch.cdist(across, across).pow(2).sum() / pairs_of_clips / across.shape[2]
    counted = slice(0, 1) if name != "react2023" else slice(None)
    lags = [lag(x, s) for p, s in zip(predictions, speakers, strict=True) for x in p[counted]]
    expected = {
        "FRCorr": frcorr,
        "FRDist": frdist,
        "FRDiv": frdiv,
        "FRVar": float(torch.var(pred, dim=2).mean()),
        "FRDvs": float(frdvs),
        "FRSyn": np.mean(lags),
    }
    if name == "react2025":
        del expected["FRDvs"]
    assert found == pytest.approx(expected, abs=1e-6, rel=0)
    assert list(found) == [measure for measure in MEASURES if measure in expected]


def test_without_an_edition_only_rounding_and_lags_differ(results):
    exact, single = (evaluate(*results, edition=e) for e in (None, EDITIONS["react2023"]))
    for name in MEASURES[:-1]:
        assert exact[name] == pytest.approx(single[name], rel=1e-5)


def test_a_lag_is_that_of_direct_sums_wherever_a_channel_moves(results):
    """Channels that change in a few frames alone are where sums of windows lose their digits."""
    rng = np.random.default_rng(1)
    speaker, generated = results[2][0].astype(float), results[0][0].astype(float)
    generated[:, :, 3] = 0
    generated[:, 5, 3] = 1  # most windows have nothing of it
    generated[:, :, 16] = 1e-9 * rng.random((SAMPLES, FRAMES))
    generated[:, -3:, 16] = 1  # beside which the rest is nothing
    found = lagged_correlation(generated, speaker, 25.0, overlap=2)
    for k in range(-49, 50):
        late, early = max(k, 0), max(-k, 0)
        x, y = generated[:, late : FRAMES - early], speaker[early : FRAMES - late]
        for s, c in np.ndindex(SAMPLES, 25):
            a, b = x[s, :, c], y[:, c]
            value = found[s, k + 49, c]
            if np.ptp(a) == 0 or np.ptp(b) == 0:
                assert np.isnan(value)
            else:
                assert value == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_short_clips_have_a_number_in_every_edition(frames):
    rng = np.random.default_rng(2)
    predictions = [rng.random((1, frames, 25)).astype(np.float32)]
    real = [[rng.random((5, 25)).astype(np.float32)]]
    for edition in (None, *EDITIONS.values()):
        found = evaluate(predictions, real, [predictions[0][0]], edition=edition)
        assert np.isfinite(list(found.values())).all()
        assert found["FRDiv"] == 0


def test_editions_take_25_frames_a_second(results):
    predictions, _, speakers = results
    edition = EDITIONS["react2024"]
    assert frsyn(predictions, speakers, 30.0, edition) == frsyn(
        predictions, speakers, 25.0, edition
    )


def test_trivial_predictors_of_an_edition(results):
    speakers = results[2]
    means = training_means(speakers)
    uniform = trivial_predictions(speakers, means, 3, 0, EDITIONS["react2023"])
    assert list(uniform) == ["B_Random", "B_Mime", "B_MeanSeq", "B_MeanFr"]
    assert not set(np.unique(uniform["B_Random"][0][..., AU_SLICE])) <= {0, 1}
    later = trivial_predictions(speakers, means, 3, 0, EDITIONS["react2025"])
    assert list(later) == ["B_Random", "B_Mime", "B_MeanFr"]
    assert set(np.unique(later["B_Random"][0][..., AU_SLICE])) == {0, 1}


def test_reactions_of_every_clip_are_as_many(results):
    predictions, real, speakers = results
    with pytest.raises(UsageError, match="clip 1 has 2 reactions, the first one 4"):
        score([predictions[0], predictions[1][:2], predictions[2]], real, speakers)
