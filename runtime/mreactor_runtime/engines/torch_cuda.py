"""The model in PyTorch on a GPU, fast without an export: what a user without TensorRT has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mreactor_ref.denoiser import Context
from mreactor_ref.errors import UsageError
from mreactor_ref.model import MReactor
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import BF16, CUDA, FP16, FP32, TORCH
from mreactor_runtime.engines.reference import ReferenceEngine, context_of
from mreactor_runtime.kernels.gpu_denoiser import GpuDenoiser

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
        self._dtype = TYPES[dtype]
        model = model.to(choose_device(device))
        super().__init__(model, GpuDenoiser(model.denoiser, self._dtype, compiled))

    def context(self, inputs: Mapping[str, Tensor]) -> Context:
        """Keys and values are rounded here, once a clip."""
        context = context_of(inputs)
        keys, values = context.keys.to(self._dtype), context.values.to(self._dtype)
        return replace(context, keys=keys, values=values)
