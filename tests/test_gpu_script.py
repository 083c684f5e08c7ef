"""`benchmarks/gpu.sh`: its four calls, and the time that each may take. It runs none of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/gpu.sh"
MOST_SECONDS = 600  # of a call


def run(call: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPT, call, folder],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def plan(call: str, folder: Path, device: str) -> dict[str, int]:
    """Part -> its time limit."""
    done = run(call, folder, PLAN="1", DEVICE=device)
    assert done.returncode == 0, done.stderr
    return {name: int(seconds) for name, seconds in map(str.split, done.stdout.splitlines())}


@pytest.mark.parametrize("call", ["1", "2", "3", "4"])
def test_a_call_stays_under_ten_minutes(tmp_path, call):
    limits = plan(call, tmp_path, "cuda")
    assert 0 < sum(limits.values()) < MOST_SECONDS
    assert plan(call, tmp_path, "cpu") == limits, "a try on a CPU has the same parts"


def test_the_capture_that_fails_is_last_and_alone(tmp_path):
    *others, last = plan("1", tmp_path, "cuda")
    assert last == "failed_capture"
    assert "sampler" in others


def test_all_is_the_four_calls(tmp_path):
    parts = [part for call in "1234" for part in plan(call, tmp_path, "cuda")]
    assert list(plan("all", tmp_path, "cuda")) == parts


def test_an_unknown_call_shows_how_it_is_used(tmp_path):
    done = run("5", tmp_path)
    assert done.returncode == 2
    assert "benchmarks/gpu.sh 1|2|3|4|all" in done.stdout
