"""`mreactor-eval reactions`, and what the shipped model owes its users."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mreactor_bench.eval_cli import evaluate
from mreactor_bench.quality import Quality, beats_trivial
from mreactor_bench.report import markdown
from mreactor_ref.checkpoint import (
    find_checkpoint,
    load_checkpoint,
    read_metadata,
)
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.files import sha256_of

pytestmark = pytest.mark.usefixtures("quick_priors")

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
SESSIONS = 16  # fewer are too few to tell the distance of mini from that of mime
LARGEST_MODEL = 30 * 10**6  # bytes


@pytest.fixture(scope="module")
def dyads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions that `mini` has not seen: the test split of another seed."""
    root = tmp_path_factory.mktemp("dyads") / "simulated"
    write_dataset(root, {"train": 6, "test": SESSIONS}, seed=1234)
    return root


def test_the_shipped_model_beats_the_trivial_predictors(
    dyads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    output = tmp_path / "report" / "quality.json"
    arguments = ["reactions", "--data", str(dyads), "--samples", "5", "--output", str(output)]
    done = CliRunner().invoke(evaluate, arguments)
    assert done.exit_code == 0, done.output
    report = json.loads(output.read_text())
    rows = report["rows"]
    assert list(rows) == ["mini", "B_Random", "B_Mime", "B_MeanSeq", "B_MeanFr"]
    others = [rows[name] for name in list(rows)[1:]]
    assert rows["mini"]["FRCorr"] > max(row["FRCorr"] for row in others)
    assert rows["mini"]["FRDist"] < min(row["FRDist"] for row in others)
    assert rows["mini"]["FRDiv"] > 0.02
    assert rows["mini"]["FRVar"] > 0.02
    assert report["clips"] == SESSIONS
    assert report["setting"]["checkpoint_sha256"]


def test_the_report_over_all_held_out_sessions_is_the_shipped_models():
    report = json.loads((RESULTS / "quality-mini-cpu.json").read_text())
    assert report["clips"] == 48
    assert report["setting"]["checkpoint_sha256"] == sha256_of(find_checkpoint("mini"))
    better = beats_trivial(Quality(report["rows"], 48, report["samples"], {}), "mini")
    assert better == {"FRCorr": True, "FRDist": True}
    control = json.loads((RESULTS / "control-mini-cpu.json").read_text())
    assert control["setting"]["checkpoint_sha256"] == report["setting"]["checkpoint_sha256"]


def test_the_shipped_model_follows_its_priors_whoever_listens():
    spans: dict[str, float] = {}
    for name in ("", "-guidance-2", "-listener-0"):
        report = json.loads((RESULTS / f"control-mini-8{name}-cpu.json").read_text())
        assert report["setting"]["checkpoint_sha256"] == sha256_of(find_checkpoint("mini"))
        assert report["command"].startswith("mreactor-eval control --data data/simulated --limit 8")
        valence = report["rows"]["valence with polarity"]
        spans[name] = valence["mean at the most"] - valence["mean at the least"]
    assert spans[""] > 0.5 * spans["-listener-0"]
    assert spans["-guidance-2"] > spans[""]


def test_the_shipped_model_is_small_and_says_how_it_was_made():
    path = find_checkpoint("mini")
    assert path.stat().st_size < LARGEST_MODEL
    training = json.loads(read_metadata(path)["training"])
    assert {"data", "steps", "seed", "learning_rate"} <= training.keys()
    assert load_checkpoint(path).config.attention == "relative+subject"
    card = path.with_suffix(".md").read_text()
    assert f"--max-train-steps {training['steps']}" in card
    assert f"--seed {training['seed']}" in card


def quality(**own: float) -> Quality:
    best = {"FRCorr": 2.0, "FRDist": 50.0}
    return Quality({"m": own, "B_Mime": best, "B_MeanFr": {"FRCorr": 0, "FRDist": 60}}, 1, 2, {})


def test_better_means_better_than_each_of_them():
    assert beats_trivial(quality(FRCorr=2.1, FRDist=49), "m") == {"FRCorr": True, "FRDist": True}
    assert beats_trivial(quality(FRCorr=1.9, FRDist=51), "m") == {"FRCorr": False, "FRDist": False}


def test_the_table_is_markdown():
    lines = markdown(quality(FRCorr=2.125, FRDist=49.0).rows, "predictor").splitlines()
    assert lines[0] == "| predictor | FRCorr | FRDist |"
    assert lines[2] == "| m | 2.12 | 49 |"
