"""The simulated dyads on disk."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from mreactor_ref.data.simulated.dataset import HELD_OUT, LAYOUTS, write_dataset
from mreactor_ref.data.simulated.listener import STYLES
from mreactor_ref.data.simulated.sentences import shelf
from mreactor_ref.data.trees import read_tree
from mreactor_ref.errors import UsageError
from mreactor_ref.features.words import read_words
from mreactor_ref.signals import ATTRIBUTE_NAMES, SAMPLE_RATE


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_dataset_on_disk(tmp_path: Path):
    seen = []
    sizes = {"train": 2, "test": 1}
    write_dataset(tmp_path / "a", sizes, seed=5, progress=lambda i, n: seen.append((i, n)))
    write_dataset(tmp_path / "b", sizes, seed=5)
    write_dataset(tmp_path / "c", {"train": 1}, seed=6)
    write_dataset(tmp_path / "d", {"train": 1}, seed=5)
    files = contents(tmp_path / "a")
    assert files == contents(tmp_path / "b")
    assert seen == [(1, 3), (2, 3), (3, 3)]
    clip = "audio/speaker/session-0000/clip-0.wav"
    assert files[f"train/{clip}"] != contents(tmp_path / "c")[f"train/{clip}"]
    alone = contents(tmp_path / "d")  # a session does not depend on how many there are
    assert all(alone[k] == files[k] for k in alone if k != "dataset.json")

    session = "session-0001"
    listeners = {
        f"train/{kind}/listener/{session}/clip-{i}.npy"
        for kind in ("facial-attributes", "coefficients")
        for i in range(5)
    }
    speaker = {
        f"train/{kind}/speaker/{session}/clip-0.{suffix}"
        for kind, suffix in (
            ("audio", "wav"),
            ("words", "json"),
            ("facial-attributes", "npy"),
            ("coefficients", "npy"),
        )
    }
    assert {name for name in files if name.startswith("train/") and session in name} == (
        listeners | speaker
    )
    record = json.loads(files["dataset.json"])
    assert (record["seed"], record["fps"], record["sessions"]) == (5, 25.0, sizes)
    chosen = record["styles"]["train"][session]
    assert len(set(chosen.values())) == len(chosen) == 5
    assert set(chosen.values()) < set(STYLES)


def test_streams_on_disk_are_of_one_length(tmp_path: Path):
    write_dataset(tmp_path, {"train": 1, "test": 2}, fps=30.0, listeners=2)
    texts = {}
    for split in ("train", "test"):
        for path in sorted((tmp_path / split / "audio/speaker").rglob("*.wav")):
            with wave.open(str(path)) as file:
                assert (file.getframerate(), file.getnchannels()) == (SAMPLE_RATE, 1)
                seconds = file.getnframes() / SAMPLE_RATE
            assert 8 <= seconds <= 16
            name = path.relative_to(tmp_path / split / "audio/speaker").with_suffix("")
            frames = round(seconds * 30)
            for kind, width in (("facial-attributes", 25), ("coefficients", 58)):
                faces = tmp_path / split / kind
                for face in (faces / "speaker" / name.with_suffix(".npy"),
                             *(faces / "listener" / name.parent).iterdir()):  # fmt: skip
                    stream = np.load(face, allow_pickle=False)
                    assert (stream.shape, stream.dtype) == ((frames, width), np.float32)
            transcript = read_words(
                tmp_path / split / "words/speaker" / name.with_suffix(".json"), seconds
            )
            assert not transcript.warnings
            assert all(u.text[-1] in ".!" for u in transcript.utterances)
            texts.setdefault(split, []).extend(u.text for u in transcript.utterances)
    assert {shelf(text) for text in texts["test"]} <= set(HELD_OUT["test"])
    assert not {shelf(text) for text in texts["train"]} & set(HELD_OUT["test"])


def test_what_cannot_be_written(tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_dataset(tmp_path / "full", {"train": 1})
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["notes.txt"]
    with pytest.raises(UsageError, match="cannot be written"):
        write_dataset(tmp_path / "full/notes.txt/data", {"train": 1})
    with pytest.raises(UsageError, match="cannot be written"):
        write_dataset(tmp_path / "full/notes.txt", {"train": 1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sessions": {}}, "no split has a session"),
        ({"sessions": {"train": 0}}, "at least one"),
        ({"sessions": {"../up": 1}}, "not a name"),
        ({"seed": -1}, "seed"),
        ({"fps": 0.0}, "fps"),
        ({"seconds": (7.0, 16.0)}, "the least is 8"),
        ({"seconds": (20.0, 10.0)}, "no less than the least"),
        ({"listeners": 7}, "1 to 6"),
        ({"listeners": 0}, "1 to 6"),
    ],
)
def test_what_cannot_be(tmp_path: Path, arguments: dict, message: str):
    with pytest.raises(UsageError, match=message):
        write_dataset(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_clips_are_as_long_as_asked_for(tmp_path: Path):
    write_dataset(tmp_path, {"test": 3}, seed=2, listeners=1, seconds=(20.0, 21.0))
    faces = [np.load(p) for p in tmp_path.glob("test/coefficients/listener/*/*.npy")]
    assert len(faces) == 3
    assert all(500 <= len(face) <= 525 for face in faces)
    assert json.loads((tmp_path / "dataset.json").read_text())["seconds"] == [20.0, 21.0]


def test_the_layout_of_mars(tmp_path: Path):
    """One listener to a recording, of the same name; lengths differ; no words."""
    write_dataset(tmp_path, {"train": 1}, listeners=3, layout="mars-dyads")
    folder = tmp_path / "train"
    assert {path.name for path in folder.iterdir()} == {
        "audio",
        "facial-attributes",
        "coefficients",
    }
    lengths: set[int] = set()
    for clip in ("Camera-0", "Camera-1", "Camera-2"):
        for role in ("speaker", "listener"):
            place = f"{role}/session-0000/{clip}.npy"
            attributes = np.load(folder / "facial-attributes" / place)
            coefficients = np.load(folder / "coefficients" / place)
            assert attributes.shape == (len(attributes), 25)
            assert coefficients.shape == (len(attributes), 1, 58)
            lengths.add(len(attributes))
    assert len(lengths) == 3
    assert read_tree(tmp_path, "train").pairs[0].reactions != ()


def test_the_layout_of_react(tmp_path: Path):
    """A list and a matrix of both sides; csv with a header; coefficients of (T, 1, 58)."""
    write_dataset(tmp_path, {"val": 2}, listeners=2, layout="react2024")
    rows = (tmp_path / "val.csv").read_text().splitlines()
    assert rows[0] == ",speaker_path,listener_path"
    speaker = "NoXI/session-0000/Expert_video/1"
    assert rows[1] == f"0,{speaker},NoXI/session-0000/Novice_video/1"
    matrix = np.load(tmp_path / "neighbour_emotion_val.npy")
    assert matrix.shape == (8, 8)
    np.testing.assert_array_equal(matrix[0], [1, 1, 0, 0, 0, 0, 0, 0])
    header, *frames = (tmp_path / f"val/Emotion/{speaker}.csv").read_text().splitlines()
    assert header == ",".join(ATTRIBUTE_NAMES)
    coefficients = np.load(tmp_path / f"val/3D_FV_files/{speaker}.npy")
    assert coefficients.shape == (len(frames), 1, 58)
    assert (tmp_path / f"val/Audio_files/{speaker}.wav").is_file()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_arguments_write_the_same_bytes(tmp_path: Path, layout: str):
    for name in "ab":
        write_dataset(tmp_path / name, {"train": 1}, seed=3, listeners=2, layout=layout)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
