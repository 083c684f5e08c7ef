"""`mreactor-data`: the commands that make data, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mreactor_ref.cli import data
from mreactor_ref.data.trees import read_tree

HEAVY = ("torch", "numpy", "scipy", "transformers", "accelerate", "rich")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(data, [str(x) for x in arguments])


def few(output: Path, *more: object) -> Result:
    return run("simulate", "--output", output, "--train", 2, "--val", 1, "--test", 1, *more)


def one_line(result: Result) -> str:
    """The line of a failure of usage: one, and no traceback."""
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: ")
    return result.stderr


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_simulate_writes_a_tree_that_training_reads(tmp_path: Path):
    result = few(tmp_path / "new" / "data", "--listeners", 3, "--fps", 30, "--seed", 4)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"Wrote 4 sessions to {tmp_path / 'new' / 'data'}" in result.stdout
    for split, count in (("train", 2), ("val", 1), ("test", 1)):
        sessions = read_tree(tmp_path / "new" / "data", split).pairs
        assert len(sessions) == count
        assert {len(session.reactions) for session in sessions} == {3}
        for session in sessions:
            assert session.speaker.sound is not None
            assert session.speaker.words is not None
            assert len(session.speaker.faces) == 2
    record = json.loads((tmp_path / "new" / "data" / "dataset.json").read_text())
    assert (record["seed"], record["fps"], record["listeners"]) == (4, 30.0, 3)
    assert record["sessions"] == {"train": 2, "val": 1, "test": 1}


def test_the_seed_decides_the_bytes(tmp_path: Path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert few(tmp_path / name, "--listeners", 1, "--seed", seed).exit_code == 0
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    other = contents(tmp_path / "c")
    face = "train/coefficients/speaker/session-0000/clip-0.npy"
    assert other[face] != first[face]
    assert np.load(tmp_path / "a" / face).shape[1] == 58


def test_a_split_of_no_sessions_is_left_out(tmp_path: Path):
    result = run("simulate", "--output", tmp_path, "--train", 1, "--val", 0, "--test", 0)
    assert result.exit_code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset.json", "train"]
    assert "Wrote 1 sessions" in result.stdout
    nothing = run("simulate", "--output", tmp_path / "x", "--train", 0, "--val", 0, "--test", 0)
    assert "no split has a session" in one_line(nothing)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_not_empty_is_kept(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    line = one_line(few(tmp_path))
    assert str(tmp_path) in line
    assert "not empty" in line
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_an_output_below_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    assert "cannot be written" in one_line(few(tmp_path / "file" / "data"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--fps", "0"), ("--fps", "5"), ("--fps", "nan"), ("--listeners", "0")),
        *(("--listeners", "7"), ("--seed", "-1"), ("--train", "-1"), ("--train", "many")),
    ],
)
def test_numbers_that_cannot_be(tmp_path: Path, option: str, value: str):
    result = few(tmp_path / "new", option, value)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "new").exists()


def test_debug_shows_the_traceback(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    result = few(tmp_path, "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    "call", ["data(['--help'])", "data(['simulate', '--help'])", "train(['--help'])"]
)
def test_help_imports_nothing_heavy(call: str, tmp_path: Path):
    program = f"""
import sys
from mreactor_ref.cli import data
from mreactor_ref.train_cli import train
try:
    {call}
except SystemExit as end:
    print([name for name in {HEAVY!r} if name in sys.modules], end.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "--help" in done.stdout
    assert done.stdout.splitlines()[-1] == "[] 0"
