"""The reference model as an engine, with PyTorch's own attention kernels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mreactor_ref.denoiser import Context
from mreactor_ref.model import Batch, MReactor
from mreactor_runtime.engines.engine import choose_device
from mreactor_runtime.engines.names import CPU, TORCH
from mreactor_runtime.tensors import DENOISER, ENCODER, MODULATOR, graphs


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

    def _denoise(
        self,
        noisy: Tensor,
        style: Tensor,
        modulation: Tensor,
        mask: Tensor,
        guidance: Tensor,
        keys: Tensor | None = None,
        values: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        unused = style[:, :, None, :0]  # the record wants all fields; a model reads only its own
        context = Context(
            condition=unused if condition is None else condition,
            keys=unused if keys is None else keys,
            values=unused if values is None else values,
            style=style,
        )
        if guidance.device.type == CPU and guidance.item() == 1:  # on a GPU it would wait for it
            return self._model.denoiser.conditional(noisy, modulation, context, mask)
        return self._model.denoise(noisy, modulation, context, mask, guidance)
