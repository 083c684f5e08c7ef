"""The judged pairs, how they are read, and the curve that is fitted to them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from mreactor_ref.emotion.calibration import (
    RIDGE,
    Judged,
    fit_curve,
    probability,
    read_judged,
)
from mreactor_ref.emotion.subjects import LONGEST_SUBJECT
from mreactor_ref.errors import UsageError

HEADER = "utterance,subject,related,fitting\n"
KEPT_APART = Path(__file__).parents[2] / "benchmarks" / "mreactor_bench" / "judged.csv"


# The pairs


def test_the_packages_pairs_are_of_use():
    judged = read_judged()
    assert len(judged) > 500
    assert len({(pair.utterance, pair.subject) for pair in judged}) == len(judged)
    assert all(pair.utterance.strip() == pair.utterance != "" for pair in judged)
    assert all(1 <= len(pair.subject) <= LONGEST_SUBJECT for pair in judged)
    for answers in ([p.related for p in judged], [p.fitting for p in judged]):
        assert 0.2 < np.mean(answers) < 0.8


def test_what_calibrates_and_what_tests_share_no_utterance():
    calibrating = {pair.utterance.lower() for pair in read_judged()}
    testing = {pair.utterance.lower() for pair in read_judged(KEPT_APART)}
    assert len(calibrating) + len(testing) >= 200
    assert not calibrating & testing


def test_rows_are_read_as_written(tmp_path):
    path = tmp_path / "judged.csv"
    path.write_text(HEADER + '"Oh, no!",Bad Luck,yes,no\n\nFine.,Ärger,no,yes\n', encoding="utf-8")
    assert read_judged(path) == (
        Judged("Oh, no!", "Bad Luck", related=True, fitting=False),
        Judged("Fine.", "Ärger", related=False, fitting=True),
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "line 1 is not the header"),
        (b"subject,utterance,related,fitting\na,b,yes,yes\n", "line 1 is not the header"),
        (HEADER.encode(), "has no rows"),
        (HEADER.encode() + b"a,b,yes,yes\nc,d,maybe,no\n", "line 3 is not"),
        (HEADER.encode() + b"a,b,yes,yes\nc,d,Yes,no\n", "line 3 is not"),
        (HEADER.encode() + b'"a\nb",c,yes\n', "line 3 is not"),
        (HEADER.encode() + b"a,b,yes,yes,no\n", "line 2 is not"),
        (HEADER.encode() + b"\xff,b,yes,yes\n", "is not UTF-8 text"),
        (HEADER.encode() + b"a" * 200_000 + b",b,yes,yes\n", "is not csv: field larger"),
    ],
)
def test_other_files_are_refused_with_a_line(tmp_path, content, problem):
    path = tmp_path / "judged.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=problem) as raised:
        read_judged(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.csv: cannot be read: No such file"):
        read_judged(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_judged(tmp_path)


# The curve


def loss(weights: np.ndarray, features: np.ndarray, related: np.ndarray) -> float:
    """What the curve minimises: minus the log-likelihood, and the ridge."""
    logit = features @ weights[:-1] + weights[-1]
    likelihood = related @ logit - np.logaddexp(0, logit).sum()
    return float(RIDGE / 2 * weights @ weights - likelihood)


def drawn(seed: int, count: int, weights: list[float], scale: float = 1.0):
    """Features and judgements that follow a known curve."""
    rng = np.random.default_rng(seed)
    features = scale * rng.normal(size=(count, len(weights) - 1))
    related = rng.random(count) < probability(features, np.array(weights))
    return features, related


@pytest.mark.parametrize(
    ("seed", "count", "weights", "scale"),
    [
        (0, 500, [1.4, -1.3], 1.0),
        (1, 30, [0.0, 0.0], 1.0),
        (2, 200, [-2.0, 0.7, 0.1], 1.0),
        (3, 200, [40.0, 1.0], 0.05),
        (4, 200, [0.02, -1.0], 100.0),
    ],
)
def test_the_curve_is_the_one_that_a_general_optimiser_finds(seed, count, weights, scale):
    features, related = drawn(seed, count, weights, scale)
    found = fit_curve(features, related)
    start = np.zeros(len(weights))
    general = minimize(loss, start, (features, related), method="BFGS", options={"gtol": 1e-9})
    assert found.shape == (len(weights),)
    assert loss(found, features, related) <= general.fun + 1e-9
    np.testing.assert_allclose(found, general.x, rtol=1e-3, atol=1e-4)


def test_the_curve_finds_the_one_that_the_judgements_follow():
    features, related = drawn(5, 40_000, [1.5, -0.5])
    np.testing.assert_allclose(fit_curve(features, related), [1.5, -0.5], atol=0.05)


def test_as_many_are_expected_to_be_related_as_are():
    """What makes it a calibration: holds where the likelihood is largest."""
    features, related = drawn(6, 300, [1.0, -0.4])
    expected = probability(features, fit_curve(features, related)).sum()
    assert expected == pytest.approx(related.sum(), abs=0.01)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
@pytest.mark.parametrize("count", [2, 20, 200])
def test_pairs_that_can_be_told_apart_give_a_finite_curve(scale, count):
    features = scale * np.linspace(-1, 1, count)[:, None]
    related = features[:, 0] > 0
    weights = fit_curve(features, related)
    assert np.isfinite(weights).all()
    assert weights[0] > 0
    assert ((probability(features, weights) > 0.5) == related).all()


@pytest.mark.parametrize("answer", [True, False])
def test_where_all_are_judged_alike_the_curve_says_so(answer):
    features = np.random.default_rng(0).normal(size=(50, 1))
    chance = probability(features, fit_curve(features, np.full(50, answer)))
    assert (np.abs(chance - answer) < 0.05).all()


def test_a_feature_that_says_nothing_leaves_the_share():
    chance = probability(np.ones((8, 1)), fit_curve(np.ones((8, 1)), np.arange(8) < 2))
    np.testing.assert_allclose(chance, 0.25, atol=1e-3)


def test_probability_is_the_logistic_function():
    features = np.linspace(-8, 8, 33).reshape(3, 11, 1)
    chance = probability(features, np.array([2.0, 0.5]))
    assert chance.shape == (3, 11)
    np.testing.assert_allclose(chance, 1 / (1 + np.exp(-(2 * features[..., 0] + 0.5))), rtol=1e-9)
    assert probability(np.zeros((1, 1)), np.zeros(2)) == 0.5


def test_probability_never_overflows():
    far = np.array([[-1e9], [1e9]])
    np.testing.assert_array_equal(probability(far, np.array([1e3, 0.0])), [0.0, 1.0])
