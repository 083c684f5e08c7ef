"""Dyads for training: what is read and kept, what a training example is, and its statistics."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from math import hypot
from pathlib import Path

import numpy as np
import pytest
import torch
from models import small_config

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.data import dyads
from mreactor_ref.data.clips import ClipFiles, FeatureReader
from mreactor_ref.data.dyads import (
    LEAST_DEVIATION,
    Draws,
    DropRates,
    Dyad,
    load_dyads,
    moments,
    motion_energy,
    statistics,
)
from mreactor_ref.data.mars import read_mars
from mreactor_ref.data.simulate import write_dataset
from mreactor_ref.emotion.priors import EMOTION_AFFECT, reaction_prior
from mreactor_ref.errors import UsageError
from mreactor_ref.model import Batch
from mreactor_ref.signals import (
    AU_SLICE,
    EMOTIONS,
    STREAMS,
    VALENCE,
    SpeakerClip,
    Utterance,
)
from mreactor_ref.train import loader

CONFIG = small_config()
NOTHING = DropRates(stream=0, face=0, prior=0, smoothness=0, everything=0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dyads") / "tree"
    write_dataset(root, {"train": 2, "val": 1}, listeners=3)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


class CountingReader:
    """Clips without encoders: the sound of frame k is k. `read` counts in `ids`."""

    ids: list[str]

    def __init__(self, config: object):
        self.fps = CONFIG.fps

    def read(self, files: ClipFiles) -> tuple[SpeakerClip, list[str]]:
        self.ids.append(files.id)
        frames = len(np.load(files.faces[0]))
        sound = np.repeat(np.arange(frames, dtype=np.float32)[:, None], CONFIG.sound, axis=1)
        said = (Utterance(0.3, 2.0, "good \u00e9"), Utterance(4.0, 5.5, "bad"))
        return SpeakerClip(files.id, frames, self.fps, sound, utterances=said), []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the clips that were read and not taken from the cache."""
    ids: list[str] = []
    monkeypatch.setattr(dyads, "FeatureReader", CountingReader)
    monkeypatch.setattr(CountingReader, "ids", ids, raising=False)
    return ids


def same_clip(a: SpeakerClip, b: SpeakerClip) -> bool:
    for name in STREAMS:
        x, y = getattr(a, name), getattr(b, name)
        if (x is None) != (y is None):
            return False
        if x is not None and (x.dtype != y.dtype or not np.array_equal(x, y)):
            return False
    return (a.id, a.frames, a.fps, a.utterances) == (b.id, b.frames, b.fps, b.utterances)


def test_a_split_is_read_with_the_features_of_the_config(tree: Path):
    seen = []
    found = load_dyads(tree, "train", CONFIG, lambda done, of: seen.append((done, of)))
    again = load_dyads(tree, "train", CONFIG)  # from the cache
    sessions = read_mars(tree, "train")
    reader = FeatureReader(CONFIG)
    assert seen == [(1, 2), (2, 2)]
    assert len(found) == len(again) == len(sessions) == 2
    for dyad, cached, session in zip(found, again, sessions, strict=True):
        clip, warnings = reader.read(session.speaker)
        assert warnings == []
        assert same_clip(dyad.clip, clip)
        assert same_clip(cached.clip, clip)
        assert dyad.clip.utterances
        assert dyad.clip.words is not None
        assert np.abs(dyad.clip.words).max() > 0
        assert dyad.reactions.dtype == np.float32
        assert dyad.reactions.shape == (3, clip.frames, 83)
        for reaction, files in zip(dyad.reactions, session.reactions, strict=True):
            np.testing.assert_array_equal(reaction[:, :25], np.load(files.attributes))
            np.testing.assert_array_equal(reaction[:, 25:], np.load(files.coefficients))
        np.testing.assert_array_equal(dyad.reactions, cached.reactions)
        np.testing.assert_array_equal(dyad.affect, cached.affect)
        assert dyad.affect.shape == (3, clip.frames, 2)


def test_what_is_in_the_cache_is_not_read_again(tree: Path, reads: list[str], cache: Path):
    first = load_dyads(tree, "train", CONFIG)
    assert reads == ["train/session-0000/clip-0", "train/session-0001/clip-0"]
    second = load_dyads(tree, "train", CONFIG)
    assert len(reads) == 2
    assert all(same_clip(a.clip, b.clip) for a, b in zip(first, second, strict=True))
    assert sorted(p.suffix for p in (cache / "features").iterdir()) == [".npz", ".npz"]


@pytest.mark.parametrize("kind", ["audio", "words", "coefficients", "facial-attributes"])
def test_a_file_that_changed_is_read_again(tmp_path: Path, tree: Path, reads: list[str], kind: str):
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy)
    load_dyads(copy, "train", CONFIG)
    (path,) = (copy / "train" / kind / "speaker" / "session-0001").iterdir()
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    load_dyads(copy, "train", CONFIG)
    assert reads[2:] == ["train/session-0001/clip-0"]


def test_another_encoder_or_rate_is_read_again(tree: Path, reads: list[str]):
    load_dyads(tree, "val", CONFIG)
    load_dyads(tree, "val", replace(CONFIG, width=32, layers=1))  # not of the features
    assert len(reads) == 1
    for other in ({"fps": 30.0}, {"sound_encoder": "other"}, {"words_encoder": "other"}):
        load_dyads(tree, "val", replace(CONFIG, **other))
    assert len(reads) == 4


def test_reactions_are_cut_to_the_shortest(tmp_path: Path, tree: Path, reads: list[str]):
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy)
    for kind in ("coefficients", "facial-attributes"):
        path = copy / "val" / kind / "listener" / "session-0000" / "clip-1.npy"
        np.save(path, np.load(path)[:150])
    (whole,), (cut,) = (load_dyads(root, "val", CONFIG) for root in (tree, copy))
    assert cut.reactions.shape == (3, 150, 83)
    assert cut.affect.shape == (3, 150, 2)
    np.testing.assert_array_equal(cut.reactions, whole.reactions[:, :150])
    assert cut.clip.frames == whole.clip.frames > 150


def test_the_affect_is_what_each_reaction_shows_while_the_words_last(tree: Path, reads: list[str]):
    """The second utterance starts at 4 s, frame 100; before it the first one holds."""
    (dyad,) = load_dyads(tree, "val", CONFIG)
    for reaction, affect in zip(dyad.reactions, dyad.affect, strict=True):
        for part in (slice(0, 100), slice(100, None)):
            shown = reaction_prior(reaction[part, :25])
            expected = [shown.polarity, 2 * (shown.intensity - 0.5)]  # above the filter's least
            np.testing.assert_allclose(
                affect[part], np.tile(expected, (len(affect[part]), 1)), 1e-5
            )
    assert len(np.unique(dyad.affect[:, [0, -1], 0])) > 3  # they differ


def test_a_tree_of_another_rate_is_put_on_the_models_frames(tmp_path: Path):
    """MARS has 30 frames a second, and `mini` 25: a reaction must stay with the words."""
    write_dataset(tmp_path / "tree", {"train": 1}, fps=30.0, listeners=2)
    (dyad,) = load_dyads(tmp_path / "tree", "train", CONFIG)
    (session,) = read_mars(tmp_path / "tree", "train")
    assert dyad.clip.frames == dyad.reactions.shape[1]
    times = (np.arange(dyad.clip.frames) + 0.5) / 25
    for reaction, files in zip(dyad.reactions, session.reactions, strict=True):
        recorded = np.concatenate([np.load(files.attributes), np.load(files.coefficients)], axis=1)
        assert round(len(recorded) / 30 * 25) == dyad.clip.frames
        units, others = recorded[:, AU_SLICE], np.r_[VALENCE:83]
        own = (np.arange(len(recorded)) + 0.5) / 30
        for channel in others:
            expected = np.interp(times, own, recorded[:, channel])
            np.testing.assert_allclose(reaction[:, channel], expected, atol=1e-4)
        assert set(np.unique(reaction[:, AU_SLICE])) <= set(np.unique(units)) == {0.0, 1.0}


def test_a_split_that_is_not_there(tree: Path):
    with pytest.raises(UsageError, match="no such folder"):
        load_dyads(tree, "test", CONFIG)


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
    affect = np.zeros((reactions, frames, 2), np.float32)
    affect[..., 0] = np.linspace(-0.5, 0.5, frames)
    affect[..., 1] = 0.5
    return Dyad(clip, target, affect)


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
    rates = DropRates(stream=0.1, face=0.3, prior=0.2, smoothness=0.6, everything=0.25)
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
    always = DropRates(stream=1, face=1, prior=1, smoothness=1, everything=1)
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


def test_a_prior_is_blurred_alike_through_a_window_and_named_by_its_nearest_label():
    dyad = made_up(16)
    parts = draws([dyad], last=600)
    offsets = []
    for i in range(len(parts)):
        item = parts[i]
        affect = item["affect"]
        assert (np.abs(affect[..., 0]) <= 1).all()
        assert ((affect[..., 1] >= 0) & (affect[..., 1] <= 1)).all()
        inside = np.abs(affect[..., 0]) < 1  # not cut
        offset = affect[..., 0] - dyad.affect[0, :, 0]
        for s in range(2):
            kept = offset[s][inside[s]]
            if len(kept):
                assert np.ptp(kept) < 1e-6
            offsets.append((offset[s, 8], affect[s, 8, 1] - 0.5))
        if i < 40:
            for (polarity, intensity), label in zip(affect[0], item["emotion"][0], strict=True):
                distance = {
                    name: hypot(p - polarity, q - intensity)
                    for name, (p, q) in EMOTION_AFFECT.items()
                }
                assert distance[EMOTIONS[label]] == pytest.approx(min(distance.values()), abs=1e-6)
    blur = np.array(offsets)  # polarity at frame 8 is near 0, intensity 0.5: hardly ever cut
    assert np.abs(blur.mean(axis=0)).max() < 0.05
    assert blur.std(axis=0) == pytest.approx([dyads.POLARITY_BLUR, dyads.INTENSITY_BLUR], rel=0.1)


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
    rng = np.random.default_rng(0)
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
    assert moments([rng.normal(5, 2, (4000, 3))])[0] == pytest.approx([5, 5, 5], abs=0.2)


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
    alone = replace(made_up(reactions=1), affect=np.zeros((1, 40, 2), np.float32))
    assert statistics([alone], CONFIG).smoothness[1] == LEAST_DEVIATION
    both = statistics([silent, made_up(seed=3)], CONFIG)
    assert both.streams["sound"][1].std() > 0  # from the clip that has one
