"""The reference as ONNX graphs: thin wrappers that are traced, and checks of what came out."""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import onnx
import torch

from mreactor_export.operators import (
    DECOMPOSED,
    OPERATOR,
    check_form,
    check_opset,
)
from mreactor_export.precision import FP32, MIXED, convert, dtype_of, halved
from mreactor_export.traced import Graph
from mreactor_ref.errors import MReactorError, UsageError
from mreactor_ref.model import MReactor
from mreactor_runtime.tensors import (
    GraphSpec,
    dynamic_shapes,
    example_inputs,
    graph_specs,
)

# Sizes of the example that is traced: none is 0 or 1, which would become constants, no two are
# equal, and none is a width of the model.
TRACED = {"B": 2, "S": 3, "T": 37, "N": 5}
SCOPES = "pkg.torch.onnx.name_scopes"  # the tracer's note of where in the model a node came from


class ExportError(MReactorError):
    """A graph that cannot be trusted: it was refused, or an axis lost its freedom."""


@contextmanager
def _quiet_exporter() -> Generator[None]:
    """Export without the tracer's progress and its warnings about its own internals."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def check_options(opset: int, dtype: str, form: str) -> None:
    """Raises: UsageError for an option of `export_graph` that is not known, or does not fit."""
    check_opset(opset)
    halved(dtype)
    check_form(form, opset)
    if form == OPERATOR and dtype == MIXED:
        raise UsageError(
            "mixed keeps the softmax in fp32, which attention in one operator has inside",
            fix="use fp16 or bf16, or the decomposed form",
        )


def export_graph(
    model: MReactor,
    spec: GraphSpec,
    opset: int,
    metadata: Mapping[str, str],
    *,
    dtype: str = FP32,
    form: str = DECOMPOSED,
    layer: int = 0,
) -> bytes:
    """One graph as the bytes of one ONNX file, checked.

    Args:
        opset: one of `operators.OPSETS`.
        metadata: beside what is said of each graph: its name, symbols, precision and form.
        dtype: one of `names.DTYPES`; inputs and outputs stay as the table says.
        form: of attention; `operators.attention_form` knows which.
        layer: whose attention the graph `attention` is.
    Raises:
        UsageError: an option that is not known, or they do not fit.
        ExportError: a dynamic axis was specialised, a name or type differs from the table, or
            `onnx.checker` refuses the graph.
        PrecisionError: a weight is beyond the range of the precision.
    """
    check_options(opset, dtype, form)
    proto = _trace(Graph(model, spec, layer), opset, form)
    name_nodes(proto.graph)
    remove_trace(proto)
    facts = {"graph": spec.name, "symbols": " ".join(spec.symbols), "attention": form}
    for key, value in (*metadata.items(), *facts.items()):
        proto.metadata_props.add(key=key, value=value)
    proto = convert(proto, dtype_of(spec.name, dtype))
    check_graph(proto, spec)
    return proto.SerializeToString()


def _trace(graph: Graph, opset: int, form: str) -> onnx.ModelProto:
    spec = graph.spec
    examples, shapes = example_inputs(spec, TRACED), dynamic_shapes(spec)
    graph.model.fuse_attention(form == OPERATOR)
    try:
        with _quiet_exporter(), torch.no_grad():
            program = torch.onnx.export(
                graph.eval(),
                args=tuple(examples.values()),
                dynamic_shapes={"tensors": tuple(shapes[name] for name in examples)},
                input_names=[tensor.name for tensor in spec.inputs],
                output_names=[tensor.name for tensor in spec.outputs],
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    finally:
        graph.model.fuse_attention(False)
    assert program is not None
    return program.model_proto


def name_nodes(graph: onnx.GraphProto) -> None:
    """Name each node by the part of the model it came from, as in `layers.0.relative/MatMul`.

    Profiles and the layers of a plan then say what they are about. A second node of the same name
    has a number behind it.
    """
    taken: dict[str, int] = {}
    for node in graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        scopes = ast.literal_eval(notes.get(SCOPES, "[]"))[:-1]  # the last is the operator
        part = next((scope for scope in scopes[-1:] if scope.startswith("model.")), "")
        part = part.removeprefix("model.").removeprefix("denoiser.")
        name = f"{part}/{node.op_type}" if part else node.op_type
        taken[name] = count = taken.get(name, 0) + 1
        node.name = name if count == 1 else f"{name}_{count}"


def remove_trace(proto: onnx.ModelProto) -> None:
    """Take out the tracer's notes: they hold paths of this machine, which no hash should know."""
    graph = proto.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for owner in (graph, *graph.node, *values):
        for i in reversed(range(len(owner.metadata_props))):
            if owner.metadata_props[i].key.startswith(("pkg.", "namespace")):
                del owner.metadata_props[i]


def check_graph(proto: onnx.ModelProto, spec: GraphSpec) -> None:
    """The graph's inputs and outputs are the table's, its free axes are free, and it is valid."""
    problems = []
    for kind, values, tensors in (
        ("input", proto.graph.input, spec.inputs),
        ("output", proto.graph.output, spec.outputs),
    ):
        names, expected = [v.name for v in values], [t.name for t in tensors]
        if names != expected:
            problems.append(f"{kind}s are {names}, not {expected}")
            continue
        for value, tensor in zip(values, tensors, strict=True):
            axes = tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
            if axes != tensor.axes:
                problems.append(f"{kind} {tensor.name} has axes {axes}, not {tensor.axes}")
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
            if dtype != tensor.dtype:
                problems.append(f"{kind} {tensor.name} is {dtype}, not {tensor.dtype}")
    if problems:
        raise ExportError(f"graph {spec.name}: {'; '.join(problems)}")
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"graph {spec.name}: {error}") from None


def export_graphs(
    model: MReactor,
    opset: int,
    metadata: Mapping[str, str],
    *,
    dtype: str = FP32,
    form: str = DECOMPOSED,
) -> dict[str, bytes]:
    """The graphs of a run: file name -> content. Options and errors are those of `export_graph`."""
    return {
        f"{name}.onnx": export_graph(model, spec, opset, metadata, dtype=dtype, form=form)
        for name, spec in graph_specs(model.config).items()
    }
