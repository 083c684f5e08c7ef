"""A face whose file tells the time of each row: placed by it, gaps filled or at rest."""

from __future__ import annotations

import numpy as np
import pytest

from mreactor_ref.errors import ClipError
from mreactor_ref.features.face import Face, fit_face
from mreactor_ref.signals import ATTRIBUTES, EXPRESSION_SLICE, EXPRESSIONS

HAPPY = EXPRESSION_SLICE.start + EXPRESSIONS.index("Happy")
NEUTRAL = EXPRESSION_SLICE.start + EXPRESSIONS.index("Neutral")


def rising(times: np.ndarray, fps: float = 25.0) -> Face:
    """AU12 from 5 s on; Happy and a coefficient are the time."""
    attributes = np.zeros((len(times), ATTRIBUTES), np.float32)
    attributes[:, 7] = times >= 5
    attributes[:, HAPPY] = times / 10
    coefficients = np.repeat(times[:, None], 58, axis=1).astype(np.float32)
    return Face(coefficients, attributes, fps, times)


def middles(fps: float, seconds: float = 10.0) -> np.ndarray:
    return (np.arange(round(seconds * fps)) + 0.5) / fps


def test_the_frames_of_the_clip_are_taken_one_by_one():
    face = rising(np.round(middles(25.0), 3) + 1e-4)
    fitted, line = fit_face(face, 25.0, 250, 10.0, "a.csv")
    assert line is None
    np.testing.assert_array_equal(fitted.attributes, face.attributes)


@pytest.mark.parametrize("rate", [15.0, 29.97, 60.0])
def test_another_rate_is_resampled(rate):
    face = rising(middles(rate), rate)
    fitted, line = fit_face(face, 25.0, 250, 10.0, "a.csv")
    assert line.endswith(f"taken as {rate:g} fps and resampled to 25")
    centres = middles(25.0)
    np.testing.assert_allclose(fitted.coefficients[3:-3, 0], centres[3:-3], atol=1e-4)
    assert abs(np.argmax(fitted.attributes[:, 7]) / 25 - 5) <= 0.5 / rate + 0.04


def test_a_gap_of_up_to_a_second_is_filled():
    times = middles(25.0)
    face = rising(times[(times < 4.5) | (times > 5.4)])
    fitted, line = fit_face(face, 25.0, 250, 10.0, "a.csv")
    assert line is None
    np.testing.assert_allclose(fitted.attributes[:, HAPPY], times / 10, atol=1e-5)
    assert set(np.unique(fitted.attributes[:, 7])) == {0.0, 1.0}
    assert abs(np.argmax(fitted.attributes[:, 7]) / 25 - 4.95) < 0.05  # the nearest row


def test_in_a_longer_gap_the_face_is_at_rest():
    times = middles(25.0)
    face = rising(times[(times < 5.5) | (times > 8.0)])
    fitted, line = fit_face(face, 25.0, 250, 10.0, "of/a.csv")
    assert line == "no face in a.csv for 2.5 s, first at 5.5 s: it is at rest there"
    gap = (times >= 5.5) & (times <= 8.0)
    np.testing.assert_allclose(fitted.attributes[~gap, HAPPY], times[~gap] / 10, atol=1e-5)
    assert not fitted.attributes[gap][:, 7].any()
    assert (fitted.attributes[gap][:, NEUTRAL] == 1).all()
    assert np.isfinite(fitted.coefficients).all()


@pytest.mark.parametrize(("first", "last", "away"), [(0.8, 10.0, 0.0), (3.0, 10.0, 2.0),
                                                     (0.0, 7.0, 2.0)])  # fmt: skip
def test_a_face_that_comes_late_or_goes_early(first, last, away):
    times = middles(25.0)
    face = rising(times[(times > first) & (times < last)])
    fitted, line = fit_face(face, 25.0, 250, 10.0, "a.csv")
    assert fitted.frames == 250
    assert (fitted.attributes[:, NEUTRAL] == 1).sum() == pytest.approx(away * 25, abs=1)
    assert (line is None) == (away == 0)


@pytest.mark.parametrize("times", [middles(25.0, 14.0), middles(25.0) + 20])
def test_a_face_of_another_clip(times):
    with pytest.raises(ClipError, match=r"its times go from .* s, the clip lasts 10\.0 s"):
        fit_face(rising(times), 25.0, 250, 10.0, "a.csv")


def test_one_row():
    fitted, line = fit_face(rising(np.array([0.02])), 25.0, 2, 0.08, "a.csv")
    assert fitted.frames == 2
    assert line is None
