"""The model in PyTorch on a CPU, fast without an export."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from mreactor_ref.model import MReactor
from mreactor_runtime.engines.names import CPU
from mreactor_runtime.engines.torch_fused import TorchFusedEngine
from mreactor_runtime.kernels.cpu_denoiser import CpuDenoiser

PAPER = "relative+subject"  # the kind of attention that `CpuDenoiser` computes


class TorchCpuEngine(TorchFusedEngine):
    """Runs a checkpoint of the paper's attention in fp32 with `CpuDenoiser`.

    Args:
        model: taken over: moved to the CPU, and set to fused attention.
        threads: of all of PyTorch in this process, which has one setting; None leaves it alone.
    """

    def __init__(self, model: MReactor, threads: int | None = None):
        model.cpu().eval()
        cores = threads or torch.get_num_threads()
        super().__init__(model, CPU, threads, CpuDenoiser(model.denoiser, cores))

    def _modulate(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # Of so few rows the last bits would depend on how many threads share a product.
        with _one_thread():
            return super()._modulate(inputs)


@contextmanager
def _one_thread() -> Generator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
