"""The setup of a proof: the model, its two references, the engines, and the table of bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mreactor_export.parity.cases import Cases, Sizes
from mreactor_export.parity.figures import LAYER, METRIC, TRAJECTORY, FigureLabel
from mreactor_export.parity.reference import Reference
from mreactor_export.precision import BF16, FP16, FP32, MIXED, dtype_of
from mreactor_ref.model import MReactor
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.tensors import MODULATION, MODULATOR, TIMESTEP, GraphSpec, all_graph_specs


@dataclass(frozen=True)
class Bounds:
    """Relative L2 errors that are allowed.

    Attributes:
        layer: of the output of a part of a graph. step: of one call of a graph.
        trajectory: of the end of a whole trajectory.
    """

    layer: float
    step: float
    trajectory: float


# fp32 is the promise. The half types are about three times the worst that was measured, with one
# digit, on `mini` on a CPU, by an earlier list of cases; `mreactor-export --model mini --dtype
# DTYPE` prints today's. Of a layer, a step (guidance 7.5), a trajectory, and of a measure against
# METRIC_BOUND:
#     mixed  0.00084  0.0036  0.0025  0.0009
#     fp16   0.0014   0.0039  0.0058  0.0006
#     bf16   0.011    0.030   0.023   0.0009
# The most of a trajectory are two frames at guidance 7.5; whole clips lose less than half of it.
BOUNDS: dict[str, Bounds] = {
    FP32: Bounds(layer=1e-5, step=1e-5, trajectory=1e-4),
    MIXED: Bounds(layer=3e-3, step=1e-2, trajectory=1e-2),
    FP16: Bounds(layer=5e-3, step=1e-2, trajectory=2e-2),
    BF16: Bounds(layer=4e-2, step=1e-1, trajectory=1e-1),
}
METRIC_BOUND = 0.01  # of the relative change of a measure, in any precision


def bound(dtype: str, check: str, graph: str) -> float:
    """The bound of a check of a graph in a bundle of a dtype, which some graphs leave."""
    if check == METRIC:
        return METRIC_BOUND
    bounds = BOUNDS[dtype_of(graph, dtype)]
    if check == LAYER:
        return bounds.layer
    return bounds.trajectory if check == TRAJECTORY else bounds.step


@dataclass(frozen=True)
class Setup:
    """All that the figures of one proof share.

    Attributes:
        model: as it was trained, in float32; not changed.
        candidates: name -> engine; the first is asked everything.
        dtype: of the graphs.
    """

    model: MReactor
    candidates: Mapping[str, Engine]
    dtype: str
    cases: Cases

    @cached_property
    def specs(self) -> dict[str, GraphSpec]:
        return all_graph_specs(self.model.config)

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

    def label(
        self, engine: str, check: str, what: str, sizes: Sizes, guidance: float | None = None
    ) -> FigureLabel:
        """Of random features."""
        return FigureLabel(
            engine, check, what, sizes.clips, sizes.reactions, sizes.frames, guidance
        )

    def bound(self, check: str, graph: str) -> float:
        return bound(self.dtype, check, graph)

    def modulation(self, timestep: int) -> Tensor:
        """Of one step, (M, D) float32."""
        outputs = self.exact.run(MODULATOR, {TIMESTEP: torch.tensor([timestep])})
        return outputs[MODULATION][0].float()
