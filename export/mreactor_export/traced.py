"""The modules that are traced into graphs: the reference's parts, arranged to do no work twice.

The denoiser runs both branches of guidance as reactions of one batch: the first S with the speaker,
the last S without. What they share is made once: the tokens and the first attention of the frames
to each other. What no step changes, the output of the attention to the dropped condition, is a
constant of the graph.

The bias of an attention, -eps |x - y| and the mask, is made again at every step, on purpose: it is
one pass over (H, T, T) where the scores take several over (S, H, T, T). As an input, made once a
clip, it was not faster on a CPU, and it is L H T^2 numbers to keep: 54 MiB for base and 768 frames.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mreactor_ref.denoiser import Context, Denoiser, Layer
from mreactor_ref.model import MReactor
from mreactor_runtime.engines.reference import ReferenceDenoiser, ReferenceEngine
from mreactor_runtime.kernels.branches import branches
from mreactor_runtime.tensors import GraphSpec

SUBLAYERS = ("attend_relative", "attend_subject", "feed_forward")


class Graph(nn.Module):
    """The tensors of the table, in their order, in and out.

    Args:
        layer: of the model, that the graph of attention alone is made from.
    """

    null: Tensor

    def __init__(self, model: MReactor, spec: GraphSpec, layer: int = 0):
        super().__init__()
        self.model, self.spec, self.layer = model, spec, layer
        with torch.no_grad():
            null = model.denoiser.null_outputs()
        self.register_buffer("null", torch.stack(null) if null else torch.empty(0))  # (L, D)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        names = [tensor.name for tensor in self.spec.inputs]
        denoiser = TracedDenoiser(self.model.denoiser, self.null)
        reference = ReferenceEngine(self.model, denoiser, self.layer)
        outputs = reference.compute(self.spec.name, dict(zip(names, tensors, strict=True)))
        return tuple(outputs.values())


class TracedDenoiser(ReferenceDenoiser):
    """The reference's denoiser, both branches at once.

    Args: null: of `Denoiser.null_outputs`, (L, D).
    """

    def __init__(self, denoiser: Denoiser, null: Tensor):
        super().__init__(denoiser)
        self._null = null

    def branches(self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor) -> Tensor:
        with calls_of_layers():
            return branches(self._denoiser, self._null, noisy, modulation, context, mask)


@contextmanager
def calls_of_layers() -> Generator[None]:
    """While it is open, each sublayer is a call of its layer, and not of one of its methods.

    The tracer notes which module is called, and operators are named after it.
    """
    methods = {name: vars(Layer)[name] for name in SUBLAYERS}
    try:
        for name, method in methods.items():
            setattr(Layer, name, _as_call(method))
        yield
    finally:
        for name, method in methods.items():
            setattr(Layer, name, method)


def _as_call(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def called(layer: Layer, *arguments: Any) -> Tensor:
        layer.forward = partial(method, layer)  # of this layer alone, before the class's own
        try:
            return layer(*arguments)
        finally:
            del layer.forward

    return called
