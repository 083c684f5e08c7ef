"""The model in PyTorch as an engine, fast and without an export; and the reference as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from mreactor_ref.denoiser import Context
from mreactor_ref.model import Batch, MReactor
from mreactor_ref.perception import TemporalCorrelation
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import CPU, TORCH
from mreactor_runtime.kernels.cpu_denoiser import CpuDenoiser
from mreactor_runtime.tensors import CONDITIONAL, DENOISER, ENCODER, MODULATOR, STYLE, graphs

PAPER = "relative+subject"  # the kind of attention that has a denoiser of its own on the CPU
CORRELATED = 1024  # frames of all modalities whose correlations are made at once


class ReferenceEngine:
    """Runs the reference's own code, attention written out: what every engine is held against.

    Args:
        model: in the type and on the device that it is to run in; set to evaluation mode.
    """

    name = "reference"
    keeps_scores = True

    def __init__(self, model: MReactor):
        self._model = model.eval()
        self.device = model.reaction.mean.device
        self._specs = graphs(model.config)
        self._calls = {
            ENCODER: self._encode,
            MODULATOR: self._model.modulate,
            CONDITIONAL: self._conditional,
            DENOISER: self._denoise,
        }

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.inference_mode():
            found = self._calls[graph](**inputs)
        outputs = self._specs[graph].outputs
        if isinstance(found, Tensor):
            return {outputs[0].name: found}
        return {tensor.name: getattr(found, tensor.name) for tensor in outputs}

    def _encode(self, **inputs: Tensor) -> Context:
        return self._model.encode(Batch(**inputs))

    def _conditional(
        self, noisy: Tensor, modulation: Tensor, mask: Tensor, **context: Tensor
    ) -> Tensor:
        return self._model.denoiser.conditional(noisy, modulation, context_of(context), mask)

    def _denoise(
        self, noisy: Tensor, modulation: Tensor, mask: Tensor, guidance: Tensor, **context: Tensor
    ) -> Tensor:
        return self._model.denoise(noisy, modulation, context_of(context), mask, guidance)


class TorchEngine(ReferenceEngine):
    """Runs a checkpoint in fp32 with PyTorch's fused attention; on a CPU with `CpuDenoiser`.

    Args:
        model: taken over: moved to the device, and set to fused attention.
        device: "cpu" or "cuda".
        threads: of all of PyTorch in this process, which has one setting; None leaves it alone.
    """

    name = TORCH
    keeps_scores = False

    def __init__(self, model: MReactor, device: str = CPU, threads: int | None = None):
        place = choose_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        super().__init__(model.to(place))
        model.fuse_attention()
        for module in model.modules():
            if isinstance(module, TemporalCorrelation):
                module.block = CORRELATED
        own = place.type == CPU and model.config.attention == PAPER
        self._fast = CpuDenoiser(model.denoiser, torch.get_num_threads()) if own else None

    def _conditional(
        self, noisy: Tensor, modulation: Tensor, mask: Tensor, **context: Tensor
    ) -> Tensor:
        if self._fast is None:
            return super()._conditional(noisy, modulation, mask, **context)
        return self._fast(noisy, modulation, context_of(context), mask, None)

    def _denoise(
        self, noisy: Tensor, modulation: Tensor, mask: Tensor, guidance: Tensor, **context: Tensor
    ) -> Tensor:
        if self._fast is None:
            return super()._denoise(noisy, modulation, mask, guidance, **context)
        return self._fast(noisy, modulation, context_of(context), mask, guidance.item())


def context_of(given: Mapping[str, Tensor]) -> Context:
    """The record wants all fields; a model reads only its own."""
    unused = given[STYLE][:, :, None, :0]
    return Context(**{field.name: given.get(field.name, unused) for field in fields(Context)})
