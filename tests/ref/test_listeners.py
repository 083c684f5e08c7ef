"""Codes of listeners: found for what tells people apart, and drawn for a run."""

from __future__ import annotations

import numpy as np
import pytest

from mreactor_ref.listeners import ANYBODY, draw_codes, fit_codebook

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


def test_a_code_tells_who_reacts_and_not_how_the_speaker_felt():
    speakers, means, who = crowd()
    book = fit_codebook(speakers, means, np.ones(CHANNELS, np.float32), PEOPLE)
    codes = book.codes(speakers, means)
    for person in range(PEOPLE):
        assert len(set(codes[who == person])) == 1
    assert len(set(codes)) == PEOPLE
    assert set(codes) == set(range(1, PEOPLE + 1))


def test_shares_are_how_often_each_code_is_there():
    speakers, means, who = crowd()
    often = np.flatnonzero((who == 0) | (np.arange(len(who)) < len(who) // 2))
    book = fit_codebook(speakers[often], means[often], np.ones(CHANNELS, np.float32), PEOPLE)
    counts = np.bincount(book.codes(speakers[often], means[often]), minlength=PEOPLE + 1)[1:]
    assert book.shares == pytest.approx(counts / len(often), abs=1e-6)


def test_a_speaker_without_a_face_counts_as_the_mean_one():
    speakers, means, _ = crowd()
    hidden = np.full_like(speakers[:1], np.nan)
    book = fit_codebook(speakers, means, np.ones(CHANNELS, np.float32), PEOPLE)
    assert book.codes(hidden, means[:1]) == book.codes(book.speaker_mean[None], means[:1])


def test_fewer_reactions_than_codes_leave_codes_that_are_never_drawn():
    speakers, means, _ = crowd()
    book = fit_codebook(speakers[:3], means[:3], np.ones(CHANNELS, np.float32), 16)
    assert len(book.centroids) <= 3
    assert book.shares.sum() == pytest.approx(1)
    drawn = draw_codes(0, "clip", range(50), book.shares)
    assert (book.shares[drawn - 1] > 0).all()


def test_identical_reactions_are_one_listener():
    means = np.ones((4, CHANNELS), np.float32)
    book = fit_codebook(np.zeros((4, SPEAKER), np.float32), means, means[0], 8)
    assert book.shares[0] == 1


def test_a_reaction_keeps_its_code_whatever_else_is_drawn():
    whole = draw_codes(7, "a/clip", range(10), EVEN)
    assert (draw_codes(7, "a/clip", range(4, 6), EVEN) == whole[4:6]).all()
    assert whole.dtype == np.int64


def test_seed_and_clip_choose_another_start():
    draws = {tuple(draw_codes(s, c, range(10), EVEN)) for s in range(4) for c in "ab"}
    assert len(draws) > 4


@pytest.mark.parametrize("clip", ["a", "b", "ç\udcff"])
def test_ten_reactions_show_each_of_four_listeners(clip):
    counts = np.bincount(draw_codes(0, clip, range(10), EVEN), minlength=5)[1:]
    assert counts.min() >= 2
    assert counts.max() <= 3


def test_codes_come_as_often_as_their_shares():
    shares = np.array([0.5, 0, 0.3, 0.2], np.float32)
    counts = np.bincount(draw_codes(1, "clip", range(2000), shares), minlength=5)[1:]
    assert counts / 2000 == pytest.approx(shares, abs=0.01)


def test_a_model_without_codes_draws_nobody():
    assert (draw_codes(0, "clip", range(3), np.zeros(0, np.float32)) == ANYBODY).all()
