"""The reference in its own words, in float64 or float32: attention written out, no engine."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields

import torch
from torch import Tensor

from mreactor_ref.denoiser import Context, Layer, guide
from mreactor_ref.model import Batch, MReactor, taps
from mreactor_runtime.tensors import (
    CONDITIONAL,
    DENOISER,
    ENCODER,
    GUIDANCE,
    KEYS,
    MASK,
    MODULATION,
    NOISY,
    RELATIVE,
    STYLE,
    SUBJECT,
    TIMESTEP,
    TOKENS,
    VALUES,
    graphs,
)


class Reference:
    """A copy of a model that runs the graphs of the table.

    Args:
        model: left as it is.
        dtype: of all its numbers; inputs are brought to it, and outputs left in it.
    """

    def __init__(self, model: MReactor, dtype: torch.dtype):
        self.name, self.dtype = str(dtype).removeprefix("torch."), dtype
        self._model = deepcopy(model).to("cpu", dtype).eval()
        self._model.fuse_attention(False)
        self._specs = graphs(model.config)

    @torch.inference_mode()
    def encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of the encoder."""
        context = self._model.encode(Batch(**self._own(inputs)))
        return {t.name: getattr(context, t.name) for t in self._specs[ENCODER].outputs}

    @torch.inference_mode()
    def modulate(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of the modulator."""
        return {MODULATION: self._model.modulate(inputs[TIMESTEP])}

    @torch.inference_mode()
    def branches(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What guidance is made of: the clean sample without the speaker, and with."""
        given = self._own(inputs)
        denoiser, context = self._model.denoiser, _context(given)
        step = given[NOISY], given[MODULATION]
        without = denoiser.unconditional(*step, context.style, given[MASK])
        return without, denoiser.conditional(*step, context, given[MASK])

    @torch.inference_mode()
    def clean(self, inputs: Mapping[str, Tensor], guidance: float) -> Tensor:
        """One step. At 0 and 1 guidance is one of its branches, and the other is not run."""
        given = self._own(inputs)
        denoiser, context = self._model.denoiser, _context(given)
        step = given[NOISY], given[MODULATION]
        if guidance == 0:
            return denoiser.unconditional(*step, context.style, given[MASK])
        if guidance == 1:
            return denoiser.conditional(*step, context, given[MASK])
        return guide(*self.branches(inputs), guidance)

    def layers(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What each part of each layer returns in a step: "layers.0.relative" and so on.

        In the denoiser both branches are reactions of one batch, those without the speaker last.
        What comes before the first attention to the speaker is the same in both, and run once.
        """
        with taps(self._model.denoiser) as seen:
            if graph == CONDITIONAL:
                self.clean(inputs, guidance=1.0)
            else:
                given = self._own(inputs)
                step = given[NOISY], given[MODULATION], _context(given), given[MASK]
                with torch.inference_mode():
                    self._model.denoise(*step, given[GUIDANCE])
        parts = {}
        for name, value in seen.items():
            if name.startswith("layers.") and name.count(".") == 2 and "#" not in name:
                shared = name == "layers.0.relative" and "layers.0.subject" in seen
                both = f"{name}#1" in seen and not shared
                parts[name] = torch.cat((value, seen[f"{name}#1"]), dim=1) if both else value
        return {name: x for name, x in parts.items() if not name.endswith(".norm")}

    @torch.inference_mode()
    def attend(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of the graph of attention alone, which is that of the first layer."""
        given = self._own(inputs)
        layer = self._model.denoiser.layers[0]
        assert isinstance(layer, Layer)
        made = {}
        if layer.relative is not None:
            made[RELATIVE] = layer.relative(given[TOKENS], given[MASK])
        if layer.subject is not None:
            made[SUBJECT] = layer.subject(*(given[name] for name in (TOKENS, KEYS, VALUES, MASK)))
        return made

    def _own(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: x.to(self.dtype) if x.is_floating_point() else x for name, x in inputs.items()
        }


def step_graph(guidance: float) -> str:
    """The graph that a run takes at a scale of guidance."""
    return CONDITIONAL if guidance == 1 else DENOISER


def _context(given: Mapping[str, Tensor]) -> Context:
    """The record wants all fields; a model reads only its own."""
    unused = given[STYLE][:, :, None, :0]
    return Context(**{field.name: given.get(field.name, unused) for field in fields(Context)})
