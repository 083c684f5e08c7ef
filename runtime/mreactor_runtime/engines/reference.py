"""The reference's own code as an engine: every other engine is held against it.

Engines that run a checkpoint take all from here but the denoiser; the exporter traces it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Protocol

import torch
from torch import Tensor

from mreactor_ref.denoiser import Context, Denoiser, Layer, guide
from mreactor_ref.model import Batch, MReactor
from mreactor_runtime.tensors import (
    ATTENTION,
    CLEAN,
    CONDITIONAL,
    DENOISER,
    ENCODER,
    GUIDANCE,
    KEYS,
    MASK,
    MODULATION,
    MODULATOR,
    NOISY,
    RELATIVE,
    STYLE,
    SUBJECT,
    TIMESTEP,
    TOKENS,
    VALUES,
    all_graph_specs,
)

CORRELATED = 1024  # frames whose correlations with all others are made at once on a GPU


class StepDenoiser(Protocol):
    """One step of sampling, before guidance. Arguments are those of `Denoiser.conditional`."""

    def conditional(
        self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor
    ) -> Tensor:
        """The branch with the speaker: (B, S, T, 83) -> (B, S, T, 83)."""
        ...

    def branches(self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor) -> Tensor:
        """Both branches: (B, S, T, 83) -> (B, 2 S, T, 83), those with the speaker first."""
        ...


class ReferenceDenoiser:
    """The reference's denoiser, one branch after the other."""

    def __init__(self, denoiser: Denoiser):
        self._denoiser = denoiser
        self.conditional = denoiser.conditional

    def branches(self, noisy: Tensor, modulation: Tensor, context: Context, mask: Tensor) -> Tensor:
        with_speaker = self.conditional(noisy, modulation, context, mask)
        without = self._denoiser.unconditional(noisy, modulation, context.style, mask)
        return torch.cat((with_speaker, without), dim=1)


class ReferenceEngine:
    """Runs the graphs of the table with the reference's code, attention written out.

    Args:
        model: in the type and on the device that it is to run in; set to evaluation mode.
        denoiser: of the steps; None is the model's own.
        layer: whose attention the graph `attention` is.
    """

    name = "reference"
    keeps_scores = True

    def __init__(self, model: MReactor, denoiser: StepDenoiser | None = None, layer: int = 0):
        self._model = model.eval()
        self._denoiser = denoiser or ReferenceDenoiser(model.denoiser)
        self._layer = layer
        self.device = model.reaction.mean.device
        self._specs = all_graph_specs(model.config)
        self._calls = {
            ENCODER: self._encode,
            MODULATOR: self._modulate,
            CONDITIONAL: self._conditional,
            DENOISER: self._guided,
            ATTENTION: self._attend,
        }

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.inference_mode():
            return self.compute(graph, inputs)

    def compute(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`run`, in whatever mode of gradients the caller is."""
        outputs = self._calls[graph](inputs)
        return {tensor.name: outputs[tensor.name] for tensor in self._specs[graph].outputs}

    def steps(
        self, inputs: Mapping[str, Tensor], guided: bool
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """(noisy, modulation) -> clean, as `sampling.Stepping` says; the context is made once."""
        step = self._denoiser.branches if guided else self._denoiser.conditional
        context, mask = self.context(inputs), inputs[MASK]
        return lambda noisy, modulation: step(noisy, modulation, context, mask)

    def context(self, inputs: Mapping[str, Tensor]) -> Context:
        """The context of a clip, from the inputs of a step."""
        return context_of(inputs)

    def _encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return vars(self._model.encode(Batch(**inputs)))

    def _modulate(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {MODULATION: self._model.modulate(inputs[TIMESTEP])}

    def _conditional(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {CLEAN: self.steps(inputs, guided=False)(inputs[NOISY], inputs[MODULATION])}

    def _guided(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        both = self.steps(inputs, guided=True)(inputs[NOISY], inputs[MODULATION])
        count = inputs[NOISY].shape[1]
        return {CLEAN: guide(both[:, count:], both[:, :count], inputs[GUIDANCE])}

    def _attend(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The attentions of one layer, each of the same tokens."""
        layer = self._model.denoiser.layers[self._layer]
        assert isinstance(layer, Layer)
        tokens, mask, outputs = inputs[TOKENS], inputs[MASK], dict[str, Tensor]()
        if layer.relative is not None:
            outputs[RELATIVE] = layer.relative(tokens, mask)
        if layer.subject is not None:
            outputs[SUBJECT] = layer.subject(tokens, inputs[KEYS], inputs[VALUES], mask)
        return outputs


def context_of(inputs: Mapping[str, Tensor]) -> Context:
    """The context among the inputs of a step; what the kind of attention lacks stays empty."""
    empty = inputs[STYLE].new_empty(0)
    return Context(**{field.name: inputs.get(field.name, empty) for field in fields(Context)})


def step_graph(guidance: float) -> str:
    """The graph of a step at a scale of guidance: 1 needs no branch without the speaker."""
    return CONDITIONAL if guidance == 1 else DENOISER
