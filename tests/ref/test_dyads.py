"""Dyads: what is read of a tree and kept, and what the reactions show."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from fakes.disk import FULL
from fakes.models import small_config

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.data import dyads
from mreactor_ref.data.clips import ClipFiles, FeatureReader
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.data.mars import read_mars
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.emotion.priors import reaction_prior
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import (
    AU_SLICE,
    STREAMS,
    VALENCE,
    SpeakerClip,
    Utterance,
)

CONFIG = small_config()


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
        np.testing.assert_array_equal(dyad.shown, cached.shown)
        assert dyad.spoken == clip.utterances
        assert dyad.shown.shape == (3, len(clip.utterances), 2)
        assert dyad.subjects == ()


def test_what_is_in_the_cache_is_not_read_again(tree: Path, reads: list[str], cache: Path):
    first = load_dyads(tree, "train", CONFIG)
    assert reads == ["train/session-0000/clip-0", "train/session-0001/clip-0"]
    second = load_dyads(tree, "train", CONFIG)
    assert len(reads) == 2
    assert all(same_clip(a.clip, b.clip) for a, b in zip(first, second, strict=True))
    assert sorted(p.suffix for p in (cache / "features").iterdir()) == [".npz", ".npz"]


def test_a_cache_that_cannot_be_written_is_left_clean(
    tree: Path, reads: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
):
    def half(file: BinaryIO, **_: object) -> None:
        file.write(b"half of it")
        raise FULL

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="No space left"):
        load_dyads(tree, "train", CONFIG)
    assert list((cache / "features").iterdir()) == []


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
    assert cut.shown.shape == (3, 2, 2)
    np.testing.assert_array_equal(cut.reactions, whole.reactions[:, :150])
    assert cut.clip.frames == whole.clip.frames > 150


def test_what_a_reaction_shows_is_read_while_the_words_last(tree: Path, reads: list[str]):
    """The second utterance starts at 4 s, frame 100; before it the first one holds."""
    (dyad,) = load_dyads(tree, "val", CONFIG)
    for reaction, shown in zip(dyad.reactions, dyad.shown, strict=True):
        for part, found in zip((slice(0, 100), slice(100, None)), shown, strict=True):
            prior = reaction_prior(reaction[part, :25])
            np.testing.assert_allclose(found, (prior.polarity, prior.intensity), 1e-5)
    assert len(np.unique(dyad.shown[..., 0])) > 3  # they differ


def test_without_words_the_whole_clip_shows_one_prior(
    tree: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
):
    read = CountingReader.read

    def silent(self: CountingReader, files: ClipFiles) -> tuple[SpeakerClip, list[str]]:
        return replace(read(self, files)[0], utterances=()), []

    monkeypatch.setattr(CountingReader, "read", silent)
    (dyad,) = load_dyads(tree, "val", CONFIG)
    assert dyad.shown.shape == (3, 1, 2)
    (spoken,) = dyad.spoken
    assert (spoken.start, spoken.end) == (0.0, dyad.reactions.shape[1] / dyad.clip.fps)
    prior = reaction_prior(dyad.reactions[1, :, :25])
    np.testing.assert_allclose(dyad.shown[1, 0], (prior.polarity, prior.intensity), 1e-5)


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
