"""Real reactions of other lengths: cut and held as the challenge's segments are, or stretched."""

import numpy as np
import pytest

from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.metrics.lengths import (
    LENGTH_RULES,
    SEGMENT,
    challenge_length,
    stretched_length,
)


def numbered(frames: int) -> np.ndarray:
    return np.arange(frames, dtype=float)[:, None]


@pytest.mark.parametrize("rule", LENGTH_RULES.values())
def test_of_equal_length_nothing_changes(rule):
    reaction = numbered(7)
    assert rule(reaction, 7) is reaction


@pytest.mark.parametrize("rule", LENGTH_RULES.values())
def test_every_length_comes_out_and_no_frame_is_invented(rule):
    for before in (1, 2, 3, 57, 999, 1000, 1001, 2500):
        for after in (1, 2, 3, 56, 750, 1000, 1001, 3007):
            taken = rule(numbered(before), after)
            assert taken.shape == (after, 1)
            assert 0 <= taken.min() <= taken.max() < before
            assert (np.diff(taken[:, 0]) >= 0).all()


def test_the_challenge_cuts_and_holds():
    assert challenge_length(numbered(9), 4).ravel().tolist() == [0, 1, 2, 3]
    assert challenge_length(numbered(3), 5).ravel().tolist() == [0, 1, 2, 2, 2]
    assert challenge_length(numbered(1), 3).ravel().tolist() == [0, 0, 0]


def by_segments(reaction: np.ndarray, frames: int) -> np.ndarray:
    """The same, written as the challenge goes about it: cut the longer one into thousands."""
    count = -(-max(len(reaction), frames) // SEGMENT)
    share = -(-min(len(reaction), frames) // count)
    parts = []
    for n in range(count):
        if len(reaction) > frames:
            part = reaction[n * SEGMENT : (n + 1) * SEGMENT]
            wanted = min(share, frames - n * share)
        else:
            part = reaction[n * share : (n + 1) * share]
            wanted = min(SEGMENT, frames - n * SEGMENT)
        held = np.repeat(part[-1:], max(wanted - len(part), 0), axis=0)
        parts.append(np.concatenate([part, held])[:wanted])
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("before", "after"), [(1500, 900), (900, 1500), (20_000, 750), (2500, 2400), (1001, 1000)]
)
def test_longer_ones_go_through_it_in_segments(before, after):
    reaction = numbered(before)
    np.testing.assert_array_equal(challenge_length(reaction, after), by_segments(reaction, after))


def test_stretching_takes_the_nearest_frame():
    x = numbered(4)
    assert stretched_length(x, 8).ravel().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert stretched_length(x, 2).ravel().tolist() == [1, 3]
    assert stretched_length(x, 1).ravel().tolist() == [2]


def test_each_real_reaction_is_scored_at_its_own_length():
    rng = np.random.default_rng(0)
    generated = rng.random((2, 60, 25))
    real = [np.concatenate([generated[0], rng.random((40, 25))]), rng.random((30, 25))]
    assert frcorr([generated[:1]], [real]) == pytest.approx(1, abs=1e-6)
    assert frdist([generated[:1]], [real]) == 0
    assert frdist([generated[:1]], [real], stretched_length) > 0.1


def test_a_rule_of_your_own_is_asked_for_every_other_length():
    asked = []

    def rule(reaction: np.ndarray, frames: int) -> np.ndarray:
        asked.append((len(reaction), frames))
        return challenge_length(reaction, frames)

    frcorr([np.zeros((1, 5, 25))], [[np.ones((n, 25)) for n in (5, 6, 4)]], rule)
    assert asked == [(5, 5), (6, 5), (4, 5)]
