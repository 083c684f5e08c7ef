"""Operator sets, the form of attention in a graph, and classes of its operators."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from mreactor_export.names import OPSETS
from mreactor_ref.errors import UsageError
from mreactor_runtime.engines.names import ONNX, TENSORRT, TENSORRT_RTX
from mreactor_runtime.tensors import GUIDANCE, NOISY

ATTENTION_OPSET = 23  # the first with attention in one operator

DECOMPOSED, OPERATOR = FORMS = ("decomposed", "operator")
TARGETS = (ONNX, TENSORRT, TENSORRT_RTX)
# Target -> the dtypes for which attention is one operator. On a CPU it was hardly faster when
# tried, and older versions of ONNX Runtime do not know it. TensorRT-RTX makes one kernel of all
# attentions as operators in fp16 and bf16, and of the relative ones alone decomposed; in fp32 of
# none in either form. Neither TensorRT takes the attribute that keeps its softmax in fp32.
ATTENTION_FORM: dict[str, frozenset[str]] = {
    ONNX: frozenset(),
    TENSORRT: frozenset({"fp16", "bf16"}),
    TENSORRT_RTX: frozenset({"fp16", "bf16"}),
}


def check_opset(opset: int) -> None:
    """Raises: UsageError for an operator set that cannot be exported."""
    if opset not in OPSETS:
        raise UsageError(f"--opset is {opset}, not {OPSETS[0]} to {OPSETS[-1]}")


def check_form(form: str, opset: int) -> None:
    """Raises: UsageError for an unknown form of attention, or one that the opset does not have."""
    if form not in FORMS:
        raise UsageError(f"attention is {form!r}, not one of {', '.join(FORMS)}")
    if form == OPERATOR and opset < ATTENTION_OPSET:
        raise UsageError(
            f"opset {opset} has no attention operator",
            fix=f"use --opset {ATTENTION_OPSET} or newer",
        )


def attention_form(target: str, dtype: str, opset: int) -> str:
    """How a target gets attention, by the measured table.

    Raises: UsageError for an unknown target or an opset that cannot be exported.
    """
    check_opset(opset)
    if target not in TARGETS:
        raise UsageError(f"target is {target!r}, not one of {', '.join(TARGETS)}")
    fits = dtype in ATTENTION_FORM[target] and opset >= ATTENTION_OPSET
    return OPERATOR if fits else DECOMPOSED


# Class -> what it is.
CLASSES = {
    "matmul": "products of matrices",
    "convolution": "convolutions over time",
    "ends": "the linear layers from the noisy reaction and to the clean one, biases included",
    "attention": "attention in one operator",
    "bias": "the constant that a linear layer adds",
    "scores": "the scale of an attention's scores, and the sum of them and the decay",
    "decay": "-eps |x - y| and the mask",
    "softmax": "softmax of the scores",
    "norm": "layer norms",
    "activation": "GELU, sigmoid",
    "modulation": "shift, scale and gate of a sublayer, and other elementwise work",
    "residual": "the sum of tokens and sublayer",
    "guidance": "u + g (c - u)",
}
PRODUCTS = frozenset({"matmul", "convolution", "attention"})
DATA_MOVEMENT = frozenset(
    {
        *("Concat", "Expand", "Gather", "Identity", "Reshape"),
        *("Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    }
)
BY_TYPE = {
    **dict.fromkeys(("MatMul", "Gemm"), "matmul"),
    "Conv": "convolution",
    "Attention": "attention",
    "Softmax": "softmax",
    "LayerNormalization": "norm",
    **dict.fromkeys(("Gelu", "Sigmoid"), "activation"),
}
ELEMENTWISE = frozenset(("Add", "Sub", "Mul", "Div", "Neg"))
BIAS_OPERATORS = ELEMENTWISE | {"Abs", "Where"}


class _Places:
    """The nodes that make and take each value of a graph."""

    def __init__(self, graph: onnx.GraphProto):
        self.nodes = list(graph.node)
        self.maker = {name: i for i, node in enumerate(self.nodes) for name in node.output}
        self.takers: dict[str, list[int]] = {}
        for i, node in enumerate(self.nodes):
            for name in node.input:
                self.takers.setdefault(name, []).append(i)

    def before(self, starts: Iterable[str]) -> set[int]:
        """Nodes that the values come from, up to and without products of matrices."""
        indices: set[int] = set()
        open_ = list(starts)
        while open_:
            i = self.maker.get(open_.pop())
            if i is None or i in indices or BY_TYPE.get(self.nodes[i].op_type) in PRODUCTS:
                continue
            indices.add(i)
            open_.extend(self.nodes[i].input)
        return indices

    def after(self, starts: Iterable[str]) -> set[int]:
        """Nodes that the values go into, however far."""
        indices: set[int] = set()
        open_ = list(starts)
        while open_:
            for i in self.takers.get(open_.pop(), []):
                if i not in indices:
                    indices.add(i)
                    open_.extend(self.nodes[i].output)
        return indices

    def reaches_norm(self, name: str) -> bool:
        """Whether a value comes to a layer norm by moves alone."""
        for i in self.takers.get(name, []):
            kind = self.nodes[i].op_type
            if kind == "LayerNormalization":
                return True
            if kind in DATA_MOVEMENT and any(map(self.reaches_norm, self.nodes[i].output)):
                return True
        return False


def _ends(places: _Places, guided: set[int]) -> set[int]:
    """The linear layers at both ends of a denoiser, with their biases."""
    nodes = places.nodes
    between = places.before(name for i in guided for name in nodes[i].input) - guided
    into = {name for i in between | guided for name in nodes[i].input}
    biases = {i for i in between if nodes[i].op_type == "Add"}
    products = [i for i, node in enumerate(nodes) if BY_TYPE.get(node.op_type) == "matmul"]
    first = [i for i in products if NOISY in nodes[i].input]
    last = [i for i in products if into.intersection(nodes[i].output)]
    biases |= {taker for i in first for taker in places.takers[nodes[i].output[0]]}
    return {*first, *last, *biases}


def classify(graph: onnx.GraphProto) -> list[str | None]:
    """The class of each node; None for what stays in fp32 everywhere, and for moves of data."""
    places = _Places(graph)
    weights = {tensor.name for tensor in graph.initializer}
    from_products = places.after(
        name for node in graph.node if BY_TYPE.get(node.op_type) in PRODUCTS for name in node.output
    )
    into_softmax = places.before(
        name
        for node in graph.node
        for name in {"Softmax": node.input[:1], "Attention": node.input[3:4]}.get(node.op_type, [])
    )
    guided = places.after(v.name for v in graph.input if v.name == GUIDANCE)
    guided |= {
        places.maker[name]
        for i in guided
        for name in graph.node[i].input
        if name in places.maker and graph.node[places.maker[name]].op_type == "Sub"
    }

    ends = _ends(places, guided)

    def place(i: int, node: onnx.NodeProto) -> str | None:
        if i in ends:
            return "ends"
        if node.op_type in BY_TYPE:
            return BY_TYPE[node.op_type]
        if i in guided:
            return "guidance"
        if i in into_softmax:
            if i in from_products:
                return "scores" if node.op_type in ELEMENTWISE else None
            return "decay" if node.op_type in BIAS_OPERATORS else None
        if node.op_type not in ELEMENTWISE:
            return None
        if node.op_type != "Add":
            return "modulation"
        makers = [graph.node[places.maker[n]].op_type for n in node.input if n in places.maker]
        if weights.intersection(node.input) and {"MatMul", "Gemm"}.intersection(makers):
            return "bias"
        return "residual" if places.reaches_norm(node.output[0]) else "modulation"

    return [place(i, node) for i, node in enumerate(graph.node)]
