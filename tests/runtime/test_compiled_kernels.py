"""The Triton kernels, compiled for GPUs that are not here: nothing spilled, and enough fits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.triton_modes import needs_kernels

from mreactor_ref.config import CONFIGS

pytestmark = [pytest.mark.gpu, needs_kernels]

SCRIPT = Path(__file__).parents[1] / "fakes/compile_kernels.py"
# Of compute capabilities: an A100, an H100, a B200.
SHARED = {80: 164 * 1024, 90: 228 * 1024, 100: 228 * 1024}  # bytes of a multiprocessor
RESERVED = 1024  # of them, a block
REGISTERS, THREADS, WARP, STEP = 65536, 2048, 32, 8  # of a multiprocessor; registers come in steps
# Programs on a multiprocessor at the least, of the half types.
LEAST = {
    "step_kernel": {80: 8, 90: 8, 100: 8},
    "key_lengths_kernel": {80: 8, 90: 8, 100: 8},
    "attention_kernel": {80: 2, 90: 3, 100: 3},
    "tokens_kernel": {80: 1, 90: 1, 100: 2},
    "queries_kernel": {80: 1, 90: 2, 100: 1},
    "projection_kernel": {80: 1, 90: 1, 100: 1},
    "feedforward_kernel": {80: 1, 90: 1, 100: 1},
}


@pytest.fixture(scope="module", params=[(name, at) for name in CONFIGS for at in SHARED], ids=str)
def rows(request) -> list[dict]:
    """What each kernel takes, for a model's sizes and a compute capability."""
    command = [sys.executable, SCRIPT, *map(str, request.param)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def programs(row: dict) -> int:
    """How many fit on a multiprocessor: by registers, by threads and by shared memory."""
    registers = -(-row["registers"] // STEP) * STEP * row["threads"]
    by_memory = SHARED[row["capability"]] // (row["shared"] + RESERVED)
    return min(REGISTERS // registers, THREADS // row["threads"], by_memory)


def test_no_register_is_spilled(rows):
    assert {row["kernel"] for row in rows} == LEAST.keys()
    assert [row for row in rows if row["stack"]] == []


def test_so_many_programs_fit_on_a_multiprocessor(rows):
    for row in rows:
        print(programs(row), row)
        assert programs(row) >= 1
        if row.get("dtype") != "fp32":
            assert programs(row) >= LEAST[row["kernel"]][row["capability"]], row
