"""`mreactor-bench targets`: what is trained on, and that it ends in a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("accelerate")

from mreactor_bench.bench_cli import main
from mreactor_bench.targets.command import NAMES
from mreactor_bench.targets.study import TARGETS, Retargeted, as_long_as
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.config import CONFIGS
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.data.simulated.dataset import write_dataset

pytestmark = pytest.mark.usefixtures("quick_priors")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("targets")
    sizes = {"train": 1, "val": 1, "test": 1}
    write_dataset(root / "tree", sizes, listeners=3, layout="mars-dyads")
    return root / "tree"


@pytest.fixture(autouse=True)
def cache(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tree.parent / "cache"))


def test_the_names_of_the_command_are_those_of_the_study():
    assert tuple(TARGETS) == NAMES


def test_a_reaction_is_cut_or_its_last_frame_held():
    reaction = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(as_long_as(reaction, 2), reaction[:2])
    np.testing.assert_array_equal(as_long_as(reaction, 5)[2:], np.repeat(reaction[2:], 3, axis=0))


def test_other_reactions_take_the_place_of_the_aligned_one(tree: Path):
    dyads = load_dyads(tree, "train", CONFIGS["mini"])
    same, others = Retargeted(dyads, "aligned"), Retargeted(dyads, "appropriate")
    assert len(others) == len(dyads) == 3
    for i, dyad in enumerate(dyads):
        np.testing.assert_array_equal(same[i].reactions[0], dyad.reactions[0])
        assert len(Retargeted(dyads, "one")[i].reactions) == 1
        assert [len(reaction) for reaction in others[i].reactions] == [dyad.frames] * 3
        assert others[i].shown.shape == (3, len(dyad.spoken), 2)
        np.testing.assert_array_equal(others[i].reactions[i], dyad.reactions[0][: dyad.frames])
        np.testing.assert_allclose(others[i].shown[i], dyad.shown[0])


def test_the_command_trains_scores_and_writes_a_table(tree: Path, tmp_path: Path):
    done = CliRunner().invoke(
        main,
        [
            *("targets", "--data", str(tree), "--layers", "1", "--steps", "1", "--samples", "2"),
            *("--targets", "aligned", "--targets", "appropriate"),
            *("--output", str(tmp_path / "targets.json")),
        ],
    )
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "targets.json").read_text())["rows"]
    assert list(rows) == ["aligned", "appropriate"]
    assert {"FRCorr", "FRDist, aligned"} <= rows["aligned"].keys()
    assert all(np.isfinite(list(row.values())).all() for row in rows.values())
    assert "| appropriate |" in done.stdout
