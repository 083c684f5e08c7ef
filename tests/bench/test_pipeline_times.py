"""`mreactor-bench pipeline`: the stand-in device's clock, and figures that add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mreactor_bench.bench_cli import main
from mreactor_bench.pipeline.measure import Run, prepared, run_once


def test_the_device_works_for_each_clip_and_the_share_is_by_its_clock(tmp_path: Path):
    clips = prepared(tmp_path / "clips", 4, 20, 2, has_words=False)
    run = run_once(clips, 0.02, 1, tmp_path / "out")
    assert run.clips == 4
    assert run.busy >= 4 * 0.02
    assert 0 < run.busy_share <= 1
    assert len(list((tmp_path / "out").rglob("*.npz"))) == 4


def test_cores_by_the_arithmetic():
    run = Run(readers=4, clips=100, seconds=2.0, busy=0.9, core_seconds=3.0, stages={})
    assert run.busy_share == pytest.approx(0.45)
    assert run.cores_for(0.009) == pytest.approx(0.9 * 0.03 / 0.009)


@pytest.mark.slow
def test_the_command_tells_what_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = tmp_path / "pipeline.json"
    sizes = ["--clips", "2", "--frames", "150", "--samples", "2", "--readers", "1"]
    done = CliRunner().invoke(main, ["pipeline", *sizes, "--output", str(output)])
    assert done.exit_code == 0, done.output
    found = json.loads(output.read_text())
    assert set(found["parts"]) == {"reading", "priors", "noise"}
    assert set(found["reading"]) == {"1 threads", "1 processes"}
    assert [run["clips"] for run in found["runs"]] == [2]
