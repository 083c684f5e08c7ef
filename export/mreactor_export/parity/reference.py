"""The reference in float64 or float32: its graphs, both branches of guidance, and each layer."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor

from mreactor_ref.denoiser import guide
from mreactor_ref.model import MReactor, taps
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.tensors import MASK, MODULATION, NOISY


class Reference(ReferenceEngine):
    """A copy of a model that runs the graphs of the table on the CPU.

    Args:
        model: left as it is.
        dtype: of all its numbers; inputs are brought to it, and outputs left in it.
    """

    def __init__(self, model: MReactor, dtype: torch.dtype):
        self.name, self.dtype = str(dtype).removeprefix("torch."), dtype
        copy = deepcopy(model).to("cpu", dtype)
        copy.fuse_attention(False)
        super().__init__(copy)

    def compute(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return super().compute(graph, self._cast(inputs))

    @torch.inference_mode()
    def branches(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The branches of guidance: the clean sample without the speaker, and with."""
        step = self._cast(inputs)
        both = self.steps(step, guided=True)(step[NOISY], step[MODULATION])
        with_speaker, without = both.chunk(2, dim=1)
        return without, with_speaker

    @torch.inference_mode()
    def clean(self, inputs: Mapping[str, Tensor], guidance: float) -> Tensor:
        """One step. At 0 and 1 guidance is one of its branches, and the other is not run."""
        step = self._cast(inputs)
        if guidance == 0:
            style = self.context(step).style
            denoiser = self._model.denoiser
            return denoiser.unconditional(step[NOISY], step[MODULATION], style, step[MASK])
        if guidance == 1:
            return self.steps(step, guided=False)(step[NOISY], step[MODULATION])
        return guide(*self.branches(inputs), guidance)

    def layers(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The output of each part of each layer in a step: "layers.0.relative" and so on.

        In the denoiser both branches are reactions of one batch, those without the speaker last.
        What comes before the first attention to the speaker is the same in both, and run once.
        """
        with taps(self._model.denoiser) as seen:
            self.run(graph, inputs)
        parts = {}
        for name, value in seen.items():
            if name.startswith("layers.") and name.count(".") == 2 and "#" not in name:
                shared = name == "layers.0.relative" and "layers.0.subject" in seen
                both = f"{name}#1" in seen and not shared
                parts[name] = torch.cat((value, seen[f"{name}#1"]), dim=1) if both else value
        return {name: x for name, x in parts.items() if not name.endswith(".norm")}

    def _cast(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: x.to(self.dtype) if x.is_floating_point() else x for name, x in inputs.items()
        }
