"""A capture that fails on a CUDA device, in a process of its own, which it may spoil."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

SCRIPT = """
import torch
from mreactor_runtime.kernels.cuda_graph import CapturedFunction, CudaStream

x = torch.ones(3, device="cuda")
stream, caller = CudaStream(x.device), torch.cuda.current_stream()
for _ in range(2):
    try:
        CapturedFunction(lambda: x.mul_(float(x.sum())), stream)
    except RuntimeError as error:
        assert "captur" in str(error), error
    else:
        raise AssertionError("it was captured")
    assert torch.cuda.current_stream() == caller
    assert torch.rand(2, device="cuda").shape == (2,)
    assert (torch.ones(2, device="cuda") + 1).tolist() == [2, 2]

large = torch.empty(64 * 2**20, dtype=torch.uint8, device="cuda")
reserved = torch.cuda.memory_reserved()
del large
torch.cuda.empty_cache()
assert torch.cuda.memory_reserved() < reserved, "memory is given back"

x.fill_(4)
out = torch.zeros(3, device="cuda")
captured = CapturedFunction(lambda: out.copy_(x * 2 + 1), stream)
x.fill_(5)
captured.replay()
assert out.tolist() == [11, 11, 11]
print("as it was")
"""


def test_the_device_goes_on_and_the_same_stream_captures_again():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=200
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "as it was\n"
