"""Training examples: windows, priors, hidden parts; and the statistics of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import hypot

import numpy as np
import pytest
import torch
from fakes.models import small_config

pytest.importorskip("accelerate")

from mreactor_ref.data import draws as module
from mreactor_ref.data.draws import (
    LEAST_DEVIATION,
    Draws,
    DropRates,
    Moments,
    motion_energy,
    statistics,
)
from mreactor_ref.data.dyads import Dyad, subjects_of
from mreactor_ref.emotion.priors import EMOTION_AFFECT, Prior
from mreactor_ref.model import Batch
from mreactor_ref.signals import EMOTIONS, NO_EMOTION, STREAMS, SpeakerClip, Utterance
from mreactor_ref.training_run import loader

CONFIG = small_config()
NOTHING = DropRates(stream=0, face=0, prior=0, smoothness=0, listener=0, everything=0)


def made_up(frames: int = 40, reactions: int = 3, seed: int = 0, clip_frames: int = 0) -> Dyad:
    """A dyad that tells where it was cut: channel 0 of reaction r is 1000 r + frame."""
    rng = np.random.default_rng(seed)
    spoken = clip_frames or frames
    target = rng.normal(size=(reactions, frames, 83)).astype(np.float32)
    target[:, :, 0] = 1000 * np.arange(reactions)[:, None] + np.arange(frames)
    sound = rng.normal(size=(spoken, CONFIG.sound)).astype(np.float32)
    sound[:, 0] = np.arange(spoken)
    clip = SpeakerClip(
        "x",
        spoken,
        25.0,
        sound,
        words=rng.normal(size=(spoken, CONFIG.words)).astype(np.float32),
        coefficients=rng.normal(size=(spoken, 58)).astype(np.float32),
        attributes=rng.random(size=(spoken, 25)).astype(np.float32),
    )
    shown = np.tile(np.array([0.1, 0.75], np.float32), (reactions, 1, 1))
    return Dyad(clip, target, (Utterance(0.0, frames / 25, ""),), shown)


def draws(
    parts: list[Dyad], *, first: int = 0, last: int = 60, drop: DropRates = NOTHING, **other: int
) -> Draws:
    sizes = {"frames": 16, "reactions": 2, "seed": 7} | other
    return Draws(parts, statistics(parts, CONFIG), first=first, last=last, drop=drop, **sizes)


def test_the_same_number_is_the_same_example():
    parts = [made_up(seed=1), made_up(50, seed=2)]
    whole = draws(parts, drop=DropRates())
    resumed = draws(parts, first=25, last=60, drop=DropRates())
    assert (len(whole), len(resumed)) == (60, 35)
    for i in range(35):
        a, b = whole[25 + i], resumed[i]
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[name], b[name]) for name in a)
    starts = {(float(whole[i]["sound"][0, 0]), whole[i]["target"].tobytes()) for i in range(60)}
    assert len(starts) > 50  # numbers are different examples
    other = draws(parts, drop=DropRates(), seed=8)
    assert sum(np.array_equal(other[i]["target"], whole[i]["target"]) for i in range(60)) < 5


def test_a_window_is_cut_alike_from_the_speaker_and_the_reactions():
    parts = draws([made_up(20)], last=200)
    starts = set()
    for i in range(len(parts)):
        item = parts[i]
        start = int(item["sound"][0, 0])
        starts.add(start)
        np.testing.assert_array_equal(item["sound"][:, 0], start + np.arange(16))
        reaction = item["target"][:, 0, 0] // 1000
        assert len(set(reaction)) == 2  # two of three, none twice
        expected = 1000 * reaction[:, None] + start + np.arange(16)
        np.testing.assert_array_equal(item["target"][:, :, 0], expected)
        assert item["mask"].all()
    assert starts == {0, 1, 2, 3, 4}  # the last window ends with the clip


def test_a_short_clip_is_padded():
    item = draws([made_up(10, clip_frames=30)])[0]
    np.testing.assert_array_equal(item["mask"], np.arange(16) < 10)
    assert (item["target"][:, 10:] == 0).all()
    assert (item["emotion"][:, 10:] == 0).all()
    assert (item["affect"][:, 10:] == 0).all()
    assert (item["target"][:, :10] != 0).any(axis=(0, 2)).all()
    short = draws([made_up(10)])[0]
    for name in STREAMS:
        assert len(short[name]) == 16
        assert (short[name][10:] == 0).all()
        assert (short[name][1:10] != 0).any(axis=1).all()


def test_fewer_reactions_than_asked_for_come_twice():
    parts = draws([made_up(reactions=2)], reactions=5)
    assert parts[0]["target"].shape == (5, 16, 83)
    seen = {float(r) for i in range(20) for r in parts[i]["target"][:, 0, 0] // 1000}
    assert seen == {0.0, 1.0}


def test_a_batch_is_what_the_model_takes():
    (item,) = list(loader(draws([made_up()], last=4), 4))
    target, dropped = item.pop("target"), item.pop("dropped")
    batch = Batch(**item)
    assert target.shape == (4, 2, 16, 83)
    assert (dropped.shape, dropped.dtype) == ((4,), torch.bool)
    assert batch.sound.shape == (4, 16, CONFIG.sound)
    assert batch.words.shape == (4, 16, CONFIG.words)
    assert batch.present.shape == (4, 4)
    assert (batch.mask.dtype, batch.emotion.dtype) == (torch.bool, torch.int64)
    floats = (target, batch.sound, batch.attributes, batch.present, batch.affect, batch.smoothness)
    assert {x.dtype for x in floats} == {torch.float32}
    assert (batch.emotion.shape, batch.affect.shape) == ((4, 2, 16), (4, 2, 16, 2))
    assert batch.smoothness.shape == (4, 2)


def near(found: float, rate: float, count: int) -> bool:
    """Within four deviations of a binomial's rate."""
    return abs(found - rate) <= 4 * (rate * (1 - rate) / count) ** 0.5


def test_parts_are_hidden_as_often_as_asked_for():
    rates = DropRates(
        stream=0.1, face=0.3, prior=0.2, smoothness=0.6, listener=0.4, everything=0.25
    )
    parts = draws([made_up(6)], last=2500, drop=rates, frames=4)
    items = [parts[i] for i in range(len(parts))]
    hidden = np.array([item["present"] for item in items]) == 0  # (N, 4)
    face = 1 - 0.7 * 0.9
    for i, rate in enumerate((0.1, 0.1, face, face)):
        assert near(hidden[:, i].mean(), rate, 2500)
    assert near((hidden[:, 0] & hidden[:, 1]).mean(), 0.01, 2500)  # each by itself
    assert near((hidden[:, 2] & hidden[:, 3]).mean(), 0.3 + 0.7 * 0.01, 2500)
    dropped = np.array([item["dropped"] for item in items])
    assert near(dropped.mean(), 0.25, 2500)
    no_prior = np.array([(item["emotion"] == 0).all(axis=1) for item in items])  # (N, 2)
    assert near(no_prior.mean(), 0.2, 5000)
    assert near(no_prior.all(axis=1).mean(), 0.04, 2500)  # each reaction by itself
    still = np.array([item["smoothness"] == 0 for item in items])
    assert near(still.mean(), 0.6, 5000)


def test_nothing_and_everything_can_be_hidden():
    for item in map(draws([made_up()]).__getitem__, range(20)):
        assert item["present"].tolist() == [1, 1, 1, 1]
        assert not item["dropped"]
        assert (item["emotion"] > 0).all()
        assert (item["smoothness"] != 0).all()
    always = DropRates(stream=1, face=1, prior=1, smoothness=1, listener=1, everything=1)
    for item in map(draws([made_up()], drop=always).__getitem__, range(20)):
        assert not item["present"].any()
        assert item["dropped"]
        assert not item["emotion"].any()
        assert not item["affect"].any()
        assert not item["smoothness"].any()


def test_a_stream_that_a_clip_lacks_is_never_present():
    dyad = made_up()
    silent = replace(dyad, clip=replace(dyad.clip, sound=None, coefficients=None))
    parts = draws([silent, dyad])
    kinds = set()
    for i in range(40):
        item = parts[i]
        kinds.add(tuple(item["present"].tolist()))
        if item["present"][0] == 0:
            assert not item["sound"].any()
            assert not item["coefficients"].any()
            assert item["sound"].shape == (16, CONFIG.sound)
    assert kinds == {(0.0, 1.0, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0)}


def affects(parts: Draws) -> np.ndarray:
    """(N, reactions, frames, 2) of all examples."""
    return np.array([parts[i]["affect"] for i in range(len(parts))])


def test_without_subjects_the_prior_is_what_is_shown_but_blurred():
    parts = draws([made_up(16)], last=600)
    found = affects(parts)
    assert (np.abs(found[..., 0]) <= 1).all()
    assert ((found[..., 1] >= 0) & (found[..., 1] <= 1)).all()
    assert (np.ptp(found, axis=2) == 0).all()  # the same through a window
    offset = found[:, :, 0] - (0.1, 0.5)  # 0.75 is half way above the filter's least
    assert np.abs(offset.mean(axis=(0, 1))).max() < 0.03
    blur = [module.POLARITY_BLUR, 2 * module.INTENSITY_BLUR]
    assert offset.std(axis=(0, 1)) == pytest.approx(blur, rel=0.1)
    for i in range(40):
        item = parts[i]
        polarity, intensity = item["affect"][0, 0] * (1, 0.5) + (0, 0.5)
        distance = {
            name: hypot(p - polarity, q - intensity) for name, (p, q) in EMOTION_AFFECT.items()
        }
        label = EMOTIONS[item["emotion"][0, 0]]
        assert distance[label] == pytest.approx(min(distance.values()), abs=1e-6)


class Told:
    """A source of subjects that was told them."""

    notes: Sequence[str] = ()

    def __init__(self, *subjects: Prior):
        self.subjects, self.asked = subjects, []

    def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
        self.asked += utterances
        return [self.subjects] * len(utterances)


def spoken(dyad: Dyad, shown: Sequence[tuple[float, float]]) -> Dyad:
    """The dyad with utterances that start at frames 0 and 8, and reactions that show this."""
    said = (Utterance(0.0, 0.2, "one"), Utterance(0.32, 0.6, "two"))
    many = np.tile(np.array(shown, np.float32), (len(dyad.reactions), 1, 1))
    return replace(dyad, clip=replace(dyad.clip, utterances=said), spoken=said, shown=many)


def explained(dyad: Dyad, source: Told) -> Dyad:
    return replace(dyad, subjects=subjects_of(dyad.clip.utterances, source))


GLOOMY, SUNNY = Prior("Loss", "sadness", -0.8, 0.6), Prior("Success", "happiness", 0.8, 0.7)


def test_a_prior_has_the_polarity_shown_and_the_intensity_of_the_nearest_subject():
    source = Told(GLOOMY, SUNNY)
    shown = [(-0.6, 0.7), (0.5, 0.6)]
    dyad = explained(spoken(made_up(16), shown), source)
    assert source.asked == ["one", "two"]
    parts = draws([dyad], last=300)
    found = np.concatenate([affects(parts)[i] for i in range(300)])  # (600, T, 2)
    told = np.array([0.2] * 8 + [0.4] * 8)  # of the gloomy subject, of the sunny one
    exact = np.isclose(found[..., 1], told, atol=1e-6).all(axis=1)
    assert near(exact.sum() / 600, 1 - module.SHOWN_SHARE, 600)
    for of, frames in zip(shown, (slice(0, 8), slice(8, 16)), strict=True):
        offset = found[exact][:, frames, 0] - of[0]
        assert abs(offset.mean()) < 0.03
        assert offset.std() == pytest.approx(module.POLARITY_BLUR, rel=0.1)


def test_a_clip_without_words_has_no_subjects():
    source = Told(GLOOMY)
    assert subjects_of(made_up().clip.utterances, source) == ()
    assert source.asked == []


def test_a_hidden_prior_is_nothing_at_all():
    dyad = explained(spoken(made_up(16), [(0.5, 0.7)] * 2), Told(SUNNY))
    item = draws([dyad], drop=replace(NOTHING, prior=1.0))[0]
    assert (item["emotion"] == NO_EMOTION).all()
    assert not item["affect"].any()


def test_motion_energy_is_the_log_of_the_mean_change_in_deviations():
    deviation = np.linspace(0.5, 2.0, 83).astype(np.float32)
    steady = np.arange(5)[:, None] * 3 * deviation  # three deviations a frame
    assert motion_energy(steady, deviation) == pytest.approx(np.log(3))
    half = steady.copy()
    half[3:] = half[2]  # moves in two of four steps
    assert motion_energy(half, deviation) == pytest.approx(np.log(1.5), rel=1e-5)
    assert motion_energy(-steady, deviation) == pytest.approx(np.log(3))
    assert motion_energy(np.ones((4, 83)), deviation) == pytest.approx(np.log(1e-6))
    assert motion_energy(steady[:1], deviation) == 0.0


def test_a_calmer_reaction_is_smoother():
    """The scalar that a user sets: larger is calmer, 0 is average, in deviations."""
    dyad = made_up(60, reactions=4)
    pace = np.array([0.25, 0.5, 1.0, 2.0])
    dyad.reactions[..., 1:] *= pace[:, None, None].astype(np.float32)
    dyad.reactions[..., 0] = 1000 * np.arange(4)[:, None]  # which one it is
    parts = draws([dyad], reactions=4, frames=60)
    item = parts[0]
    order = (item["target"][:, 0, 0] // 1000).astype(int)
    smoothness = np.empty(4)
    smoothness[order] = item["smoothness"]
    assert (np.diff(smoothness) < 0).all()
    assert smoothness.mean() == pytest.approx(0, abs=1e-5)  # the window is the whole clip
    assert smoothness.std() == pytest.approx(1, rel=1e-5)
    assert np.diff(smoothness) == pytest.approx(-1 / np.std([0, 1, 2, 3]), rel=0.05)


def test_statistics_are_those_of_all_frames():
    parts = [made_up(30, seed=1), made_up(50, reactions=2, seed=2)]
    stats = statistics(parts, CONFIG)
    for name in STREAMS:
        values = np.concatenate([getattr(d.clip, name) for d in parts]).astype(np.float64)
        mean, deviation = stats.streams[name]
        np.testing.assert_allclose(mean, values.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(deviation, values.std(axis=0), rtol=1e-5)
        assert mean.dtype == deviation.dtype == np.float32
    reactions = np.concatenate([d.reactions.reshape(-1, 83) for d in parts])  # 3 * 30 + 2 * 50
    assert len(reactions) == 190
    np.testing.assert_allclose(stats.reaction[0], reactions.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stats.reaction[1], reactions.std(axis=0), rtol=1e-4)
    energies = [motion_energy(r, stats.reaction[1]) for d in parts for r in d.reactions]
    assert stats.smoothness == pytest.approx((np.mean(energies), max(np.std(energies), 0.01)))


def test_moments_are_those_of_all_pieces_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    frames = np.random.default_rng(0).normal(1000, 2, (100, 3))  # far from 0: no plain squares
    moments = Moments()
    for piece in np.split(frames, (1, 4, 50)):
        moments.add(piece)
    mean, deviation = moments.result(3)
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, frames.std(axis=0), rtol=1e-6)
    assert mean.dtype == deviation.dtype == np.float32
    nothing = Moments().result(2)
    assert [x.tolist() for x in nothing] == [[0, 0], [1, 1]]


def test_what_never_moves_or_is_not_there_can_be_standardised():
    dyad = made_up()
    dyad.reactions[..., 5] = 0.25
    silent = replace(dyad, clip=replace(dyad.clip, sound=None))
    stats = statistics([silent], CONFIG)
    assert stats.reaction[1][5] == np.float32(LEAST_DEVIATION)
    mean, deviation = stats.streams["sound"]
    assert (mean.shape, deviation.shape) == ((CONFIG.sound,), (CONFIG.sound,))
    assert not mean.any()
    assert (deviation == 1).all()
    assert statistics([made_up(reactions=1)], CONFIG).smoothness[1] == LEAST_DEVIATION
    both = statistics([silent, made_up(seed=3)], CONFIG)
    assert both.streams["sound"][1].std() > 0  # from the clip that has one
