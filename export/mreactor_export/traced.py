"""What is traced into the graphs: the reference's own parts, arranged to do no work twice.

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
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mreactor_ref.denoiser import Context, Denoiser, Layer, guide
from mreactor_ref.model import Batch, MReactor
from mreactor_runtime.kernels.branches import branches
from mreactor_runtime.tensors import (
    ATTENTION,
    CONDITIONAL,
    DENOISER,
    ENCODER,
    MODULATOR,
    GraphSpec,
)

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
        return CALLS[self.spec.name](self, dict(zip(names, tensors, strict=True)))

    def encode(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        context = self.model.encode(Batch(**inputs))
        return tuple(getattr(context, tensor.name) for tensor in self.spec.outputs)

    def modulate(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return (self.model.modulate(**inputs),)

    def denoise(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """One step, both branches of guidance."""
        context = _take_context(inputs)
        with calls_of_layers():
            return (denoise(self.model.denoiser, self.null, context=context, **inputs),)

    def denoise_conditional(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """One step of the branch with the speaker alone."""
        context = _take_context(inputs)
        return (self.model.denoiser.conditional(context=context, **inputs),)

    def attend(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The attentions of one layer, each of the same tokens."""
        layer = self.model.denoiser.layers[self.layer]
        assert isinstance(layer, Layer)
        tokens, mask = inputs["tokens"], inputs["mask"]
        made = {}
        if layer.relative is not None:
            made["relative"] = layer.relative(tokens, mask)
        if layer.subject is not None:
            made["subject"] = layer.subject(tokens, inputs["keys"], inputs["values"], mask)
        return tuple(made[tensor.name] for tensor in self.spec.outputs)


CALLS = {
    ENCODER: Graph.encode,
    MODULATOR: Graph.modulate,
    CONDITIONAL: Graph.denoise_conditional,
    DENOISER: Graph.denoise,
    ATTENTION: Graph.attend,
}


def _take_context(inputs: dict[str, Tensor]) -> Context:
    """Take the context out of a step's inputs. What the kind of attention lacks stays empty."""
    empty = inputs["noisy"].new_empty(0)
    return Context(**{field.name: inputs.pop(field.name, empty) for field in fields(Context)})


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


def denoise(
    denoiser: Denoiser,
    null: Tensor,
    noisy: Tensor,
    modulation: Tensor,
    context: Context,
    mask: Tensor,
    guidance: Tensor,
) -> Tensor:
    """`Denoiser.denoise`, (B, S, T, 83) -> (B, S, T, 83), with `null` (L, D) of `null_outputs`."""
    both = branches(denoiser, null, noisy, modulation, context, mask)
    count = noisy.shape[1]
    return guide(both[:, count:], both[:, :count], guidance)
