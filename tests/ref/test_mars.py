"""MARS trees: which reaction belongs to which clip, which are appropriate, what is wrong."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from fakes.trees import mars_tree, save

from mreactor_ref.config import CONFIGS
from mreactor_ref.data.clips import ClipFiles, FeatureReader, find_clips
from mreactor_ref.data.pairs import MARS, ReactionFiles, read_reaction
from mreactor_ref.data.simulated.dataset import write_dataset, write_wav
from mreactor_ref.data.trees import read_tree
from mreactor_ref.errors import ClipError, UsageError

SESSIONS = {"session0": [(50, 55), (60, 45)], "session1": [(30, 30)]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two recordings of one prompt, and one of another; recordings differ in length."""
    mars_tree(tmp_path, SESSIONS)
    save(tmp_path / "train/audio-features/speaker/session0/Camera-0.npy", 50, 768)
    (tmp_path / "train/coefficients/listener/session0/._Camera-0.npy").write_bytes(b"")
    return tmp_path


def listener(root: Path, session: str, number: int, role: str = "listener") -> ReactionFiles:
    id = f"{role}/{session}/Camera-{number}"
    places = (root / "train" / kind / f"{id}.npy" for kind in ("facial-attributes", "coefficients"))
    return ReactionFiles(f"train/{id}", *places)


def test_a_reaction_belongs_to_the_clip_of_its_name_and_fits_the_whole_session(tree: Path):
    found = read_tree(tree, "train")
    assert (found.layout, found.fps, found.problems) == (MARS, 30.0, ())
    names = ("session0/Camera-0", "session0/Camera-1", "session1/Camera-0")
    assert [pair.id for pair in found.pairs] == [f"train/{name}" for name in names]
    first, second, third = found.pairs
    folder = tree / "train"
    assert first.speaker == ClipFiles(
        "train/session0/Camera-0",
        folder / "audio/speaker/session0/Camera-0.wav",
        None,
        (
            folder / "coefficients/speaker/session0/Camera-0.npy",
            folder / "facial-attributes/speaker/session0/Camera-0.npy",
        ),
        folder / "audio-features/speaker/session0/Camera-0.npy",
        30.0,
    )
    assert first.reactions == (listener(tree, "session0", 0),)
    assert second.reactions == (listener(tree, "session0", 1),)
    assert first.appropriate == second.appropriate == (*first.reactions, *second.reactions)
    assert third.reactions == third.appropriate == (listener(tree, "session1", 0),)
    assert list(found.reactions()) == [pair.reactions[0] for pair in found.pairs]
    with pytest.raises(FrozenInstanceError):
        first.id = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_either_role_can_speak(tree: Path):
    pairs = read_tree(tree, "train", ("listener",)).pairs
    assert pairs[0].id == "train/listener/session0/Camera-0"
    assert pairs[0].speaker.sound == tree / "train/audio/listener/session0/Camera-0.wav"
    assert pairs[2].reactions == (listener(tree, "session1", 0, "speaker"),)
    both = read_tree(tree, "train", ("speaker", "listener")).pairs
    assert len({pair.id for pair in both}) == len(both) == 6


def test_all_listeners_of_a_simulated_session_heard_its_one_clip(tmp_path: Path):
    write_dataset(tmp_path, {"train": 2}, seed=1, listeners=3)
    styles = json.loads((tmp_path / "dataset.json").read_text())["styles"]["train"]
    pairs = read_tree(tmp_path, "train").pairs
    assert [p.id for p in pairs] == ["train/session-0000/clip-0", "train/session-0001/clip-0"]
    clip, warnings = FeatureReader(CONFIGS["mini"]).read(pairs[0].speaker)
    assert not warnings
    assert clip.sound is not None
    assert clip.words is not None
    for session, pair in zip(styles, pairs, strict=True):
        assert [files.attributes.stem for files in pair.reactions] == list(styles[session])
        assert pair.appropriate == pair.reactions
    attributes, coefficients = read_reaction(pairs[0].reactions[0])
    assert len(attributes) == len(coefficients) == clip.frames
    turned = read_tree(tmp_path, "train", ("listener",)).pairs
    assert len(turned) == 6
    assert {p.reactions[0].attributes.stem for p in turned} == {"clip-0"}


def test_a_record_says_whether_listeners_are_aligned(tree: Path):
    (tree / "dataset.json").write_text('{"aligned": true, "fps": 25}')
    found = read_tree(tree, "train")  # session0 has two speaker clips: none that all heard
    assert [pair.id for pair in found.pairs] == ["train/session1/Camera-0"]
    assert found.fps == 25
    (problem,) = found.problems
    assert "2 speaker clips" in str(problem)
    (tree / "dataset.json").write_text('{"generator": "9", "layout": "mars-dyads"}')
    assert len(read_tree(tree, "train").pairs) == 3
    for broken in ("[]", "{", '{"fps": "fast"}', '{"fps": 0}'):
        (tree / "dataset.json").write_text(broken)
        with pytest.raises(UsageError, match=r"JSON|no frame rate"):
            read_tree(tree, "train")


def test_ids_are_those_of_a_run_on_the_same_folder(tree: Path):
    assert [c.id for c in find_clips(tree).clips] == [p.id for p in read_tree(tree, "train").pairs]


def test_a_reaction(tree: Path):
    files = read_tree(tree, "train").pairs[1].reactions[0]
    save(files.attributes, 45, 25, value=0.5)
    attributes, coefficients = read_reaction(files)
    assert (attributes.shape, coefficients.shape) == ((45, 25), (45, 58))
    assert attributes.dtype == coefficients.dtype == np.float32
    assert (attributes == 0.5).all()


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("attributes", (45, 58), "holds no attributes"),
        ("coefficients", (45, 25), "holds no coefficients"),
        ("attributes", (45, 24), r"shape \(45, 24\)"),
        ("coefficients", (44, 58), "44 frames, the attributes 45"),
    ],
)
def test_a_reaction_of_a_wrong_shape(tree: Path, kind: str, shape: tuple, message: str):
    files = listener(tree, "session0", 1)
    path = save(getattr(files, kind), *shape)
    with pytest.raises(ClipError, match=message) as caught:
        read_reaction(files)
    assert caught.value.path == path


def test_a_reaction_is_never_unpickled(tree: Path):
    files = listener(tree, "session0", 0)
    np.save(files.attributes, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ClipError, match="pickled"):
        read_reaction(files)


def test_half_a_reaction_leaves_out_its_pair_and_no_other(tree: Path):
    missing = tree / "train/coefficients/listener/session0/Camera-1.npy"
    missing.unlink()
    found = read_tree(tree, "train")
    names = ["train/session0/Camera-0", "train/session1/Camera-0"]
    assert [pair.id for pair in found.pairs] == names
    assert found.pairs[0].appropriate == (listener(tree, "session0", 0),)
    half, no_reaction = found.problems
    assert "half of a reaction" in str(half)
    assert half.path == no_reaction.path == missing
    assert "the speaker's clip Camera-1 has no whole reaction of the listener" in str(no_reaction)


def test_a_clip_that_nobody_heard(tree: Path):
    for kind in ("coefficients", "facial-attributes"):
        (tree / f"train/{kind}/listener/session1/Camera-0.npy").unlink()
    found = read_tree(tree, "train")
    assert len(found.pairs) == 2
    assert "no whole reaction" in str(found.problems[0])


def test_two_files_for_one_thing(tree: Path):
    write_wav(tree / "train/audio/speaker/session0/Camera-0.WAV", np.zeros(640, np.float32))
    found = read_tree(tree, "train")
    assert len(found.pairs) == 3
    assert "second file" in str(found.problems[0])


def test_a_speaker_needs_no_face(tree: Path):
    for kind in ("coefficients", "facial-attributes"):
        (tree / f"train/{kind}/speaker/session1/Camera-0.npy").unlink()
    files = read_tree(tree, "train").pairs[2].speaker
    assert files.faces == ()
    assert files.sound is not None


def test_what_cannot_be_read(tree: Path):
    with pytest.raises(UsageError, match=r"no such folder.*train, val and test"):
        read_tree(tree, "val")
    with pytest.raises(UsageError, match="is a split itself"):
        read_tree(tree / "train", "train")
    for roles in (("audience",), (), ("speaker", "speaker")):
        with pytest.raises(UsageError, match="roles"):
            read_tree(tree, "train", roles)
    (tree / "val").mkdir()
    with pytest.raises(UsageError, match=r"no clips.*MARS.*REACT"):
        read_tree(tree, "val")
    for kind in ("coefficients", "facial-attributes"):
        for path in (tree / "train" / kind / "listener").rglob("*.npy"):
            path.unlink()
    with pytest.raises(UsageError, match="no clips found that have a reaction; the first of 3"):
        read_tree(tree, "train")
