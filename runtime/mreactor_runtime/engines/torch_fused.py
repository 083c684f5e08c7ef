"""The model with PyTorch's own fused attention, on any device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mreactor_ref.model import Batch, MReactor
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import CPU, TORCH
from mreactor_runtime.engines.reference import CORRELATED, ReferenceEngine, StepDenoiser
from mreactor_runtime.kernels.cpu_encoder import CpuEncoder


class TorchFusedEngine(ReferenceEngine):
    """Runs a checkpoint in fp32 where neither `CpuDenoiser` nor `GpuDenoiser` can: on a GPU without
    Triton, and a kind of attention that is not the paper's on a CPU.

    Args:
        model: taken over: moved to the device, and set to fused attention.
        device: "cpu" or "cuda".
        threads: of all of PyTorch in this process, which has one setting; None leaves it alone.
        denoiser: of the steps; None is the model's own.

    Raises: UsageError: no CUDA device.
    """

    name = TORCH
    keeps_scores = False

    def __init__(
        self,
        model: MReactor,
        device: str = CPU,
        threads: int | None = None,
        denoiser: StepDenoiser | None = None,
    ):
        super().__init__(model.to(choose_device(device)), denoiser)
        if threads is not None:
            torch.set_num_threads(threads)
        model.fuse_attention()
        if self.device.type == CPU:
            self._encoder = CpuEncoder(model, torch.get_num_threads())
        else:
            model.perception.correlate.block = CORRELATED
            self._encoder = model.encode

    def _encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return vars(self._encoder(Batch(**inputs)))
