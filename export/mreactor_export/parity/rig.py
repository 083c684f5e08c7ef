"""What every kind of figure works with: the model, its two references, and the engines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mreactor_export.parity.bounds import bound
from mreactor_export.parity.cases import Cases, Sizes
from mreactor_export.parity.figures import About
from mreactor_export.parity.reference import Reference
from mreactor_ref.model import MReactor
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.tensors import MODULATION, MODULATOR, TIMESTEP, GraphSpec, all_graphs


@dataclass(frozen=True)
class Rig:
    """One proof.

    Attributes:
        model: as it was trained, in float32; not changed.
        candidates: name -> engine; the first is asked everything.
        dtype: the precision of the graphs.
    """

    model: MReactor
    candidates: Mapping[str, Engine]
    dtype: str
    cases: Cases

    @cached_property
    def specs(self) -> dict[str, GraphSpec]:
        return all_graphs(self.model.config)

    @cached_property
    def exact(self) -> Reference:
        """In float64."""
        return Reference(self.model, torch.float64)

    @cached_property
    def plain(self) -> Reference:
        """In float32."""
        return Reference(self.model, torch.float32)

    @property
    def references(self) -> tuple[Reference, Reference]:
        return self.exact, self.plain

    def engines(self, frames: int) -> Iterator[tuple[str, Engine]]:
        """Those that are asked at a length: the first always."""
        for i, (name, engine) in enumerate(self.candidates.items()):
            if i == 0 or frames in self.cases.others:
                yield name, engine

    def about(
        self, engine: str, check: str, what: str, sizes: Sizes, guidance: float | None = None
    ) -> About:
        """Of random features."""
        return About(engine, check, what, sizes.clips, sizes.reactions, sizes.frames, guidance)

    def bound(self, check: str, graph: str) -> float:
        return bound(self.dtype, check, graph)

    def modulation(self, timestep: int) -> Tensor:
        """Of one step, (M, D) float32."""
        outputs = self.exact.run(MODULATOR, {TIMESTEP: torch.tensor([timestep])})
        return outputs[MODULATION][0].float()
