"""`mreactor-data check`: what it counts and what it finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes.trees import REACT_PAIRS, mars_clip, mars_tree, react_tree, save, sound

from mreactor_ref.cli import data
from mreactor_ref.data.check import SplitCheck, check_split
from mreactor_ref.data.simulated.dataset import LAYOUTS, write_dataset


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return mars_tree(tmp_path, {"session0": [(60, 61), (90, 90)], "session1": [(75, 75)]})


def run(root: Path, *arguments: object) -> Result:
    return CliRunner().invoke(data, ["check", str(root), *map(str, arguments)])


def lines(check: SplitCheck) -> list[str]:
    return [str(problem) for problem in check.problems]


def test_a_whole_tree_is_counted(tree: Path):
    check = check_split(tree, "train")
    assert (check.layout, check.fps, check.problems) == ("MARS", 30.0, ())
    assert check.frames == (60, 75, 90)
    assert check.counts == {
        "pairs": 3,
        "aligned reactions": 3,
        "appropriate a clip, least": 1,
        "appropriate a clip, most": 2,
        "with sound": 3,
        "with words": 0,
        "with a face": 3,
        "with features of the sound": 0,
    }
    assert check.notes == ("no clip has words: `mreactor-data transcribe` finds them in the sound",)
    done = run(tree)
    assert done.exit_code == 0
    assert "train: MARS, 30 fps, 60 to 90 frames (75 in the middle)" in done.stdout
    assert "pairs: 3" in done.stdout
    assert "no problems" in done.stdout
    assert "note: there is no split val, which mreactor-train needs" in done.stdout
    assert "split val" not in run(tree, "--split", "train").stdout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_simulated_is_whole(tmp_path: Path, layout: str):
    write_dataset(tmp_path, {"train": 2}, listeners=2, layout=layout)
    check = check_split(tmp_path, "train", ("speaker", "listener"))
    assert check.problems == ()
    assert check.counts["pairs"] == (6 if layout == "mars" else 8)


def test_each_broken_file_is_one_line_with_what_to_do(tree: Path):
    folder = tree / "train"
    mars_clip(folder, "speaker", "session0", "Camera-8", 75, 25.0)  # 3 s: another rate
    mars_clip(folder, "listener", "session0", "Camera-8", 90)
    mars_clip(folder, "speaker", "session0", "Camera-9", 30)  # nobody heard it
    (folder / "coefficients/listener/session1/Camera-0.npy").unlink()  # half a pair
    sound(folder / "audio/speaker/session0/Camera-1.wav", 3.0).write_bytes(b"no sound")
    broken = save(folder / "audio-features/speaker/session0/Camera-0.npy", 60, 1024)
    check = check_split(tree, "train")
    text = "\n".join(lines(check))
    assert "Camera-8.npy: is at 25 fps, and the tree at 30 (give --fps 25" in text
    assert "Camera-9.npy: the speaker's clip Camera-9 has no whole reaction" in text
    assert "half of a reaction is missing" in text
    assert "Camera-1.wav: cannot be read as sound" in text
    assert f"{broken}: has shape (60, 1024), not (frames, 768)" in text
    done = run(tree)
    assert done.exit_code == 3
    assert all(line in done.stdout for line in lines(check))
    assert f"{len(check.problems)} problems" in done.stdout


def test_a_tree_that_is_all_at_another_rate_is_one_line(tmp_path: Path):
    mars_tree(tmp_path, {"session0": [(75, 75), (100, 100), (125, 125)]}, fps=25.0)
    mars_clip(tmp_path / "train", "speaker", "session0", "Camera-1", 120, 30.0)
    mars_clip(tmp_path / "train", "listener", "session0", "Camera-1", 120)
    (line,) = lines(check_split(tmp_path, "train"))
    assert (
        line
        == f"{tmp_path / 'train'}: 2 of 3 clips are at 25 fps, and are read at 30 (give --fps 25)"
    )
    first, *_ = lines(check_split(tmp_path, "train", fps=25.0))
    assert "Camera-1.npy: is at 30 fps, and the tree at 25" in first


def test_features_of_a_sound_that_are_not_a_row_a_frame(tree: Path):
    path = save(tree / "train/audio-features/speaker/session0/Camera-0.npy", 99, 768)
    (line,) = lines(check_split(tree, "train"))
    assert line.startswith(f"{path}: has 99 rows, and its clip 60 frames")
    save(path, 60, 768)
    save(tree / "train/audio-features/speaker/session0/Camera-1.npy", 90, 1, 768)
    assert check_split(tree, "train").problems == ()
    save(path, 60, 1024)
    assert run(tree).exit_code == 3
    assert run(tree, "--config", "mini").exit_code == 0  # encodes the sound itself
    save(path, 60, 768, value=np.nan)
    assert "not finite" in lines(check_split(tree, "train"))[0]


def test_a_folder_with_a_name_that_is_nearly_right(tree: Path):
    folder = (tree / "train/facial-attributes").rename(tree / "train/Facial_Attributes")
    (tree / "train/lip-features").mkdir()
    first, *others = lines(check_split(tree, "train"))
    assert first == f"{folder}: is not read (rename it to facial-attributes)"
    assert len(others) == 1  # no pair is left


def test_an_empty_split_and_a_list_without_its_folder(tree: Path):
    (tree / "val").mkdir()
    (tree / "test.csv").write_text(",speaker_path,listener_path\n0,NoXI/a/b/1,NoXI/a/c/1\n")
    done = run(tree)
    assert done.exit_code == 3
    assert f"{tree / 'val'}: no clips found (a tree holds" in done.stdout
    assert f"{tree / 'test'}: there is no such folder" in done.stdout
    assert "2 problems" in done.stdout


def test_a_listener_who_answers_nobody(tree: Path):
    for kind in ("audio", "facial-attributes", "coefficients"):
        for path in (tree / "train" / kind / "speaker/session0").glob("Camera-1.*"):
            path.unlink()
    (line,) = lines(check_split(tree, "train"))
    assert "session0/Camera-1.npy: the listener's clip Camera-1 answers no clip" in line


def test_pairs_of_unlike_lengths_and_values_that_are_not_finite(tree: Path):
    path = tree / "train/facial-attributes/listener/session0/Camera-0.npy"
    values = np.load(path)
    values[7] = np.nan
    np.save(path, values)
    mars_clip(tree / "train", "listener", "session1", "Camera-0", 40)
    text = "\n".join(lines(check_split(tree, "train")))
    assert f"{path}: has values that are not finite, first in frame 7" in text
    assert "the listener has 40 frames, and its speaker" in text


def test_a_matrix_of_the_wrong_size_and_one_that_is_missing(tmp_path: Path):
    react_tree(tmp_path)
    matrix = tmp_path / "neighbour_emotion_val.npy"
    np.save(matrix, np.eye(5))
    done = run(tmp_path)
    assert done.exit_code == 3
    assert "has shape (5, 5), and the list asks for 3 x 3 or 6 x 6" in done.stdout
    assert "pairs: 3" in done.stdout  # the rest was looked at
    np.save(matrix, np.full((6, 6), 0.5))
    assert "holds other values than 0 and 1" in run(tmp_path).stdout
    off = np.eye(6)
    off[0] = off[1]
    np.save(matrix, off)
    assert "the clip's own reaction inappropriate in 1 rows" in run(tmp_path).stdout
    matrix.unlink()
    done = run(tmp_path)
    assert done.exit_code == 0
    assert "it can be trained on, and not scored" in done.stdout
    (tmp_path / "val/Emotion" / f"{REACT_PAIRS[0][1]}.csv").write_text("a,b\n1,2\n")
    done = run(tmp_path, "--split", "val")
    assert done.exit_code == 3
    assert f"{REACT_PAIRS[0][1]}.csv: " in done.stdout
    assert "the 25 attributes" in done.stdout


def test_a_folder_that_is_no_tree(tmp_path: Path):
    for root, message in (
        (tmp_path / "none", "no such folder"),
        (tmp_path, "holds train, val and test"),
    ):
        done = run(root)
        assert done.exit_code == 2
        assert message in done.stderr
    (tmp_path / "audio").mkdir()
    assert f"{tmp_path} is a split itself" in run(tmp_path).stderr
    (tmp_path / "train/coefficients/speaker").mkdir(parents=True)
    done = run(tmp_path)
    assert done.exit_code == 3
    assert "no clips found that have a reaction" in done.stdout
