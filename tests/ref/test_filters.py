"""Stage 2: the thresholds, the boundaries of eqs. 2 and 3, and which verdict is said."""

import math

import pytest

from mreactor_ref.emotion.filters import Thresholds, judge
from mreactor_ref.emotion.lexicon import Found
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.errors import UsageError

PAPER = Thresholds()


def known(polarity: float, intensity: float) -> Found:
    return Found(Prior("Success", "happiness", polarity, intensity), "table", "exact")


def verdict(
    similarity: float = 1.0,
    polarity: float = 0.8,
    intensity: float = 0.7,
    text: float = 0.8,
    thresholds: Thresholds = PAPER,
) -> str:
    found = known(polarity, intensity)
    return judge("Success", 0.1, similarity, found, text, thresholds).verdict


def test_the_papers_thresholds():
    assert (PAPER.semantic, PAPER.polarity, PAPER.intensity) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("values", [(0, 0, 0), (1, 2, 1), (0.2, 1.7, 0.9)])
def test_thresholds_within_their_ranges(values):
    thresholds = Thresholds(*values)
    assert (thresholds.semantic, thresholds.polarity, thresholds.intensity) == values


@pytest.mark.parametrize(("name", "most"), [("semantic", 1), ("polarity", 2), ("intensity", 1)])
def test_thresholds_out_of_range_are_named(name, most):
    for value in (-1e-9, most + 1e-9, math.nan, math.inf, -math.inf):
        with pytest.raises(UsageError, match=f"{name} threshold is .*, not 0 to {most}$"):
            Thresholds(**{name: value})


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [(1.0, "kept"), (0.5, "kept"), (math.nextafter(0.5, 0), "unrelated"), (0.0, "unrelated")],
)
def test_boundary_of_the_semantic_filter(similarity, expected):
    assert verdict(similarity) == expected


@pytest.mark.parametrize(
    ("polarity", "text"),
    [(0.8, 0.3), (0.3, 0.8), (0.6, 0.1), (0.1, -0.4), (-0.9, -0.4), (0.2, -0.3), (1.0, 0.5)],
)
def test_boundary_of_the_polarity(polarity, text):
    assert verdict(polarity=polarity, text=text) == "kept"
    away = 1e-6 if text < polarity else -1e-6
    assert verdict(polarity=polarity, text=text - away) == "contradicting"
    assert verdict(polarity=polarity, text=text + away) == "kept"


def test_values_that_lie_on_a_threshold_pass_whatever_floating_point_says():
    assert 0.8 - 0.5 > 0.3  # not on paper
    assert verdict(polarity=0.8, text=0.5, thresholds=Thresholds(polarity=0.3)) == "kept"
    assert verdict(polarity=0.5, text=0.8, thresholds=Thresholds(polarity=0.3)) == "kept"
    assert 1 - 0.9 < 0.1
    assert verdict(intensity=1 - 0.9, thresholds=Thresholds(intensity=0.1)) == "kept"


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [(1.0, "kept"), (0.5, "kept"), (0.499999, "weak"), (0.0, "weak")],
)
def test_boundary_of_the_intensity(intensity, expected):
    assert verdict(intensity=intensity) == expected


def test_the_first_verdict_that_holds_is_said():
    assert judge("Xyzzy", -1.0, 0.0, None, 1.0, PAPER).verdict == "unknown"
    assert verdict(similarity=0.1, polarity=-0.8, intensity=0.1) == "unrelated"
    assert verdict(polarity=-0.8, intensity=0.1) == "contradicting"
    assert verdict(intensity=0.1) == "weak"
    assert verdict() == "kept"


def test_thresholds_move_each_filter_alone():
    loose = Thresholds(semantic=0, polarity=2, intensity=0)
    worst = {"similarity": 0.0, "polarity": -1.0, "text": 1.0, "intensity": 0.0}
    assert verdict(**worst, thresholds=loose) == "kept"
    assert verdict(**worst, thresholds=Thresholds(0.01, 2, 0)) == "unrelated"
    assert verdict(**worst, thresholds=Thresholds(0, 1.99, 0)) == "contradicting"
    assert verdict(**worst, thresholds=Thresholds(0, 2, 0.01)) == "weak"
    assert verdict(0.999, thresholds=Thresholds(semantic=1)) == "unrelated"
    assert verdict(polarity=0.8, text=0.8, thresholds=Thresholds(polarity=0)) == "kept"


def test_a_candidate_holds_all_that_was_known():
    found = known(0.8, 0.7)
    candidate = judge("Success", 0.11, 0.87, found, -0.1, PAPER)
    assert (candidate.subject, candidate.cosine, candidate.similarity) == ("Success", 0.11, 0.87)
    assert candidate.found is found
    assert candidate.prior is found.prior
    assert candidate.gap == pytest.approx(0.9)
    unknown = judge("Xyzzy", 0.11, 0.87, None, -0.1, PAPER)
    assert (unknown.found, unknown.prior, unknown.gap) == (None, None, None)
