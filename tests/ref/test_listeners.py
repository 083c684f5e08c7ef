"""Codes of listeners: found for what tells people apart, and drawn for a run."""

from __future__ import annotations

import numpy as np
import pytest

from mreactor_ref.listeners import ANYBODY, Codebook, draw_codes, fit_codebook
from mreactor_ref.outlook import outlooks

PEOPLE, CLIPS, CHANNELS, SPEAKER = 5, 40, 83, 6
EVEN = np.full(4, 0.25, np.float32)


def crowd(seed: int = 0, jitter: float = 0.05):
    """Reactions of known people: each a person's own mean, plus twice what the speaker shows."""
    rng = np.random.default_rng(seed)
    people = rng.normal(0, 1, (PEOPLE, CHANNELS))
    speakers = rng.normal(0, 1, (CLIPS, SPEAKER)).repeat(PEOPLE, axis=0)
    who = np.tile(np.arange(PEOPLE), CLIPS)
    mood = np.pad(2 * speakers, ((0, 0), (0, CHANNELS - SPEAKER)))
    means = people[who] + mood + rng.normal(0, jitter, (len(who), CHANNELS))
    return speakers.astype(np.float32), means.astype(np.float32), who


def fitted(speakers: np.ndarray, means: np.ndarray, count: int, polarities=None):
    """A codebook of reactions in units of their deviation, all of polarity 0 if none is given."""
    if polarities is None:
        polarities = np.zeros(len(means), np.float32)
    return fit_codebook(speakers, polarities, means, np.ones(CHANNELS, np.float32), count)


def codes_of(book: Codebook, speakers: np.ndarray, means: np.ndarray):
    return book.codes(speakers, np.zeros(len(means), np.float32), means)


def test_a_code_tells_who_reacts_and_not_how_the_speaker_felt():
    speakers, means, who = crowd()
    book = fitted(speakers, means, PEOPLE)
    codes = codes_of(book, speakers, means)
    for person in range(PEOPLE):
        assert len(set(codes[who == person])) == 1
    assert len(set(codes)) == PEOPLE
    assert set(codes) == set(range(1, PEOPLE + 1))


def test_shares_are_how_often_each_code_is_there():
    speakers, means, who = crowd()
    often = np.flatnonzero((who == 0) | (np.arange(len(who)) < len(who) // 2))
    book = fitted(speakers[often], means[often], PEOPLE)
    counts = np.bincount(codes_of(book, speakers[often], means[often]), minlength=PEOPLE + 1)[1:]
    assert book.shares == pytest.approx(counts / len(often), abs=1e-6)


def test_a_speaker_without_a_face_counts_as_the_mean_one():
    speakers, means, _ = crowd()
    hidden = np.full_like(speakers[:1], np.nan)
    book = fitted(speakers, means, PEOPLE)
    assert codes_of(book, hidden, means[:1]) == codes_of(book, book.speaker_mean[None], means[:1])


def test_a_code_tells_who_reacts_and_not_the_polarity_that_is_shown():
    """Two people, each gloomy and sunny in turn: polarity moves twice as much as the person."""
    rng = np.random.default_rng(1)
    who, polarities = np.tile([0, 1], 100), np.repeat([-0.5, 0.5], 100).astype(np.float32)
    person, mood = rng.normal(0, 1, (2, CHANNELS)), rng.normal(0, 4, CHANNELS)
    means = person[who] + polarities[:, None] * mood + rng.normal(0, 0.05, (200, CHANNELS))
    speakers, means = np.zeros((200, SPEAKER), np.float32), means.astype(np.float32)
    book = fitted(speakers, means, 2, polarities)
    codes = book.codes(speakers, polarities, means)
    assert all(len(set(codes[who == one])) == 1 for one in (0, 1))
    assert len(set(codes)) == 2
    told = codes_of(
        fitted(speakers, means, 2), speakers, means
    )  # polarity told to neither: its mood is the code
    assert all(len(set(told[polarities == sign])) == 1 for sign in (-0.5, 0.5))


def test_codes_go_from_the_gloomiest_kind_to_the_sunniest():
    speakers, means, who = crowd()
    outlook = np.random.default_rng(2).permutation(PEOPLE)[who] / PEOPLE
    mood = speakers[:, 0]  # of the clip, which is not the listener's
    polarities = (outlook + mood + 0.3 * np.random.default_rng(3).normal(size=len(who))) / 10
    book = fitted(speakers, means, PEOPLE, polarities.astype(np.float32))
    codes = book.codes(speakers, polarities.astype(np.float32), means)
    assert len(set(codes)) == PEOPLE
    by_code = [outlook[codes == code].mean() for code in range(1, PEOPLE + 1)]
    assert by_code == sorted(by_code)


def test_fewer_reactions_than_codes_leave_codes_that_are_never_drawn():
    speakers, means, _ = crowd()
    book = fitted(speakers[:3], means[:3], 16)
    assert len(book.centroids) <= 3
    assert book.shares.sum() == pytest.approx(1)
    drawn = draw_codes(0, "clip", range(50), book.shares)
    assert (book.shares[drawn - 1] > 0).all()


def test_identical_reactions_are_one_listener():
    means = np.ones((4, CHANNELS), np.float32)
    book = fitted(np.zeros((4, SPEAKER), np.float32), means, 8)
    assert book.shares[0] == 1


def test_the_gloomier_a_reactions_outlook_the_lower_its_code():
    order = np.argsort(outlooks(5, "clip", range(40)))
    codes = draw_codes(5, "clip", range(40), EVEN)[order]
    assert (np.diff(codes) >= 0).all()
    assert set(codes) == {1, 2, 3, 4}


def test_a_reaction_keeps_its_code_whatever_else_is_drawn():
    whole = draw_codes(7, "a/clip", range(10), EVEN)
    assert (draw_codes(7, "a/clip", range(4, 6), EVEN) == whole[4:6]).all()
    assert whole.dtype == np.int64


def test_seed_and_clip_choose_another_start():
    draws = {tuple(draw_codes(s, c, range(10), EVEN)) for s in range(4) for c in "ab"}
    assert len(draws) > 4


@pytest.mark.parametrize("clip", ["a", "b", "ç\udcff", *map(str, range(100))])
def test_ten_reactions_show_each_of_four_listeners(clip):
    counts = np.bincount(draw_codes(0, clip, range(10), EVEN), minlength=5)[1:]
    assert counts.min() >= 2  # both hold wherever the outlooks start
    assert counts.max() <= 4


def test_codes_come_as_often_as_their_shares():
    shares = np.array([0.5, 0, 0.3, 0.2], np.float32)
    counts = np.bincount(draw_codes(1, "clip", range(2000), shares), minlength=5)[1:]
    assert counts / 2000 == pytest.approx(shares, abs=0.01)


def test_a_model_without_codes_draws_nobody():
    assert (draw_codes(0, "clip", range(3), np.zeros(0, np.float32)) == ANYBODY).all()
