"""An fp32 graph in another precision: which operators go to a half type, and why the rest does not.

The pass is our own and deterministic: inputs and outputs of the graph stay float32, so that the
table of tensors holds for every precision; casts stand where the type changes, once a value; the
weights of what is halved are kept in the half type. The result names a type for every tensor, as
strongly typed builders want it.

    fp32    as it was exported
    mixed   products of matrices in fp16, all else in fp32, and so are the denoiser's two ends
    fp16    everything in fp16 but `KEEP_FP32`
    bf16    everything in bf16 but `KEEP_FP32`
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import helper, numpy_helper

from mreactor_export.operators import CLASSES, DATA_MOVEMENT, PRODUCTS, classify
from mreactor_ref.errors import MReactorError, UsageError
from mreactor_runtime.engines.names import BF16, DTYPES, FP16, FP32, MIXED
from mreactor_runtime.tensors import ATTENTION, STEPPING

FLOAT = onnx.TensorProto.FLOAT
HALF_TYPES: dict[str, int] = {
    MIXED: onnx.TensorProto.FLOAT16,
    FP16: onnx.TensorProto.FLOAT16,
    BF16: onnx.TensorProto.BFLOAT16,
}
NUMPY_TYPES: dict[int, Any] = {
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.BFLOAT16: ml_dtypes.bfloat16,
}
PRECISION = "precision"  # key of the metadata
# The encoder runs once a clip and the modulator once a table of steps, so there is nothing to win;
# and the encoder's masks are steps at a threshold, which a rounded cosine takes the other way.
HALF_GRAPHS = (*STEPPING, ATTENTION)

# Found by `sensitivity.find_kept`: a class is here when keeping it, beside those before it, lowers
# the error of a step by more than 5 %. `mini`, 750 frames, guidance 7.5, relative L2. In fp16:
# 0.0082 with nothing kept, then residual 0.0067, norm 0.0059, modulation 0.0046, ends 0.0041,
# guidance 0.0036; products of matrices alone are 0.0034. In bf16: 0.19, decay 0.062, residual
# 0.055, modulation 0.049, norm 0.037; 0.033 with the whole table. The scores would save 5 % there,
# and are left: they would take the maps of attention to fp32. fp16 has all numbers up to 2048, and
# loses the decay beyond that many frames (0.14 at 3000). Softmax, GELU and biases save less.
KEEP_FP32: dict[str, str] = {
    "decay": "bf16 has no odd number above 256, so that neighbours change places",
    "residual": "every layer rounds the same tokens again, and the error adds up",
    "norm": "rounds what all products of a layer start from",
    "modulation": "rounds it again, after scale and shift",
    "ends": "guidance multiplies the rounding of the last layer by its scale",
    "guidance": "a difference of two near numbers, times the scale",
}


class PrecisionError(MReactorError):
    """A graph that cannot be had in a precision."""


def halved(dtype: str) -> frozenset[str]:
    """The classes of operators that a dtype computes in its half type.

    Raises: UsageError for an unknown dtype.
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype is {dtype!r}, not one of {', '.join(DTYPES)}")
    if dtype == FP32:
        return frozenset()
    if dtype == MIXED:
        return PRODUCTS
    return frozenset(CLASSES) - set(KEEP_FP32)


def dtype_of(graph: str, dtype: str) -> str:
    """The dtype of one graph of a bundle: only those of `HALF_GRAPHS` leave fp32."""
    halved(dtype)
    return dtype if graph in HALF_GRAPHS else FP32


def convert(
    proto: onnx.ModelProto, dtype: str, classes: Collection[str] | None = None
) -> onnx.ModelProto:
    """The same graph in a dtype; `proto` is left as it is.

    Args:
        proto: in fp32, without graphs inside nodes.
        classes: of operators that go to the half type; None is what `halved` says.
    Raises:
        UsageError: no such dtype.
        PrecisionError: a weight is beyond the range of the type.
    """
    wanted = halved(dtype) if classes is None else frozenset(classes)
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    _set_metadata(model, PRECISION, dtype)
    if dtype == FP32:
        return model
    _lift_constants(model.graph)
    kind = HALF_TYPES[dtype]
    _Rewriter(model, _choose(model, wanted, kind), kind).run()
    return model


def _set_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    kept = [entry for entry in model.metadata_props if entry.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=key, value=value)


def _lift_constants(graph: onnx.GraphProto) -> None:
    """Constants as weights, so that there is one kind of fixed value."""
    nodes = []
    for node in graph.node:
        value = {attribute.name: attribute for attribute in node.attribute}.get("value")
        if node.op_type == "Constant" and value is not None:
            graph.initializer.add().CopyFrom(value.t)
            graph.initializer[-1].name = node.output[0]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def float_values(model: onnx.ModelProto) -> set[str]:
    """The names of all values that are float32."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    infos = (*graph.input, *graph.output, *graph.value_info)
    names = {value.name for value in infos if value.type.tensor_type.elem_type == FLOAT}
    return names | {tensor.name for tensor in graph.initializer if tensor.data_type == FLOAT}


def _takes(node: onnx.NodeProto, opset: int, kind: int) -> bool:
    """Whether an operator knows a type: convolutions know bf16 from opset 22 on."""
    schema = onnx.defs.get_schema(node.op_type, opset)
    parameter = schema.outputs[0].type_str
    types = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    name = f"tensor({onnx.TensorProto.DataType.Name(kind).lower()})"
    return name in types.get(parameter, [parameter])


def _choose(model: onnx.ModelProto, wanted: frozenset[str], kind: int) -> list[bool]:
    """For each node, whether it goes to the half type.

    What only moves data goes with what made it, or with all that take it: the values are the same
    in either type, and half of them is moved.
    """
    nodes, classes, floats = model.graph.node, classify(model.graph), float_values(model)
    fixed = {tensor.name for tensor in model.graph.initializer}
    opset = next(o.version for o in model.opset_import if o.domain == "")
    chosen = [
        own in wanted and floats.issuperset(node.output) and _takes(node, opset, kind)
        for node, own in zip(nodes, classes, strict=True)
    ]
    half = {name for i, node in enumerate(nodes) if chosen[i] for name in node.output}
    for i, node in enumerate(nodes):
        sources = [name for name in node.input if name in floats and name not in fixed]
        moves = node.op_type in DATA_MOVEMENT and _takes(node, opset, kind)
        if moves and sources and half.issuperset(sources):
            chosen[i] = True
            half.update(node.output)
    ends = {value.name for value in model.graph.output}
    takers: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        for name in node.input:
            takers.setdefault(name, []).append(i)
    for i in reversed(range(len(nodes))):
        node = nodes[i]
        if node.op_type not in DATA_MOVEMENT or floats.isdisjoint(node.output):
            continue
        used = [taker for name in node.output for taker in takers.get(name, [])]
        if used and ends.isdisjoint(node.output) and all(chosen[taker] for taker in used):
            chosen[i] = _takes(node, opset, kind)
    return chosen


class _Rewriter:
    """Gives every value its type: `chosen` nodes read and write the half type."""

    def __init__(self, model: onnx.ModelProto, chosen: list[bool], half: int):
        self.graph, self.chosen, self.half = model.graph, chosen, half
        self.floats = float_values(model)
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.halves = {
            name
            for node, own in zip(model.graph.node, chosen, strict=True)
            for name in node.output
            if own and name in self.floats
        }
        self.made: dict[tuple[str, int], str] = {}
        self.added: list[onnx.TensorProto] = []

    def run(self) -> None:
        nodes: list[onnx.NodeProto] = []
        ends = [value.name for value in self.graph.output]
        for node, own in zip(self.graph.node, self.chosen, strict=True):
            for i, name in enumerate(node.input):
                if name in self.floats:
                    node.input[i] = self._as(name, self.half if own else FLOAT, nodes)
            nodes.append(node)
            for i, name in enumerate(node.output):
                if name in ends and name in self.halves:
                    node.output[i] = _named(name, self.half)
                    nodes.append(_cast(node.output[i], name, FLOAT))
        used = {name for node in nodes for name in node.input} | set(ends)
        weights = [t for t in (*self.graph.initializer, *self.added) if t.name in used]
        for field, values in (("node", nodes), ("initializer", weights), ("value_info", [])):
            copies = [type(value).FromString(value.SerializeToString()) for value in values]
            self.graph.ClearField(field)  # pyright: ignore[reportArgumentType]
            getattr(self.graph, field).extend(copies)

    def _as(self, name: str, kind: int, nodes: list[onnx.NodeProto]) -> str:
        """The name of a value in a type; a cast or a weight is added at its first use."""
        if kind == (self.half if name in self.halves else FLOAT):
            return name
        if (name, kind) not in self.made:
            self.made[name, kind] = new = _named(name, kind)
            if name in self.weights:
                self.added.append(_weight(self.weights[name], new, kind))
            else:
                nodes.append(_cast(name, new, kind))
        return self.made[name, kind]


def _named(name: str, kind: int) -> str:
    return f"{name}.{onnx.TensorProto.DataType.Name(kind).lower()}"


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast {target}", to=kind)


def _weight(tensor: onnx.TensorProto, name: str, kind: int) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        rounded = values.astype(NUMPY_TYPES[kind])
    if bool((np.isinf(rounded.astype(np.float32)) & np.isfinite(values)).any()):
        raise PrecisionError(
            f"weight {tensor.name} has a value of {np.abs(values).max():.3g}, which is beyond "
            f"{onnx.TensorProto.DataType.Name(kind).lower()}",
            fix="export in bf16 or fp32",
        )
    return numpy_helper.from_array(rounded, name)


def emulate(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of `convert` in fp32, each value that was half rounded as the half type rounds it.

    What a GPU computes: products summed in fp32, their result rounded. So the error of a type can
    be measured where nothing runs that type. Run it without optimisation: it is full of casts that
    look idle.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    halves, kinds = _half_values(model), set(NUMPY_TYPES)
    kind = next(iter(halves.values()), FLOAT)
    for tensor in graph.initializer:
        if tensor.data_type in kinds:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    nodes = list(_emulated(graph.node, halves, kind))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return out


def _half_values(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    return {name: kind for name, kind in kinds.items() if kind in NUMPY_TYPES}


def _emulated(
    nodes: Collection[onnx.NodeProto], halves: dict[str, int], kind: int
) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        if node.op_type == "Cast" and node.input[0] in halves:  # back to fp32: nothing to do
            yield helper.make_node("Identity", node.input, node.output, name=node.name)
            continue
        rounded = [name for name in node.output if name in halves]
        if not rounded or node.op_type in DATA_MOVEMENT:
            yield node
            continue
        if node.op_type == "Cast":
            raw = [node.input[0]]
        else:
            raw = [f"{name}.exact" for name in node.output]
            node.output[:] = raw
            yield node
        for name, source in zip(rounded, raw, strict=True):
            yield _cast(source, f"{name}.rounded", kind)
            yield _cast(f"{name}.rounded", name, FLOAT)
