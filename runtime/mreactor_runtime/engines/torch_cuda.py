"""The model in PyTorch on a GPU, fast without an export: what a user without TensorRT has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mreactor_ref.denoiser import Context
from mreactor_ref.errors import UsageError
from mreactor_ref.model import MReactor
from mreactor_runtime import batching
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import BF16, CUDA, FP16, FP32, TORCH
from mreactor_runtime.engines.reference import CORRELATED, ReferenceEngine, context_of
from mreactor_runtime.kernels.gpu_denoiser import GpuDenoiser
from mreactor_runtime.kernels.gpu_fused import FusedDenoiser, fits
from mreactor_runtime.tensors import MASK

# What computes a step: our own kernels, the compiler's, or one operator after the other.
FUSED, COMPILED, EAGER = KERNELS = ("fused", "compiled", "eager")
TYPES = {FP32: torch.float32, FP16: torch.float16, BF16: torch.bfloat16}


class TorchCudaEngine(ReferenceEngine):
    """Runs a checkpoint with `FusedDenoiser` or `GpuDenoiser`; encoder and modulator in float32.

    Args:
        model: taken over: moved to the device.
        dtype: of the denoiser's products: one of TYPES.
        kernels: one of KERNELS; None is the first that can run the model in this type.
        device: of CUDA; the tests take the CPU.

    Raises: UsageError: no such type, no such kernels for the model, or no CUDA device.
    """

    name = TORCH
    keeps_scores = False

    def __init__(
        self, model: MReactor, dtype: str = BF16, kernels: str | None = None, device: str = CUDA
    ):
        if dtype not in TYPES:
            raise UsageError(f"the torch engine has no {dtype}", fix=f"one of {', '.join(TYPES)}")
        self._dtype = TYPES[dtype]
        model = model.to(choose_device(device))
        can_fuse = fits(model.denoiser, self._dtype)
        self.kernels = kernels or (FUSED if can_fuse else COMPILED)
        if self.kernels == FUSED and not can_fuse:
            raise UsageError(
                f"no fused kernels for {model.config.attention} of width {model.config.width} "
                f"in {dtype}",
                fix=f"take the {COMPILED} ones",
            )
        self._fused = FusedDenoiser(model.denoiser, self._dtype) if self.kernels == FUSED else None
        is_compiled = self.kernels == COMPILED
        denoiser = self._fused or GpuDenoiser(model.denoiser, self._dtype, is_compiled)
        self._width = model.config.width
        model.perception.correlate.block = CORRELATED
        super().__init__(model, denoiser)

    def slots(self, samples: int, length: int) -> int:
        """Clips in a step, as `SideBySide` says: several of a small model, by the fused kernels.

        A program of those has frames of one clip alone. The products of a library may cut a larger
        batch into other sums, from one place in it to the next.
        """
        if self._fused is None or self.device.type != CUDA:
            return 1
        return batching.slots(samples, length, self._width)

    def steps(
        self, inputs: Mapping[str, Tensor], guided: bool
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """(noisy, modulation) -> clean, as `sampling.Stepping` says."""
        fused = self._fused
        if fused is None:
            return super().steps(inputs, guided)
        clip = fused.clip(self.context(inputs), inputs[MASK])
        return lambda noisy, modulation: fused.step(noisy, modulation, clip, guided)

    def context(self, inputs: Mapping[str, Tensor]) -> Context:
        """Keys and values are rounded here, once a clip."""
        context = context_of(inputs)
        keys, values = context.keys.to(self._dtype), context.values.to(self._dtype)
        return replace(context, keys=keys, values=values)
