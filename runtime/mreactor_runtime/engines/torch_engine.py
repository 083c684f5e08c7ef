"""The reference model as an engine, with PyTorch's own attention kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from mreactor_ref.denoiser import Context
from mreactor_ref.model import Batch, MReactor
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import CPU, TORCH
from mreactor_runtime.tensors import CONDITIONAL, DENOISER, ENCODER, MODULATOR, STYLE, graphs


class TorchEngine:
    """Runs a checkpoint without an export, in fp32.

    Args:
        model: taken over: moved to the device, and set to fused attention.
        device: "cpu" or "cuda".
        threads: of all of PyTorch in this process, which has one setting; None leaves it alone.
    """

    name = TORCH

    def __init__(self, model: MReactor, device: str = CPU, threads: int | None = None):
        self.device = choose_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        self._model = model.eval().to(self.device)
        self._model.fuse_attention()
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

    def _conditional(self, noisy: Tensor, modulation: Tensor, mask: Tensor, **context: Tensor):
        return self._model.denoiser.conditional(noisy, modulation, _context(context), mask)

    def _denoise(
        self,
        noisy: Tensor,
        modulation: Tensor,
        mask: Tensor,
        guidance: Tensor,
        **context: Tensor,
    ) -> Tensor:
        return self._model.denoise(noisy, modulation, _context(context), mask, guidance)


def _context(given: Mapping[str, Tensor]) -> Context:
    """The record wants all fields; a model reads only its own."""
    unused = given[STYLE][:, :, None, :0]
    return Context(**{field.name: given.get(field.name, unused) for field in fields(Context)})
