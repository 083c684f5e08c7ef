"""The reference as ONNX graphs: thin wrappers that are traced, and checks of what came out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields

import onnx
import torch
from torch import Tensor, nn

from mreactor_ref.denoiser import Context
from mreactor_ref.errors import MReactorError
from mreactor_ref.model import Batch, MReactor
from mreactor_runtime.tensors import (
    DENOISER,
    ENCODER,
    MODULATOR,
    GraphSpec,
    dynamic_shapes,
    example_inputs,
    graphs,
)

# Sizes of the example that is traced: none is 0 or 1, which would become constants, no two are
# equal, and none is a width of the model.
TRACED = {"B": 2, "S": 3, "T": 37, "N": 5}


class ExportError(MReactorError):
    """A graph that cannot be trusted: it was refused, or an axis lost its freedom."""


class Graph(nn.Module):
    """What is traced: the tensors of the table, in their order, in and out."""

    def __init__(self, model: MReactor, spec: GraphSpec):
        super().__init__()
        self.model, self.spec = model, spec

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        names = [tensor.name for tensor in self.spec.inputs]
        return CALLS[self.spec.name](self, dict(zip(names, tensors, strict=True)))

    def encode(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        context = self.model.encode(Batch(**inputs))
        return tuple(getattr(context, tensor.name) for tensor in self.spec.outputs)

    def modulate(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return (self.model.modulate(**inputs),)

    def denoise(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """One step, both branches of guidance. What the kind of attention lacks stays empty."""
        context = Context(
            **{
                field.name: inputs.pop(field.name, inputs["noisy"].new_empty(0))
                for field in fields(Context)
            }
        )
        return (self.model.denoise(context=context, **inputs),)


CALLS = {ENCODER: Graph.encode, MODULATOR: Graph.modulate, DENOISER: Graph.denoise}


@contextmanager
def _quiet_exporter() -> Iterator[None]:
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


def export_graph(
    model: MReactor, spec: GraphSpec, opset: int, metadata: Mapping[str, str]
) -> bytes:
    """One graph as the bytes of one ONNX file, checked.

    Raises: ExportError where a dynamic axis was specialised, a name or type differs from the
        table, or `onnx.checker` refuses the graph.
    """
    model.fuse_attention(False)
    examples, shapes = example_inputs(spec, TRACED), dynamic_shapes(spec)
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            Graph(model, spec).eval(),
            args=tuple(examples.values()),
            dynamic_shapes={"tensors": tuple(shapes[name] for name in examples)},
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    remove_trace(proto)
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    check_graph(proto, spec)
    return proto.SerializeToString()


def remove_trace(proto: onnx.ModelProto) -> None:
    """Take out the tracer's notes: they hold paths of this machine, which no hash should know."""
    graph = proto.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for owner in (graph, *graph.node, *values):
        for i in reversed(range(len(owner.metadata_props))):
            if owner.metadata_props[i].key.startswith("pkg."):
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
            found = tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
            if found != tensor.axes:
                problems.append(f"{kind} {tensor.name} has axes {found}, not {tensor.axes}")
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
    metadata: Mapping[str, str] | None = None,
    report: Callable[[str], None] | None = None,
) -> dict[str, bytes]:
    """All graphs of a model: file name -> content. `report` hears each graph's name."""
    files = {}
    for name, spec in graphs(model.config).items():
        if report is not None:
            report(name)
        files[f"{name}.onnx"] = export_graph(model, spec, opset, metadata or {})
    return files
