"""A setting in a process of its own: what it says, and how its failures cross over."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.bench_rows import CONFIG, REACTIONS, SETTING
from fakes.models import random_model

from mreactor_bench.throughput.weights import Weights
from mreactor_bench.throughput.worker import RunnerProcess
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.errors import MReactorError, UsageError
from mreactor_ref.files import sha256_of


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(random_model(CONFIG), path)
    return Weights("tiny", sha256_of(path), CONFIG, path)


def test_what_goes_wrong_in_a_worker_reaches_the_caller(weights: Weights):
    with (
        RunnerProcess(weights, replace(SETTING, dtype="bf16", runner="eager")) as worker,
        pytest.raises(UsageError, match="eager runs in fp32") as raised,
    ):
        worker.open()
    assert "open_runner" in str(raised.value.__cause__)
    with RunnerProcess(weights, SETTING) as worker:
        assert worker.open().reactions.shape == REACTIONS.shape
        pid = worker._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MReactorError, match=r"ended from outside \(exit -9\)"):
            worker.call()
