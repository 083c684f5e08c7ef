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
from fakes.trees import mars_tree, react_tree

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.config import ModelConfig
from mreactor_ref.data import prepared
from mreactor_ref.data.clips import ClipFiles, FeatureReader
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.data.trees import read_tree
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

    def __init__(self, config: ModelConfig, device: str, *, strict: bool):
        assert strict  # what is broken is left out of training, never half of it taken
        self.config = config

    def read(self, files: ClipFiles) -> tuple[SpeakerClip, list[str]]:
        self.ids.append(files.id)
        faces, fps = np.load(files.faces[0], mmap_mode="r"), self.config.fps
        frames = round(len(faces) * fps / (files.face_fps or fps))
        sound = np.repeat(np.arange(frames, dtype=np.float32)[:, None], CONFIG.sound, axis=1)
        said = (Utterance(0.3, 2.0, "good \u00e9"), Utterance(4.0, 5.5, "bad"))
        return SpeakerClip(files.id, frames, fps, sound, utterances=said), []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the clips that were read and not taken from the cache."""
    ids: list[str] = []
    monkeypatch.setattr(prepared, "FeatureReader", CountingReader)
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
    sessions = read_tree(tree, "train").pairs
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
        assert {r.dtype for r in dyad.reactions} == {np.dtype(np.float32)}
        assert [r.shape for r in dyad.reactions] == [(clip.frames, 83)] * 3
        assert dyad.frames == clip.frames
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
    kinds = sorted(p.name.split(".", 1)[1] for p in (cache / "features").iterdir())
    assert kinds == [*["encoded.npy"] * 2, *["json"] * 2, *["reaction.npy"] * 6]


def test_a_cache_that_cannot_be_written_is_left_clean(
    tree: Path, reads: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
):
    def half(file: BinaryIO, *_: object, **__: object) -> None:
        file.write(b"half of it")
        raise FULL

    monkeypatch.setattr(np, "save", half)
    with pytest.raises(UsageError, match="No space left"):
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


def test_a_listener_that_ends_a_few_frames_early_cuts_its_pair_and_says_so(
    tmp_path: Path, tree: Path, reads: list[str]
):
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy)
    (whole,) = load_dyads(tree, "val", CONFIG)
    for kind in ("coefficients", "facial-attributes"):
        path = copy / "val" / kind / "listener" / "session-0000" / "clip-1.npy"
        np.save(path, np.load(path)[:-7])
    read = load_dyads(copy, "val", CONFIG)
    (cut,) = read
    assert (cut.frames, cut.clip.frames) == (whole.frames - 7, whole.clip.frames)
    for reaction, before in zip(cut.reactions, whole.reactions, strict=True):
        np.testing.assert_array_equal(reaction[: cut.frames], before[: cut.frames])
    assert not read.left_out
    assert list(read.lines()) == [
        "val: 1 pairs differ in length and are cut to the shorter, by 7 frames at most "
        "(val/session-0000/clip-0)"
    ]


def test_pairs_of_mars_keep_their_own_lengths(tmp_path: Path, reads: list[str]):
    mars_tree(tmp_path, {"session0": [(50, 52), (120, 120), (90, 90)], "session1": [(60, 60)]})
    config = replace(CONFIG, fps=30.0)
    dyads = load_dyads(tmp_path, "train", config)
    assert [dyad.frames for dyad in dyads] == [50, 120, 90, 60]
    for i, dyad in enumerate(dyads[:3]):
        (own,) = dyad.reactions
        np.testing.assert_allclose(own, i / 10)
        assert [len(reaction) for reaction in dyad.appropriate] == [52, 120, 90]
    assert [len(a) for a in dyads.appropriate_attributes()[3]] == [60]
    shared = dyads.appropriate_attributes()
    assert shared[0][1] is shared[1][1]  # read once


def test_a_pair_of_unlike_lengths_is_left_out_and_both_are_named(tmp_path: Path, reads: list[str]):
    mars_tree(tmp_path, {"session0": [(120, 60), (90, 90)]})
    dyads = load_dyads(tmp_path, "train", replace(CONFIG, fps=30.0))
    assert dyads.ids() == ["train/session0/Camera-1"]
    assert [len(reaction) for reaction in dyads[0].appropriate] == [90]  # nor to score against
    (error,) = dyads.left_out
    assert "the listener has 60 frames, and its speaker" in str(error)
    assert "audio/speaker/session0/Camera-0.wav 120" in str(error)
    assert error.path == tmp_path / "train/facial-attributes/listener/session0/Camera-0.npy"
    first, second, *_ = dyads.lines()
    assert first == "train: left out 1 of 2; see all such clips with `mreactor-data check`:"
    assert second == f"  {error}"


def test_a_split_without_one_readable_pair(tmp_path: Path, reads: list[str]):
    mars_tree(tmp_path, {"session0": [(120, 60)]})
    with pytest.raises(UsageError, match=r"none of its 1 pairs .* 60 frames.*give --fps"):
        load_dyads(tmp_path, "train", replace(CONFIG, fps=30.0))


def test_a_tree_at_another_rate_than_it_is_said_to_have(tmp_path: Path):
    """Sound tells: 75 frames at 30 fps last 2.5 s, and the sound 3 s."""
    mars_tree(tmp_path, {"session0": [(75, 75)]}, fps=25.0)
    with pytest.raises(UsageError, match=r"75 frames at 30 fps, the clip lasts 3\.0 s"):
        load_dyads(tmp_path, "train", CONFIG)
    (dyad,) = load_dyads(tmp_path, "train", CONFIG, fps=25.0)
    assert dyad.frames == dyad.clip.frames == 75


def test_both_layouts_and_roles_are_read(tmp_path: Path):
    dyads = load_dyads(react_tree(tmp_path), "val", CONFIG, roles=("speaker", "listener"))
    assert len(dyads) == 6
    assert [dyad.frames for dyad in dyads] == [51] * 6
    np.testing.assert_allclose(dyads[2].clip.attributes, -0.3, rtol=1e-6)
    np.testing.assert_allclose(dyads[2].reactions[0], 0.2, rtol=1e-6)
    np.testing.assert_allclose(dyads[5].reactions[0], -0.3, rtol=1e-6)
    assert [float(r[0, 0]) for r in dyads[0].appropriate] == pytest.approx([0, 0.1, -0.3])
    assert list(dyads.lines()) == []
    assert not dyads.has_words
    assert (dyads.frames, dyads.reactions) == (6 * 51, 6)
    (tmp_path / "neighbour_emotion_val.npy").unlink()
    with pytest.raises(UsageError, match="does not tell which reactions are appropriate"):
        load_dyads(tmp_path, "val", CONFIG).appropriate_attributes()


def test_shipped_features_are_read_in_place_of_the_sound(tmp_path: Path):
    mars_tree(tmp_path, {"session0": [(60, 60), (60, 60)]})
    shipped = np.arange(60 * 24, dtype=np.float32).reshape(60, 24)
    folder = tmp_path / "train/audio-features/speaker/session0"
    folder.mkdir(parents=True)
    np.save(folder / "Camera-0.npy", shipped)
    np.save(folder / "Camera-1.npy", shipped[:, None])
    for path in (tmp_path / "train/audio/speaker/session0").iterdir():
        path.write_bytes(b"no sound")
    config = replace(CONFIG, fps=30.0, sound=24, sound_encoder="some/wav2vec2")
    for dyad in load_dyads(tmp_path, "train", config):
        np.testing.assert_array_equal(dyad.clip.sound, shipped)
    halved = load_dyads(tmp_path, "train", replace(config, fps=15.0))[0].clip
    assert halved.sound is not None
    np.testing.assert_allclose(halved.sound, shipped.reshape(30, 2, 24).mean(axis=1))
    with pytest.raises(UsageError, match="cannot be read as sound"):
        load_dyads(tmp_path, "train", replace(config, sound_encoder="mfcc", sound=78))


def test_what_a_reaction_shows_is_read_while_the_words_last(tree: Path, reads: list[str]):
    """The second utterance starts at 4 s, frame 100; before the first there is nothing to show."""
    (dyad,) = load_dyads(tree, "val", CONFIG)
    first = round(dyad.spoken[0].start * CONFIG.fps)
    for reaction, shown in zip(dyad.reactions, dyad.shown, strict=True):
        for part, found in zip((slice(first, 100), slice(100, None)), shown, strict=True):
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
    assert (spoken.start, spoken.end) == (0.0, dyad.frames / dyad.clip.fps)
    prior = reaction_prior(dyad.reactions[1][:, :25])
    np.testing.assert_allclose(dyad.shown[1, 0], (prior.polarity, prior.intensity), 1e-5)


def test_a_tree_of_another_rate_is_put_on_the_models_frames(tmp_path: Path):
    """MARS has 30 frames a second, and `mini` 25: a reaction must stay with the words."""
    write_dataset(tmp_path / "tree", {"train": 1}, fps=30.0, listeners=2)
    (dyad,) = load_dyads(tmp_path / "tree", "train", CONFIG)
    (session,) = read_tree(tmp_path / "tree", "train").pairs
    assert dyad.clip.frames == dyad.frames
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
