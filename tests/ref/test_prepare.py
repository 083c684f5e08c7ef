"""`mreactor-data features`: prepared ahead, in shards, resumed, in half precision."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes.trees import mars_tree

from mreactor_ref.cli import data
from mreactor_ref.config import CONFIGS
from mreactor_ref.data import prepared
from mreactor_ref.data.clips import FeatureReader
from mreactor_ref.data.draws import Draws, DropRates, statistics
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.data.pairs import ReactionFiles
from mreactor_ref.data.prepare import choose_devices
from mreactor_ref.data.prepared import Prepared, map_array
from mreactor_ref.errors import ClipError, UsageError

CONFIG = replace(CONFIGS["mini"], fps=30.0)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return mars_tree(tmp_path / "tree", {"session0": [(60, 60), (90, 90), (75, 75)]})


def run(root: Path, features: Path, *arguments: object) -> Result:
    given = ("features", root, "--features", features, "--config", "mini", *arguments)
    return CliRunner().invoke(data, [str(x) for x in given])


def test_shards_share_a_folder_and_a_second_run_makes_nothing(tree: Path, tmp_path: Path):
    folder = tmp_path / "features"
    first = run(tree, folder, "--shard", "1/2")
    assert (first.exit_code, first.stdout) == (0, "train: 2 clips prepared, 0 were there before\n")
    second = run(tree, folder, "--shard", "2/2")
    assert second.stdout == "train: 1 clips prepared, 0 were there before\n"
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run(tree, folder).stdout == "train: 0 clips prepared, 3 were there before\n"
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert not [path for path in folder.iterdir() if path.name.endswith(".partial")]


def test_processes_share_the_clips_and_one_that_is_bad_stops_none(tree: Path, tmp_path: Path):
    more = {"session1": [(60, 60)] * 10}
    (mars_tree(tree, more) / "train/audio/speaker/session1/Camera-9.wav").write_bytes(b"no sound")
    alone = run(tree, tmp_path / "alone")
    both = run(tree, tmp_path / "both", "--devices", "cpu,cpu")
    assert both.stdout == alone.stdout == "train: 12 clips prepared, 0 were there before\n"
    assert "Camera-9.wav: cannot be read as sound" in both.stderr
    assert (alone.exit_code, both.exit_code) == (3, 3)
    for path in (tmp_path / "alone").iterdir():
        assert (tmp_path / "both" / path.name).read_bytes() == path.read_bytes()


def test_a_device_that_is_not_there(tree: Path, tmp_path: Path):
    done = run(tree, tmp_path, "--devices", "0,77")
    assert done.exit_code == 2
    assert "no device 'cuda:" in done.stderr
    assert choose_devices("cpu,cpu") == ["cpu", "cpu"]


def test_features_whose_file_was_removed_are_made_again(tree: Path, tmp_path: Path):
    folder = tmp_path / "features"
    run(tree, folder)
    gone = next(folder.glob("*.encoded.npy"))
    gone.unlink()
    assert run(tree, folder).stdout == "train: 1 clips prepared, 2 were there before\n"
    assert gone.is_file()


def test_training_reads_what_was_prepared_and_a_moved_tree_too(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "features"
    before = load_dyads(tree, "train", CONFIG, features=folder)[1]
    monkeypatch.setattr(FeatureReader, "read", lambda *_: pytest.fail("read again"))
    moved = tree.rename(tmp_path / "moved")
    after = load_dyads(moved, "train", CONFIG, features=folder)[1]
    assert before.clip.sound is not None
    assert after.clip.sound is not None
    np.testing.assert_array_equal(before.clip.sound, after.clip.sound)


def test_half_precision_halves_the_features_and_not_the_faces(tree: Path, tmp_path: Path):
    wholes = load_dyads(tree, "train", CONFIG, features=tmp_path / "whole")
    assert run(tree, tmp_path / "half", "--dtype", "float16").exit_code == 0
    config = CONFIGS["mini"]
    halves = load_dyads(tree, "train", config, features=tmp_path / "half")
    sound = halves[0].clip.sound
    assert sound is not None
    assert sound.dtype == np.float16
    assert halves[0].clip.attributes is not None
    assert halves[0].clip.attributes.dtype == halves[0].reactions[0].dtype == np.float32
    stats = statistics(wholes, config)
    draws = Draws(halves, stats, first=0, last=4, frames=16, reactions=1, drop=DropRates(), seed=0)
    assert {draws[i]["sound"].dtype for i in range(4)} == {np.dtype(np.float32)}


def test_a_bad_clip_is_named_and_the_others_are_prepared(tree: Path, tmp_path: Path):
    bad = tree / "train/audio/speaker/session0/Camera-1.wav"
    bad.write_bytes(b"no sound")
    done = run(tree, tmp_path / "features")
    assert done.exit_code == 3
    assert done.stdout == "train: 2 clips prepared, 0 were there before\n"
    assert f"{bad}: cannot be read as sound" in done.stderr


@pytest.mark.parametrize("shard", ["0/2", "3/2", "half", "1/0"])
def test_a_shard_that_is_none(tree: Path, tmp_path: Path, shard: str):
    done = run(tree, tmp_path / "features", "--shard", shard)
    assert done.exit_code == 2
    assert "the first of four is 1/4" in done.stderr


def test_a_folder_that_cannot_be_written_or_a_damaged_file(tree: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="features cannot be written"):
        load_dyads(tree, "train", CONFIG, features=tmp_path / "file" / "features")
    dyads = load_dyads(tree, "train", CONFIG, features=tmp_path / "features")
    for path in (tmp_path / "features").glob("*.reaction.npy"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match="remove it: it is made again"):
        dyads[0]


def test_a_file_that_fails_to_be_written_leaves_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepared.np, "save", full)
    with pytest.raises(UsageError, match="No space left on device"):
        load_dyads(tree, "train", CONFIG, features=tmp_path / "features")
    assert list((tmp_path / "features").iterdir()) == []


def test_a_mapped_array_can_be_written_to_and_its_file_stays(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((3, 2), np.float32))
    values = map_array(tmp_path / "a.npy")
    values[:] = 1
    assert not map_array(tmp_path / "a.npy").any()


def test_files_of_one_name_size_and_time_are_told_apart(tmp_path: Path):
    """As an archive may leave them: clips of all sessions have the same names, and one time."""
    tree = mars_tree(tmp_path / "tree", {"session0": [(60, 60)], "session1": [(60, 60)]})
    for kind, value in (("facial-attributes", 0.25), ("coefficients", 0.5)):
        path = tree / "train" / kind / "listener/session1/Camera-0.npy"
        np.save(path, np.full_like(np.load(path), value))
    for path in tree.rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    first, second = load_dyads(tree, "train", CONFIG, features=tmp_path / "features")
    assert (first.reactions[0][0, 0], second.reactions[0][0, 0]) == (0, 0.25)


def test_a_file_that_is_gone_is_a_problem_of_its_clip(tree: Path, tmp_path: Path):
    files = ReactionFiles("none", tree / "none.npy", tree / "none.npy")
    with pytest.raises(ClipError, match=r"none\.npy: cannot be read"):
        Prepared(CONFIG, tmp_path).reaction(files, 30.0)
