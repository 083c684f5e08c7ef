"""MARS trees: which reactions belong to which clip, and what is wrong with a tree."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from mreactor_ref.config import CONFIGS
from mreactor_ref.data.clips import ClipFiles, FeatureReader, find_clips
from mreactor_ref.data.mars import ReactionFiles, read_mars, read_reaction
from mreactor_ref.data.simulated.dataset import write_dataset, write_wav
from mreactor_ref.errors import ClipError, UsageError


def save(path: Path, *shape: int, value: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.full(shape, value, np.float32))
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The layout of MARS: a session with two clips a role, and one with one, of unequal lengths."""
    lengths = {
        ("s1", "speaker"): (50, 60),
        ("s1", "listener"): (55, 45),
        ("s2", "speaker"): (30,),
        ("s2", "listener"): (30,),
    }
    folder = tmp_path / "train"
    for (session, role), frames in lengths.items():
        for i, length in enumerate(frames):
            clip = f"{role}/{session}/c{i}"
            save(folder / "facial-attributes" / f"{clip}.npy", length, 25)
            save(folder / "coefficients" / f"{clip}.npy", length, 1, 58)
            save(folder / "audio-features" / f"{clip}.npy", length, 768)
            (folder / "audio" / clip).parent.mkdir(parents=True, exist_ok=True)
            write_wav(folder / "audio" / f"{clip}.wav", np.zeros(640 * length, np.float32))
    (folder / "coefficients/listener/s1/.hidden.npy").write_bytes(b"")
    return tmp_path


def test_reactions_are_the_other_roles_clips(tree: Path):
    sessions = read_mars(tree, "train")
    assert [s.id for s in sessions] == ["train/s1/c0", "train/s1/c1", "train/s2/c0"]
    folder = tree / "train"
    first = sessions[0]
    assert first.speaker == ClipFiles(
        "train/s1/c0",
        folder / "audio/speaker/s1/c0.wav",
        None,
        (
            folder / "coefficients/speaker/s1/c0.npy",
            folder / "facial-attributes/speaker/s1/c0.npy",
        ),
    )
    assert first.reactions == tuple(
        ReactionFiles(
            folder / f"facial-attributes/listener/s1/c{i}.npy",
            folder / f"coefficients/listener/s1/c{i}.npy",
        )
        for i in range(2)
    )
    assert sessions[1].reactions == first.reactions
    assert len(sessions[2].reactions) == 1
    with pytest.raises(FrozenInstanceError):
        first.id = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_either_role_can_speak(tree: Path):
    listening = read_mars(tree, "train", ("listener",))
    assert [s.id for s in listening] == [
        *("train/listener/s1/c0", "train/listener/s1/c1", "train/listener/s2/c0"),
    ]
    assert listening[0].speaker.sound == tree / "train/audio/listener/s1/c0.wav"
    assert listening[2].reactions[0].coefficients == tree / "train/coefficients/speaker/s2/c0.npy"
    both = read_mars(tree, "train", ("speaker", "listener"))
    assert len({s.id for s in both}) == len(both) == 6


def test_ids_are_those_of_a_run_on_the_same_folder(tree: Path):
    assert [clip.id for clip in find_clips(tree).clips] == [s.id for s in read_mars(tree, "train")]


def test_a_reaction(tree: Path):
    files = read_mars(tree, "train")[0].reactions[1]
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
    files = read_mars(tree, "train")[0].reactions[1]
    path = save(getattr(files, kind), *shape)
    with pytest.raises(ClipError, match=message) as caught:
        read_reaction(files)
    assert caught.value.path == path


def test_a_reaction_is_never_unpickled(tree: Path):
    files = read_mars(tree, "train")[0].reactions[0]
    np.save(files.attributes, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ClipError, match="pickled"):
        read_reaction(files)


def test_half_a_reaction(tree: Path):
    missing = tree / "train/coefficients/listener/s1/c1.npy"
    missing.unlink()
    with pytest.raises(ClipError, match="half of a reaction") as caught:
        read_mars(tree, "train")
    assert caught.value.path == missing


def test_a_session_without_reactions(tree: Path):
    for kind in ("coefficients", "facial-attributes"):
        (tree / f"train/{kind}/listener/s2/c0.npy").unlink()
    with pytest.raises(ClipError, match="no reaction of the listener"):
        read_mars(tree, "train")


def test_two_files_for_one_thing(tree: Path):
    write_wav(tree / "train/audio/speaker/s1/c0.WAV", np.zeros(640, np.float32))
    with pytest.raises(ClipError, match="second file"):
        read_mars(tree, "train")


def test_a_speaker_needs_no_face(tree: Path):
    for kind in ("coefficients", "facial-attributes"):
        (tree / f"train/{kind}/speaker/s2/c0.npy").unlink()
    files = read_mars(tree, "train")[2].speaker
    assert files.faces == ()
    assert files.sound is not None


def test_what_cannot_be_read(tree: Path):
    with pytest.raises(UsageError, match="no such folder"):
        read_mars(tree, "val")
    with pytest.raises(UsageError, match="roles"):
        read_mars(tree, "train", ("audience",))
    with pytest.raises(UsageError, match="roles"):
        read_mars(tree, "train", ())
    (tree / "val").mkdir()
    with pytest.raises(UsageError, match="no clips"):
        read_mars(tree, "val")


def test_simulated_dyads_are_read_back(tmp_path: Path):
    write_dataset(tmp_path, {"train": 2}, seed=1, listeners=3)
    styles = json.loads((tmp_path / "dataset.json").read_text())["styles"]["train"]
    sessions = read_mars(tmp_path, "train")
    assert [s.id for s in sessions] == ["train/session-0000/clip-0", "train/session-0001/clip-0"]
    clip, warnings = FeatureReader(CONFIGS["mini"]).read(sessions[0].speaker)
    assert not warnings
    assert clip.sound is not None
    assert clip.words is not None
    assert clip.utterances
    for session, files in zip(styles, (s.reactions for s in sessions), strict=True):
        assert [f.attributes.stem for f in files] == list(styles[session])
    attributes, coefficients = read_reaction(sessions[0].reactions[0])
    assert len(attributes) == len(coefficients) == clip.frames
