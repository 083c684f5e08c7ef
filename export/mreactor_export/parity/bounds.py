"""How far an engine may be from the reference: the one table of bounds."""

from __future__ import annotations

from dataclasses import dataclass

from mreactor_export.parity.figures import LAYER, METRIC, TRAJECTORY
from mreactor_export.precision import BF16, FP16, FP32, MIXED, precision_of


@dataclass(frozen=True)
class Bounds:
    """Relative L2 errors: of the output of a part of a graph, of one call of a graph, of the end
    of a whole trajectory."""

    layer: float
    step: float
    trajectory: float


# fp32 is the promise. The half types are about three times the worst that was measured, with one
# digit, by `verify` on `mini` on a CPU (the graphs as `emulate` makes them), when its cases were a
# little other; `mreactor-export --model mini --dtype DTYPE` prints today's. Of a layer, a step
# (guidance 7.5), a trajectory, and of a measure against METRIC_BOUND:
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
    """The bound of a check of a graph in a bundle's precision, which some graphs leave."""
    if check == METRIC:
        return METRIC_BOUND
    own = BOUNDS[precision_of(graph, dtype)]
    if check == LAYER:
        return own.layer
    return own.trajectory if check == TRAJECTORY else own.step
