"""Which form of a denoiser is faster in ONNX Runtime on a CPU: the measurement behind the choices.

Two questions: attention in one operator or decomposed (`operators.ATTENTION_FORM`), and its bias
made at every step or given as an input (`traced`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import onnx

from mreactor_bench.precision.sensitivity import Case, denoiser_cases
from mreactor_export.operators import ATTENTION_OPSET, DECOMPOSED, OPERATOR
from mreactor_export.parity.calls import open_session
from mreactor_export.to_onnx import export_graph
from mreactor_ref.model import MReactor
from mreactor_runtime.tensors import DENOISER, graph_specs

if TYPE_CHECKING:
    import onnxruntime

SIZES = (
    {"B": 1, "S": 1, "T": 256},
    {"B": 1, "S": 10, "T": 256},
    {"B": 1, "S": 1, "T": 768},
    {"B": 1, "S": 3, "T": 768},
)
PAIRS = 9


@dataclass(frozen=True)
class Ratio:
    """The time of a form over that of the decomposed one that makes its own bias, in pairs.

    Attributes:
        seconds: of processor time, of the decomposed one; the median, as `ratio` is.
    """

    form: str
    sizes: dict[str, int]
    ratio: float
    seconds: float


def bias_as_inputs(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """A decomposed graph that is given the bias of its attentions, and the names of those inputs.

    Each is (B, 1, H, T, T), and an output of the graph as it was.
    """
    made = {name: node for node in proto.graph.node for name in node.output}
    names: list[str] = []
    for node in proto.graph.node:
        if node.op_type == "Softmax":
            scores = made[node.input[0]]
            names += [n for n in scores.input if made[n].op_type not in ("Div", "MatMul")]
    names = list(dict.fromkeys(names))
    given = onnx.ModelProto()
    given.CopyFrom(proto)
    left = [node for node in proto.graph.node if not set(names).intersection(node.output)]
    del given.graph.node[:]
    given.graph.node.extend(left)
    given.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * 5)
        for name in names
    )
    return given, names


def measure_forms(
    model: MReactor, sizes: Sequence[dict[str, int]] = SIZES, pairs: int = PAIRS
) -> Iterator[Ratio]:
    """Attention as one operator, then the bias as an input, at each of some sizes.

    Raises: UsageError: onnxruntime is not installed.
    """
    spec = graph_specs(model.config)[DENOISER]
    form, operator = (
        export_graph(model, spec, ATTENTION_OPSET, {}, form=form) for form in (DECOMPOSED, OPERATOR)
    )
    decomposed = onnx.load_from_string(form)
    given, names = bias_as_inputs(decomposed)
    asked = onnx.ModelProto()
    asked.CopyFrom(decomposed)
    asked.graph.output.extend(value for value in given.graph.input if value.name in names)
    maker, base = open_session(asked.SerializeToString()), open_session(form, optimised=True)
    others = {
        "attention as one operator": open_session(operator, optimised=True),
        "bias as an input": open_session(given.SerializeToString(), optimised=True),
    }
    for size in sizes:
        case = denoiser_cases(model, size)[0]
        made = maker.run(names, case)
        biases = {name: np.asarray(x) for name, x in zip(names, made, strict=True)}
        for what, session in others.items():
            inputs = case | (biases if session is others["bias as an input"] else {})
            times = [(_seconds(base, case), _seconds(session, inputs)) for _ in range(pairs)]
            ratio = median(other / own for own, other in times)
            yield Ratio(what, dict(size), ratio, median(own for own, _ in times))


def _seconds(session: onnxruntime.InferenceSession, case: Case) -> float:
    """Of processor time, which other work on the machine does not lengthen as much."""
    started = time.process_time()
    session.run(None, case)
    return time.process_time() - started
