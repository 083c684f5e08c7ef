"""Runs that are killed around what they write, and at random moments, lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.killed_runs import CLIPS


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("boundaries", 60), ("moments", 40)])
def test_killed_runs_lose_nothing(tmp_path: Path, kind: str, count: int) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "fakes.killed_runs", str(tmp_path), kind, str(count)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) >= count
    for outcome in outcomes:
        assert outcome["torn"] == [], outcome
        assert outcome["same"], outcome
        again = outcome["again"]
        assert again["kept"] + again["done"] == len(CLIPS), outcome
        assert outcome["whole"] - again["kept"] <= 1, outcome  # done twice
    ends = [outcome for outcome in outcomes if outcome["code"] != -signal.SIGKILL]
    assert len(ends) <= 1  # of the last boundaries: threads make a few more or less of them
    # some of the kills came before the first result, some after it
    wholes = {outcome["whole"] for outcome in outcomes}
    assert 0 in wholes
    assert len(wholes) > 1
