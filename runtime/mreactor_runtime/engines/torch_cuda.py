"""The model in PyTorch on a GPU, fast without an export: what a user without TensorRT has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mreactor_ref.denoiser import guide
from mreactor_ref.errors import UsageError
from mreactor_ref.model import MReactor
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import BF16, CUDA, FP16, FP32, TORCH
from mreactor_runtime.engines.torch_cpu import ReferenceEngine, context_of
from mreactor_runtime.kernels.gpu_denoiser import GpuDenoiser
from mreactor_runtime.tensors import MASK

TYPES = {FP32: torch.float32, FP16: torch.float16, BF16: torch.bfloat16}


class TorchCudaEngine(ReferenceEngine):
    """Runs a checkpoint with `GpuDenoiser`; encoder and modulator in float32, as the reference.

    Args:
        model: taken over: moved to the device.
        dtype: of the denoiser's products: one of TYPES.
        compiled: fuse what lies between the products.
        device: of CUDA; the tests take the CPU.

    Raises: UsageError: no such type, or no CUDA device.
    """

    name = TORCH
    keeps_scores = False

    def __init__(
        self, model: MReactor, dtype: str = BF16, compiled: bool = True, device: str = CUDA
    ):
        if dtype not in TYPES:
            raise UsageError(f"the torch engine has no {dtype}", fix=f"one of {', '.join(TYPES)}")
        super().__init__(model.to(choose_device(device)))
        self._dtype = TYPES[dtype]
        self._step = GpuDenoiser(model.denoiser, self._dtype, compiled)

    def steps(
        self, inputs: Mapping[str, Tensor], guided: bool
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """(noisy, modulation) -> clean, as `sampling.Stepping` says; keys are rounded once."""
        mask, context = inputs[MASK], context_of(inputs)
        rounded = replace(
            context, keys=context.keys.to(self._dtype), values=context.values.to(self._dtype)
        )
        call = self._step.branches if guided else self._step.conditional
        return lambda noisy, modulation: call(noisy, modulation, rounded, mask)

    def _conditional(
        self, noisy: Tensor, modulation: Tensor, mask: Tensor, **context: Tensor
    ) -> Tensor:
        return self.steps({**context, MASK: mask}, guided=False)(noisy, modulation)

    def _denoise(
        self, noisy: Tensor, modulation: Tensor, mask: Tensor, guidance: Tensor, **context: Tensor
    ) -> Tensor:
        both = self.steps({**context, MASK: mask}, guided=True)(noisy, modulation)
        conditional, unconditional = both.chunk(2, dim=1)
        return guide(unconditional, conditional, guidance)
