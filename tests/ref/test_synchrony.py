"""FRSyn: lags of copies, constant channels, and the number of the challenge's code."""

import numpy as np
import pytest

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.compat import EDITIONS
from mreactor_ref.metrics.synchrony import frsyn, lagged_correlation
from mreactor_ref.signals import ATTRIBUTES, VALENCE

REACT2024 = EDITIONS["react2024"]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((*shape, ATTRIBUTES)).astype(np.float32)


def walk(*shape: int, seed: int = 0) -> np.ndarray:
    """A signal whose correlation with itself falls off with the lag."""
    return np.cumsum(draw(*shape, seed=seed).astype(np.float64) - 0.5, axis=-2)


@pytest.mark.parametrize("lag", [-49, -30, -1, 0, 1, 12, 49])
@pytest.mark.parametrize("edition", [None, REACT2024])
def test_frsyn_finds_the_lag_of_a_copy(lag, edition):
    signal = walk(400)
    speaker, reaction = signal[100:300], signal[100 - lag : 300 - lag]
    assert frsyn([reaction[None]], [speaker], edition=edition) == abs(lag)


def test_a_late_reaction_has_a_positive_lag():
    signal = walk(300)
    correlation = lagged_correlation(signal[None, 90:290], signal[100:300], 25.0, overlap=2)
    assert correlation.shape == (1, 99, ATTRIBUTES)
    assert int(correlation.mean(2).argmax()) - 49 == 10


def test_lagged_correlation_against_corrcoef():
    x, y = draw(2, 120, seed=1), draw(120, seed=2)
    result = lagged_correlation(x, y, 25.0, overlap=2)
    for lag, late, early in [
        (-49, slice(0, 71), slice(49, 120)),
        (7, slice(7, 120), slice(0, 113)),
    ]:
        for channel in (0, 13, 24):
            expected = np.corrcoef(x[1, late, channel], y[early, channel])[0, 1]
            assert result[1, lag + 49, channel] == pytest.approx(expected)


def test_frsyn_averages_all_reactions_and_compat_only_the_first():
    signal = walk(400)
    reactions = np.stack([signal[100 - lag : 300 - lag] for lag in (3, 9, 18)])
    speaker = signal[100:300]
    assert frsyn([reactions], [speaker]) == pytest.approx(10)
    assert frsyn([reactions], [speaker], edition=REACT2024) == 3
    assert frsyn([reactions, speaker[None]], [speaker] * 2) == pytest.approx(30 / 4)


def test_constant_channels_do_not_count_but_in_compat_they_win():
    speaker = walk(200)
    speaker[:, 4] = 1 / 3
    assert frsyn([speaker[None]], [speaker]) == 0
    assert frsyn([speaker[None]], [speaker], edition=REACT2024) == 49


def test_compat_takes_the_first_lag_at_which_a_channel_is_constant():
    speaker = walk(200)
    speaker[:, 4] = 0
    speaker[190, 4] = 1  # constant where the last 10 frames of the speaker are left out
    reaction = speaker.copy()
    reaction[:, 4] = walk(200, seed=5)[:, 4]
    assert frsyn([reaction[None]], [speaker]) == 0
    assert frsyn([reaction[None]], [speaker], edition=REACT2024) == 10


def test_a_reaction_that_never_moves_has_the_largest_lag():
    speaker = walk(200)
    assert frsyn([np.ones((2, 200, ATTRIBUTES))], [speaker]) == 49
    assert frsyn([np.ones((2, 200, ATTRIBUTES))], [speaker], fps=30.0) == 59


def test_a_short_clip_is_compared_where_half_of_it_remains():
    signal = walk(100)
    correlation = lagged_correlation(signal[None, :30], signal[:30], 25.0, overlap=15)
    defined = np.flatnonzero(~np.isnan(correlation[0, :, 0])) - 49
    assert (defined[0], defined[-1]) == (-15, 15)
    assert frsyn([signal[None, 20:50]], [signal[25:55]]) == 5
    assert frsyn([signal[None, :1]], [signal[:1]]) == 49


def test_of_equal_peaks_the_nearest_counts():
    wave = np.sin(np.arange(200) * np.pi / 10)  # period 20
    speaker = np.zeros((200, ATTRIBUTES))
    speaker[:, VALENCE] = np.sign(wave.round(6))
    assert frsyn([speaker[None]], [speaker]) == 0


def test_frsyn_needs_equal_lengths():
    with pytest.raises(UsageError, match="clip 0: reactions have 40 frames, the speaker has 41"):
        frsyn([draw(1, 40)], [draw(41)])
