"""Training in two processes, on a CPU: clips that lack streams, and who says what."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.trees import mars_tree

from mreactor_ref.cache import CACHE_VARIABLE

# The command, which tells in the end what its weights are, before the average over steps.
SCRIPT = """
import sys
from mreactor_ref.train_cli import train
from mreactor_ref.training_run import TrainingRun

ended = TrainingRun.train

def told(run, *arguments):
    ended(run, *arguments)
    weights = run.accelerator.unwrap_model(run.objective).model.state_dict()
    print("weights", sum(x.double().abs().sum().item() for x in weights.values()), file=sys.stderr)

TrainingRun.train = told
train(sys.argv[1:])
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def in_two_processes(arguments: list[str], cache: Path) -> list[subprocess.CompletedProcess[str]]:
    port = str(free_port())
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            env={
                **os.environ,
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
                **{"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
                CACHE_VARIABLE: str(cache),
            },
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    ended: list[subprocess.CompletedProcess[str]] = []
    try:
        for process in running:
            out, err = process.communicate(timeout=300)
            ended.append(subprocess.CompletedProcess([], process.returncode, out, err))
    finally:
        for process in running:
            process.kill()
    return ended


@pytest.mark.slow
def test_two_processes_train_on_clips_that_lack_streams(tmp_path: Path):
    """Of eight clips two have no sound, two no face, and none words: every batch lacks another."""
    root = tmp_path / "tree"
    for split in ("train", "val"):
        mars_tree(root, {"session0": [(60, 60)] * 8}, split, fps=25.0)
        for clip in (0, 1):
            (root / split / f"audio/speaker/session0/Camera-{clip}.wav").unlink()
        for clip in (2, 3):
            for kind in ("coefficients", "facial-attributes"):
                (root / split / f"{kind}/speaker/session0/Camera-{clip}.npy").unlink()
    options = [
        *("--data", root, "--output", tmp_path / "run", "--fps", 25, "--layers", 1),
        *("--max-train-steps", 6, "--train-batch-size", 2, "--frames", 16),
        *("--gradient-accumulation-steps", 2, "--validate-every", 3, "--log-every", 1),
    ]
    first, second = in_two_processes([str(x) for x in options], tmp_path / "cache")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    sums = [re.findall(r"weights (\S+)", done.stderr) for done in (first, second)]
    assert sums[0] == sums[1]  # the gradients were shared
    assert first.stderr.count("no clip has words") == 1
    assert "no clip has words" not in second.stderr
    assert "frames a second" in first.stderr
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"model.safetensors", "best.safetensors", "model_card.md", "state"} <= files
    history = (tmp_path / "run/history.jsonl").read_text().splitlines()
    assert len(history) == 6 + 2  # of one process
