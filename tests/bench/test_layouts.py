"""Files of exactly the challenges' forms, all the way: check, features, training, scores, a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes.whisper import stand_in

from mreactor_bench.eval_cli import evaluate
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.cli import data
from mreactor_ref.data.simulated.dataset import LAYOUTS
from mreactor_ref.train_cli import train
from mreactor_runtime.cli import main as infer

pytestmark = pytest.mark.usefixtures("quick_priors")

WORDLESS = "mars-dyads"


@dataclass(frozen=True)
class Folders:
    """A simulated tree in one layout, its features, and a run that was trained on both."""

    layout: str
    tree: Path
    features: Path
    run: Path

    @property
    def model(self) -> Path:
        return self.run / "model.safetensors"


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(x) for x in arguments])


@pytest.fixture(scope="module", params=LAYOUTS)
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp(request.param)
    folders = Folders(request.param, root / "tree", root / "features", root / "run")
    sizes = ("--train", 2, "--val", 1, "--test", 2, "--listeners", 2)
    done = run(data, "simulate", "--output", folders.tree, "--layout", folders.layout, *sizes)
    assert done.exit_code == 0, done.output
    return folders


@pytest.fixture(autouse=True)
def cache(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(folders.tree.parent / "cache"))


@pytest.fixture
def trained(folders: Folders) -> Folders:
    """Trained for two steps, once."""
    if not folders.model.is_file():
        done = run(
            *(train, "--data", folders.tree, "--output", folders.run),
            *("--features", folders.features, "--layers", 1, "--max-train-steps", 2),
            *("--train-batch-size", 2, "--frames", 16),
        )
        assert done.exit_code == 0, done.output
        said = done.stderr.count("no clip has words")
        assert said == (folders.layout == WORDLESS)
    return folders


def test_check_finds_nothing_wrong(folders: Folders):
    done = run(data, "check", folders.tree)
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("no problems\n")
    assert ("no clip has words" in done.stdout) == (folders.layout == WORDLESS)


def test_training_takes_the_features_that_were_prepared(folders: Folders):
    prepared = run(
        *(data, "features", folders.tree, "--features", folders.features, "--config", "mini")
    )
    assert prepared.exit_code == 0, prepared.output
    files = {path: path.stat().st_mtime_ns for path in folders.features.iterdir()}
    trained = run(
        *(train, "--data", folders.tree, "--output", folders.run.with_name("again")),
        *("--features", folders.features, "--layers", 1, "--max-train-steps", 1),
        *("--train-batch-size", 1, "--frames", 16),
    )
    assert trained.exit_code == 0, trained.output
    assert {path: path.stat().st_mtime_ns for path in folders.features.iterdir()} == files


def test_the_model_is_scored(trained: Folders, tmp_path: Path):
    done = run(
        *(evaluate, "reactions", "--data", trained.tree, "--model", trained.model),
        *("--prepared", trained.features, "--samples", 2, "--steps", 2),
        *("--output", tmp_path / "quality.json"),
    )
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "quality.json").read_text())
    assert report["clips"] == (2 if trained.layout == "mars" else 4)
    assert all(np.isfinite(list(row.values())).all() for row in report["rows"].values())


def test_a_run_takes_the_speakers_and_says_once_that_they_have_no_words(
    trained: Folders, tmp_path: Path
):
    done = run(
        *(infer, "--input", trained.tree / "test", "--output", tmp_path / "out"),
        *("--model", trained.model, "--samples", 2, "--steps", 2),
    )
    assert done.exit_code == 0, done.output
    said = done.output.count("sound but no words")
    assert said == (trained.layout == WORDLESS)
    lines = (tmp_path / "out/manifest.jsonl").read_text().splitlines()
    speakers = {"mars": 2, "mars-dyads": 4, "react2024": 8}[trained.layout]
    assert len(lines) == speakers
    assert {json.loads(line)["status"] for line in lines} == {"done"}


def test_words_that_were_heard_are_read(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where a tree has words it is left as it is."""
    heard = stand_in(monkeypatch, tmp_path / "weights")
    root = tmp_path / "tree"
    run(data, "simulate", "--output", root, "--layout", folders.layout, "--train", 1, "--val", 0,
        "--test", 0, "--listeners", 2)  # fmt: skip
    done = run(data, "transcribe", root, "--model", tmp_path / "weights")
    assert done.exit_code == 0, done.output
    assert len(heard.asked) == (2 if folders.layout == WORDLESS else 0)
    checked = run(data, "check", root)
    assert "no clip has words" not in checked.stdout
    pairs = 1 if folders.layout == "mars" else 2
    assert f"with words: {pairs}\n" in checked.stdout
    assert checked.exit_code == 0, checked.output
