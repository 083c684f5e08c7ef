"""`mreactor-bench depth`: its findings from made-up figures, and that a stopped study goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("accelerate")

from mreactor_bench import variants
from mreactor_bench.bench_cli import main
from mreactor_bench.depth.page import draw, sentences, to_markdown
from mreactor_bench.depth.study import LOSS, Depths, Trained
from mreactor_bench.solvers.rule import MEASURES
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.config import CONFIGS

ROOT = Path(__file__).parents[2]
TRIVIAL = {"B_Mime": dict.fromkeys(MEASURES, 0.5)}


def trained(layers: int, seed: int, value: float) -> Trained:
    return Trained(layers, seed, dict.fromkeys((LOSS, *MEASURES), value), TRIVIAL)


def made_up(repeats: int = 2) -> Depths:
    """Means of 2, 4 and 3 with 1, 2 and 3 layers; trainings of a depth are 0.2 apart."""
    means = {1: 2.0, 2: 4.0, 3: 3.0}
    offsets = (-0.1, 0.1) if repeats == 2 else (0.0,)
    every = [trained(n, i, x + d) for n, x in means.items() for i, d in enumerate(offsets)]
    return Depths({"repeats": repeats}, "mreactor-bench depth", tuple(every))


def test_the_best_depth_is_the_largest_or_the_smallest_mean():
    report = made_up()
    assert report.best("FRCorr") == 2
    assert report.best("FRDist") == report.best(LOSS) == 1
    assert report.range("FRDiv") == pytest.approx(2)


def test_the_findings_stand_beside_the_papers_and_the_noise_of_training():
    assert sentences(made_up())[1] == (
        "FRCorr: best with 2, range 2 (paper: best with 6, range below 0.44); "
        "trainings of one depth are 0.2 apart."
    )
    assert "apart" not in sentences(made_up(repeats=1))[1]


def test_the_table_has_a_row_for_each_depth_and_each_trivial_predictor():
    rows = to_markdown(made_up()).splitlines()[-4:]
    assert rows[0] == "| 1 | 2 | 2 | 2 | 2 | 2 | 2 |"
    assert rows[3] == "| B_Mime | - | 0.5 | 0.5 | 0.5 | 0.5 | 0.5 |"


def test_each_measure_is_drawn_over_the_layers():
    pytest.importorskip("matplotlib")
    panels = draw(made_up()).axes
    assert len(panels) == 1 + len(MEASURES)
    line, dots = panels[1].lines[:2]
    assert list(np.asarray(line.get_ydata())) == pytest.approx([2, 4, 3])
    assert len(np.asarray(dots.get_ydata())) == 6


@pytest.mark.usefixtures("quick_priors")
def test_a_study_goes_on_where_it_was_and_refuses_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(variants, "SESSIONS", {"train": 1, "val": 1, "test": 2})
    small = {"width": 16, "heads": 2, "feedforward": 2, "context": 5}
    config = type(CONFIGS["mini"]).from_dict(CONFIGS["mini"].to_dict() | small)
    monkeypatch.setitem(CONFIGS, "mini", config)
    output = tmp_path / "study"
    arguments = ["depth", "--frames", "16", "--batch-size", "2", "--samples", "2"]
    arguments += ["--output", str(output)]

    def run(*more: str):
        return CliRunner().invoke(main, [*arguments, *more])

    done = run("--steps", "1", "--layers", "2")
    assert done.exit_code == 0, done.output
    checkpoint = output / "runs" / "layers-2-seed-0" / "model.safetensors"
    before = checkpoint.stat().st_mtime_ns
    done = run("--steps", "1", "--layers", "2", "--layers", "1")
    assert done.exit_code == 0, done.output
    assert checkpoint.stat().st_mtime_ns == before
    report = json.loads((output / "depth.json").read_text())
    assert list(report["rows"]) == ["1", "2"]
    assert report["setting"]["data"] == "simulated dyads"
    assert [one["layers"] for one in report["trainings"]] == [1, 2]
    assert set(report["rows"]["1"]) == {LOSS, *MEASURES}
    assert "B_Mime" in report["trivial"]
    assert (output / "depth.png").read_bytes().startswith(b"\x89PNG")
    refused = run("--steps", "2", "--layers", "1")
    assert refused.exit_code == 2
    assert "steps differ" in refused.stderr


def test_the_docs_tell_what_is_in_the_report():
    report = json.loads((ROOT / "benchmarks" / "results" / "depth-mini-cpu.json").read_text())
    text = (ROOT / "docs" / "studies.md").read_text()
    assert report["command"] in text
    assert report["setting"]["repeats"] == 1
    for layers, row in report["rows"].items():
        cells = " | ".join(f"{row[name]:.3g}" for name in (LOSS, *MEASURES))
        assert f"| {layers} | {cells} |" in text
