"""REACT 2023/2024 trees: lists of pairs, the matrix of what is appropriate, what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.trees import REACT_PAIRS, react_tree

from mreactor_ref.data.clips import find_clips
from mreactor_ref.data.pairs import REACT, read_reaction
from mreactor_ref.data.trees import read_tree
from mreactor_ref.errors import UsageError

MATRIX = "neighbour_emotion_val.npy"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return react_tree(tmp_path)


def listeners(root: Path, *paths: str) -> list[Path]:
    return [root / "val/Emotion" / f"{path}.csv" for path in paths]


def test_pairs_come_from_the_list_and_appropriate_ones_from_the_matrix(tree: Path):
    found = read_tree(tree, "val")
    assert (found.layout, found.fps, found.problems) == (REACT, 25.0, ())
    assert [pair.id for pair in found.pairs] == [f"val/{speaker}" for speaker, _ in REACT_PAIRS]
    first, second, third = found.pairs
    assert first.speaker.sound == tree / "val/Audio_files" / f"{REACT_PAIRS[0][0]}.wav"
    assert [path.suffix for path in first.speaker.faces] == [".npy", ".csv"]
    assert [files.attributes for files in first.reactions] == listeners(tree, REACT_PAIRS[0][1])
    # the listener of item 5, which is row 2 with both sides exchanged, is the speaker of row 2
    fitting = listeners(tree, REACT_PAIRS[0][1], REACT_PAIRS[1][1], REACT_PAIRS[2][0])
    assert [files.attributes for files in first.appropriate] == fitting
    assert second.appropriate == second.reactions
    attributes, coefficients = read_reaction(third.reactions[0])
    assert (attributes.shape, coefficients.shape) == ((51, 25), (51, 58))
    np.testing.assert_allclose(attributes, 0.2)


def test_either_side_can_speak(tree: Path):
    turned = read_tree(tree, "val", ("listener",)).pairs
    assert [pair.id for pair in turned] == [f"val/{listener}" for _, listener in REACT_PAIRS]
    assert [f.attributes for f in turned[2].reactions] == listeners(tree, REACT_PAIRS[2][0])
    assert len(read_tree(tree, "val", ("speaker", "listener")).pairs) == 6


def test_ids_are_those_of_a_run_on_the_same_folder(tree: Path):
    both = read_tree(tree, "val", ("speaker", "listener")).pairs
    assert sorted(pair.id for pair in both) == [clip.id for clip in find_clips(tree).clips]


def test_without_a_matrix_nothing_is_called_appropriate(tree: Path):
    (tree / MATRIX).unlink()
    pairs = read_tree(tree, "val").pairs
    assert len(pairs) == 3
    assert all(pair.appropriate == () for pair in pairs)


def test_a_matrix_of_the_rows_alone(tree: Path):
    np.save(tree / MATRIX, np.eye(3))
    assert all(p.appropriate == p.reactions for p in read_tree(tree, "val").pairs)
    with pytest.raises(UsageError, match="3 x 3: it says nothing of listeners who speak"):
        read_tree(tree, "val", ("speaker", "listener"))


@pytest.mark.parametrize("shape", [(5, 5), (6, 3), (6,)])
def test_a_matrix_of_another_size(tree: Path, shape: tuple[int, ...]):
    np.save(tree / MATRIX, np.ones(shape))
    with pytest.raises(UsageError, match=r"asks for 3 x 3 or 6 x 6.*val\.csv"):
        read_tree(tree, "val")


def test_a_matrix_that_is_none(tree: Path):
    (tree / MATRIX).write_bytes(b"\x80\x04 no array")
    with pytest.raises(UsageError, match="cannot be read"):
        read_tree(tree, "val")


def test_a_row_that_names_nothing_leaves_out_its_pair(tree: Path):
    matrix = np.load(tree / MATRIX)
    matrix[1] = 0
    np.save(tree / MATRIX, matrix)
    found = read_tree(tree, "val")
    assert len(found.pairs) == 2
    assert "names no reaction" in str(found.problems[0])


def test_what_is_missing_is_left_out_of_pairs_and_of_appropriate_ones(tree: Path):
    missing = tree / "val/3D_FV_files" / f"{REACT_PAIRS[1][1]}.npy"
    missing.unlink()
    found = read_tree(tree, "val")
    assert [pair.id for pair in found.pairs] == [f"val/{REACT_PAIRS[i][0]}" for i in (0, 2)]
    assert len(found.pairs[0].appropriate) == 2
    (problem,) = found.problems
    assert (problem.path, "half of a reaction" in str(problem)) == (missing, True)


def test_a_speaker_without_any_file(tree: Path):
    for kind in ("Audio_files", "Emotion", "3D_FV_files"):
        for path in (tree / "val" / kind / REACT_PAIRS[0][0]).parent.glob("1.*"):
            path.unlink()
    found = read_tree(tree, "val")
    assert len(found.pairs) == 2
    assert any("no file at all" in str(problem) for problem in found.problems)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no list of pairs"),
        ("a,b,c\n0,NoXI/a/b/1,NoXI/a/c/1\n", "no list of pairs"),
        (",speaker_path,listener_path\n", "no pairs"),
        (",speaker_path,listener_path\n0,NoXI/a/b/1\n", "line 2 is no pair"),
        (",speaker_path,listener_path\n0,../../etc/passwd,NoXI/a/c/1\n", "line 2 is no pair"),
        (",speaker_path,listener_path\n0,/etc/passwd,NoXI/a/c/1\n", "line 2 is no pair"),
    ],
)
def test_a_list_that_is_none(tree: Path, text: str, message: str):
    (tree / "val.csv").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_tree(tree, "val")
    assert caught.value.path == tree / "val.csv"


def test_a_list_that_is_missing_or_a_mixed_tree(tree: Path):
    (tree / "val.csv").unlink()
    with pytest.raises(UsageError, match="the list of pairs is missing"):
        read_tree(tree, "val")
    (tree / "val/coefficients/speaker/session0").mkdir(parents=True)
    with pytest.raises(UsageError, match="two layouts"):
        read_tree(tree, "val")
